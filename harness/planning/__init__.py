"""Before a run starts: checks of configuration, model and data; the phases left to do; the cost estimate.

Not here: the list of phases (`loop/plan.py`). Launch and commands come in. Start with `prepare.py`.
"""
