"""A suite whose answers a model behind an OpenAI-compatible endpoint rates (MT-Bench).

Start with `benchmark.py`.
"""
