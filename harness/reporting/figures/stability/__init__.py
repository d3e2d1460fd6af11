"""The stability figure, in three parts. Start with `compose.py`; `curves.py`, `forest.py` and `changes.py` draw one part each."""
