"""Which library a tracker needs, and whether it is installed; imports none of them."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence

from harness.errors import UserError

# Tracker -> the module that must be installed, and what `pip install` calls it.
LIBRARIES = {
    "tensorboard": ("tensorboard", "tensorboard"),
    "wandb": ("wandb", "wandb"),
    "trackio": ("trackio", "trackio"),
    "mlflow": ("mlflow", "mlflow-skinny"),
}


def check_trackers(names: Sequence[str], source: str = "--report-to") -> None:
    """Raises UserError, with what to install, for a tracker whose library is not there."""
    for name in names:
        module, package = LIBRARIES[name]
        if importlib.util.find_spec(module) is None:
            raise UserError(f"{source} {name}: the package {module} is not installed; install it with: pip install {package}")
