"""The self-play loop: trials x iterations x phases, the runner of the phases, the plan of them, suites and studies.

Not here: how a phase computes (`train/` and the world), where it is written (`store/`). Names no world and no objective.
Start with `training_loop.py`, then `phase_runner.py` and `phases/phase.py`.
"""
