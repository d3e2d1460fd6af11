"""The commands of `harness`: each takes the parsed arguments, calls one function of another wing and prints lines.

Not here: anything that a program could call for a result; that lives in its own wing. Only `cli.py` comes in.
Start with `run.py`.
"""
