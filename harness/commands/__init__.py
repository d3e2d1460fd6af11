"""The commands of `harness`: each takes the parsed arguments, calls one function of another wing and prints lines.

Not here: anything that a program could call for a result; that lives in its own wing. Only `cli.py` comes in.
Imports of the project stand inside functions here, so that `--help` and `report` load neither torch nor lm-eval.
Start with `run.py`.
"""
