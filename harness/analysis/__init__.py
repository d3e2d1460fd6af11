"""Numbers from finished files: scores, errors, intervals, comparisons, stability, collapse. numpy and pandas, never torch.

Not here: how they are shown (`reporting/`). Start with `facts.py`, the only reader of a run's phases, then `stats.py`.
"""
