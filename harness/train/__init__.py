"""The training core, for any world: steps, their order and rates, checkpoints within training, stored references,
non-finite numbers.

Not here: models and text (a world), what a loss is (`objectives/`). Sees a world by `world.py` alone. Start with `core.py`.
"""
