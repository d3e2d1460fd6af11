"""The phases that only text has: drawing responses, and diagnostics on held-out prompts.

Scoring and training are every world's (`harness/train/`). Start with `generate.py`.
"""
