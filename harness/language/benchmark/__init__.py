"""lm-eval as the benchmark: its tasks loaded and checked, the policy as its model, its results as rows.

Start with `lm_eval_benchmark.py`, then `lm.py`.
"""
