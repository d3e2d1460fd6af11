"""Before anything is spent: what must fit, what is left to do, what it will cost.

Not here: the list of phases (`loop/plan.py`). Launch and commands come in. Start with `prepare.py`.
"""
