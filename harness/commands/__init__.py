"""What each command of `harness` does: arguments in, one function called, lines printed.

Not here: anything that a program could call for a result; that lives in the wing that does it. Only `cli.py` comes in.
Start with `run.py`.
"""
