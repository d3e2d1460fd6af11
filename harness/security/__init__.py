"""Untrusted text escaped for its destination, and secrets left out of whatever is written or printed.

Not here: what a mirror may read (`sources/confinement.py`), what may become a file's name (`settings/safe_paths.py`), whether a
run folder is one (`store/untrusted.py`). Everybody may come in; it imports nothing of the project. Start with `escaping.py`.
"""
