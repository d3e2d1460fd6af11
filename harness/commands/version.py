"""`harness --version`: the program, its numbers' version, and the libraries that numbers depend on, without importing them."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version

from harness import __version__
from harness.commands.console import echo
from harness.store.provenance import NUMBERS_VERSION

SHOWN_PACKAGES = ("torch", "transformers", "peft", "lm-eval", "datasets")


def print_version() -> None:
    echo(f"harness {__version__}, version {NUMBERS_VERSION} of its numbers")
    echo(f"{'python':<14}{platform.python_version()}")
    for name in SHOWN_PACKAGES:
        echo(f"{name:<14}{_installed(name)}")
    echo(f"{'platform':<14}{platform.platform()}")


def _installed(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"
