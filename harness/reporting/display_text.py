"""Text of a model, a data set or a user in print."""

from __future__ import annotations

from typing import Any

from harness.security import escaping

MAX_TEXT_CHARS = 400
NEW_LINE = " ⏎ "


def display_text(content: Any, max_chars: int = MAX_TEXT_CHARS) -> str:
    """Untrusted text of any length, made printable: invisible characters escaped, line breaks marked, length bounded."""
    escaped = escaping.escape_invisible(str(content).replace("\n", NEW_LINE))
    return escaped if len(escaped) <= max_chars else escaped[:max_chars] + " […]"
