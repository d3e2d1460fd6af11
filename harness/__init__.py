"""A benchmark harness for self-play fine-tuning objectives.

    import harness

    run = harness.run("space,spin", iterations=5)   # or: harness.open_run("lab-reference")
    run.compare("space", "spin")

The names below are loaded when they are first used (PEP 562): `import harness` loads no library.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from harness.api.opened_run import Run as Run
    from harness.api.opened_run import compare_runs as compare_runs
    from harness.api.opened_run import open_run as open_run
    from harness.api.running import run as run
    from harness.errors import UserError as UserError

__version__ = "0.2.0"
__all__ = ["Run", "UserError", "__version__", "compare_runs", "open_run", "run"]

_HOME_OF_NAME = {
    "Run": "harness.api.opened_run",
    "UserError": "harness.errors",
    "compare_runs": "harness.api.opened_run",
    "open_run": "harness.api.opened_run",
    "run": "harness.api.running",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF_NAME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOME_OF_NAME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
