"""Rows of published data sets -> prompts and responses -> examples.

Where rows come from is in `harness/sources/`. Start with `dataset.py`.
"""
