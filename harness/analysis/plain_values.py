"""Values of tables and documents as plain Python objects, and which of them are blank."""

from __future__ import annotations

from typing import Any


def plain(value: Any) -> Any:
    """A value of a table as a plain Python object: arrays become lists, and NaN becomes None."""
    if hasattr(value, "tolist") and not isinstance(value, (str, bytes)):
        value = value.tolist()
    if isinstance(value, dict):
        return {key: plain(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(inner) for inner in value]
    return None if isinstance(value, float) and value != value else value


def is_blank(value: Any) -> bool:
    """Whether a value is missing, white space, or a list or mapping of such."""
    if value is None or isinstance(value, str):
        return not (value or "").strip()
    if isinstance(value, (list, tuple, dict)):
        return all(is_blank(inner) for inner in (value.values() if isinstance(value, dict) else value))
    return False
