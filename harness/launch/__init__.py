"""Runs trials in processes of this machine, each with its share of the cores or a GPU.

Not here: what a trial does (`loop/`). Commands come in. Start with `workers.py`.
"""
