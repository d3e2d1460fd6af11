"""Progress of a run: what its parts report, what is left to do and how long that takes, and how it is shown.

Not here: what is reported (`loop/phase_runner.py`), and scores (`reporting/live_score.py`). Start with `reporter.py`.
"""

from harness.progress.reporter import Advance, Reporter

__all__ = ["Advance", "Reporter"]
