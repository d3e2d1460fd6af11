"""Exact self-play games on a few outcomes, played with the objectives' own files: what each of them converges to.

Not here: sampling, models, noise. Commands come in. Start with `exact.py`.
"""
