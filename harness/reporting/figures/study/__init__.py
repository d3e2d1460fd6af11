"""A study's own figure, the first of its report: the kind that its file declares. Start with `first.py`."""
