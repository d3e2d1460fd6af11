"""Objectives: from a name or path to a class, its variants, and the checks of its file before a run and by
`harness objectives check`.

Not here: the objectives' contract (`objectives/_contract.py`). Start with `variants.py`, then `review.py`.
"""
