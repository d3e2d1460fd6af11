"""The model itself: loading and checking a base, the adapter, packed log-probabilities, sampling, memory.

Start with `loading.py`, then `logprobs.py` and `sampling.py`.
"""
