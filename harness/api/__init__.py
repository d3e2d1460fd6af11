"""The door for Python code, beside the command line: `harness.run`, `harness.open_run`, `harness.compare_runs`.

Not here: anything that computes; both doors call the same functions. `harness/__init__.py` looks the names up here when they are
first used, so that `import harness` loads nothing. Start with `opened_run.py`.
"""
