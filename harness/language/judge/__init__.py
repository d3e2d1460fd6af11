"""Suites whose responses an LLM judge behind an OpenAI-compatible endpoint rates (MT-Bench).

Start with `benchmark.py`.
"""
