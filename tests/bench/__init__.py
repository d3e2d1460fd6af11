"""Benchmarks: peers and the harness side by side in one process, run in turn, medians; `python -m tests.bench` lists them."""
