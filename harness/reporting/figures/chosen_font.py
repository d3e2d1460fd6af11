"""The font that a user asks for: a generic family, a family installed here, or a file."""

from __future__ import annotations

import sys
from functools import cache
from pathlib import Path
from typing import Any

from harness.errors import UserError, did_you_mean
from harness.reporting.figures.fonts import PLACEHOLDER_FONTS, family_name
from harness.reporting.figures.library import font_folder, matplotlib

GENERIC = {"sans-serif": "DejaVu Sans", "serif": "DejaVu Serif", "monospace": "DejaVu Sans Mono"}  # matplotlib brings them along
FONT_SUFFIXES = (".ttf", ".otf", ".ttc")
MAX_FAMILIES_NAMED = 12


def find_font(text: str) -> tuple[str, list[Path]]:
    """(name of the family, its files). Raises UserError that names what there is."""
    if text.lower() in GENERIC:
        return GENERIC[text.lower()], []  # registered with matplotlib's own
    if text.lower().endswith(FONT_SUFFIXES) or "/" in text:
        path = Path(text).expanduser()
        if not path.is_file():
            raise UserError(f"--font {text}: no such file; expected {_expected()}")
        if (name := family_name(str(path))) is None:
            raise UserError(f"--font {text}: not an outline font; expected {_expected()}")
        return name, [path]
    families = _installed_families()
    by_lower = {name.lower(): name for name in families}
    if text.lower() not in by_lower:
        raise UserError(f'--font "{text}": no such font here{_nearest(text, families)}; expected {_expected()}')
    name = by_lower[text.lower()]
    return name, [Path(path) for path in families[name]]


def _expected() -> str:
    return f"{', '.join(GENERIC)}, the name of an installed font or a {' or '.join(FONT_SUFFIXES[:2])} file"


def _nearest(text: str, families: dict[str, list[str]]) -> str:
    hint = did_you_mean(text, families)
    if not hint.startswith(" (known"):
        return hint
    names = sorted(families)
    more = f", and {len(names) - MAX_FAMILIES_NAMED} more" if len(names) > MAX_FAMILIES_NAMED else ""
    return f" (installed: {', '.join(names[:MAX_FAMILIES_NAMED])}{more})"


@cache
def _installed_families() -> dict[str, list[str]]:
    """Family -> its files, of matplotlib's own fonts and the system's."""
    manager: Any = sys.modules[matplotlib().__name__ + ".font_manager"]
    families: dict[str, list[str]] = {}
    for path in sorted([*map(str, font_folder().glob("*.ttf")), *manager.findSystemFonts()]):
        if (name := family_name(path)) is not None and not any(word in name.lower() for word in PLACEHOLDER_FONTS):
            families.setdefault(name, []).append(path)
    return families


def register_font(text: str) -> str:
    """Make the font known to matplotlib; returns the name of its family."""
    name, paths = find_font(text)
    manager: Any = sys.modules[matplotlib().__name__ + ".font_manager"]
    for path in paths:
        manager.fontManager.addfont(path)
    return name
