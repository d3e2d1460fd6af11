"""The terminal: no printed text can colour, move or erase anything there, and no secret in a URL is shown."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.text import Text

from harness.security.escaping import escape_invisible
from harness.security.redact import redact

ALLOWED_CONTROLS = "\n\t"  # used in this program's own lines


def sanitize(value: Any) -> str:
    """The text as it is safe on a terminal: secrets redacted, control characters escaped."""
    return escape_invisible(redact(str(value)), keep=ALLOWED_CONTROLS)


class SafeConsole(Console):
    """A console that prints text literally, in lines and in tables: no markup, no escape codes, no names of emoji."""

    def __init__(self, **options: Any) -> None:
        super().__init__(highlight=False, markup=False, emoji=False, **options)

    def render_str(self, text: str, **options: Any) -> Text:
        return super().render_str(sanitize(text), **options)
