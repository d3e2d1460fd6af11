"""vLLM as another engine that draws the opponent's responses, in a process of its own.

Start with `sampler.py`.
"""
