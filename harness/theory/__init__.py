"""Exact self-play on a few outcomes with the objectives' own files: what each of them converges to.

Not here: sampling, models, noise. Commands come in. Start with `exact.py`.
"""
