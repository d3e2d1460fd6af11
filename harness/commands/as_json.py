"""What `--json` prints: one JSON document on standard output, in ASCII, so that nothing in it can act on a terminal."""

from __future__ import annotations

import json
from typing import Any

from harness.commands.console import echo


def print_json(document: Any) -> None:
    """Print plain values; NaN is an error, a missing number is null."""
    echo(json.dumps(document, indent=1, allow_nan=False))
