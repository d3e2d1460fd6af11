"""The fonts of figures and PDF for text of any script: matplotlib's own DejaVu, and what it lacks from the system's fonts.

The same text gets the same fonts on the same machine, in figures and in the PDF.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

from harness.reporting.figures.library import font_folder, matplotlib

FAMILY = "DejaVu Sans"
BASE_FONTS = ("DejaVuSans.ttf", "DejaVuSans-Bold.ttf")
EXTRA_FONTS = ("DejaVuSansMono.ttf", "DejaVuSerif.ttf", "STIXGeneral.ttf")  # of matplotlib's own, tried before the system's
PLACEHOLDER_FONTS = ("lastresort", "last resort", "adobeblank", "adobe blank", "notdef")


def fonts_for(text: Iterable[str], figures: bool = True) -> tuple[list[Path], set[str]]:
    """(font files that together have what DejaVu Sans lacks of the text, characters that no installed font has).

    figures: only outline fonts, which matplotlib can draw; the PDF also takes bitmap fonts, as of emoji.
    """
    known = frozenset.intersection(*(_characters(str(font_folder() / name)) for name in BASE_FONTS))
    missing = {c for c in set(text) if ord(c) not in known} - set("\n\r\t")
    return _choose_fonts(frozenset(missing), figures) if missing else ([], set())


@cache
def _choose_fonts(characters: frozenset[str], figures: bool) -> tuple[list[Path], set[str]]:
    """A greedy cover: always the font with most of the remaining characters, the first in order among equals."""
    fonts: list[Path] = []
    remaining = set(characters)
    coverage = {path: {c for c in characters if ord(c) in _characters(path)} for path in _candidate_fonts(figures)}
    while remaining:
        best = max(coverage, key=lambda path: len(coverage[path] & remaining), default=None)
        if best is None or not coverage[best] & remaining:
            break
        fonts.append(Path(best))
        remaining -= coverage[best]
    return fonts, remaining


@cache
def _candidate_fonts(figures: bool) -> tuple[str, ...]:
    """matplotlib's own, then the system's: Noto Sans first, then by name, so that the order depends on the machine alone."""
    manager: Any = sys.modules[matplotlib().__name__ + ".font_manager"]
    names = [name for name in manager.findSystemFonts() if not any(word in Path(name).stem.lower() for word in PLACEHOLDER_FONTS)]
    names.sort(key=lambda name: (_rank(Path(name).stem), Path(name).name, name))
    own = [str(font_folder() / name) for name in EXTRA_FONTS]
    return (*own, *(name for name in names if not figures or family_name(name) is not None))


def _rank(stem: str) -> int:
    is_regular = stem.endswith(("-Regular", "-VF")) or "-" not in stem
    return (0 if stem.startswith("NotoSans") else 1) if is_regular else 2


@cache
def family_name(path: str) -> str | None:
    """The name of an outline font's family; None for a file that matplotlib cannot draw from."""
    from matplotlib.ft2font import FT2Font

    try:
        font = FT2Font(path)
    except Exception:  # any error of its library: not a font, or a bitmap font
        return None
    return font.family_name if font.scalable else None


@cache
def _characters(path: str) -> frozenset[int]:
    """The code points a font has; empty for a file that is not a font."""
    if family_name(path) is not None:
        from matplotlib.ft2font import FT2Font

        return frozenset(FT2Font(path).get_charmap())
    from fontTools.ttLib import TTFont

    with contextlib.suppress(Exception), TTFont(path, lazy=True, fontNumber=0) as font:
        return frozenset(font.getBestCmap() or ())
    return frozenset()


def font_families(text: Iterable[str]) -> list[str]:
    """The names of the font families for the text, those of the style first; registers the others with matplotlib."""
    paths, _ = fonts_for(text)
    manager: Any = sys.modules[matplotlib().__name__ + ".font_manager"]
    for path in paths:
        manager.fontManager.addfont(path)
    names = [*matplotlib().rcParams["font.family"], FAMILY, *(str(family_name(str(path))) for path in paths)]
    return list(dict.fromkeys(names))


def link_fonts(folder: Path, text: str) -> bool:
    """Link the fonts for a PDF of this text into `folder`; returns whether these and typst's own have every character."""
    paths, missing = fonts_for(text, figures=False)
    folder.mkdir()
    for number, path in enumerate([font_folder() / BASE_FONTS[0], *paths]):
        (folder / f"{number:03d}{path.suffix}").symlink_to(path.resolve())
    return not missing


def missing_glyphs_message(text: str, command: str) -> str | None:
    """One line with the characters that no installed font has; None without any. command: the one to repeat."""
    _, missing = fonts_for(text, figures=False)
    if not missing:
        return None
    shown = " ".join(f"{c} (U+{ord(c):04X})" for c in sorted(missing)[:5])
    more = f" and {len(missing) - 5} more" if len(missing) > 5 else ""
    return (
        f"no font on this machine has {shown}{more}: boxes stand for them in the figures, and in the PDF where its own fonts "
        f"lack them too; install a font that has them (Noto's have nearly all), then repeat: {command}"
    )
