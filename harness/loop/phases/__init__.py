"""The phases, one file each: what a phase is made from, its settings, its work, what it costs.

Not here: reuse, sharing, progress and commit (`loop/phase_runner.py`); the list of phases (`loop/plan.py`). Start with
`phase.py`.
"""
