"""The world of text: a causal language model with a LoRA adapter, prompts and responses as token ids, lm-eval and LLM judges.

Not here: the loop, the training core, statistics; they know this folder by `harness/world.py` alone. Only `load_world` and the
commands that list tasks come in. Start with `world.py`, then `policy.py`.
"""
