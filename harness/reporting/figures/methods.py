"""How a variant looks in every figure: its method's colour and name; variants of one method differ by line and lightness."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from harness.reporting.display_text import display_text
from harness.reporting.figures.palettes import DARK_GROUND, LIGHT_GROUND, METHODS, Palette
from objectives._colours import COLOURS

MARKERS = ("o", "s", "^", "D", "v", "P", "X")
LINES: tuple[Any, ...] = ("-", (0, (4, 1.5)), (0, (1, 1)), (0, (5, 1, 1, 1)), (0, (8, 2)))
RANKS = range(4)  # of variants with a shade of their own; further ones have the last
LIGHTER = 0.18  # share that every further variant of a method is mixed with
MIN_CONTRAST = 3.0  # of lines with their ground
MAX_NAME_CHARS = 14  # of the part of an objective's title before the colon, to stand as its name


@dataclass(frozen=True)
class Look:
    """method: name of the objective; name: of the variant, in figures; rank: 0 for the first variant of its method."""

    method: str
    method_name: str
    name: str
    colour: str
    marker: str
    line: Any
    rank: int

    def style(self) -> dict[str, Any]:
        return {"color": self.colour, "marker": self.marker, "linestyle": self.line}

    def thin_style(self) -> dict[str, Any]:
        return {**self.style(), "markersize": 2.8, "linewidth": 1.1}


def looks(variants: Mapping[str, Mapping[str, Any]], palette: Palette = METHODS, is_dark: bool = False) -> dict[str, Look]:
    """Of every variant of a run's record, by its label. Several objectives that have no colour of their own share the others."""
    methods: dict[str, int] = {}  # method -> number of variants so far
    others = [name for name in dict.fromkeys(str(entry["name"]) for entry in variants.values()) if name not in COLOURS]
    names = method_names(variants)
    found = {}
    for label, entry in variants.items():
        method = str(entry["name"])
        rank = methods.get(method, 0)
        methods[method] = rank + 1
        place = list(methods).index(method)
        colour = palette.colour(method, others, is_dark)
        line = LINES[(rank + place if palette.lines_tell else rank) % len(LINES)]
        found[label] = Look(
            method, names[method], _variant_name(label, entry, names[method]), variant_colour(colour, rank, is_dark),
            MARKERS[place % len(MARKERS)], line, rank,
        )  # fmt: skip
    return found


def looks_of_methods(every_look: Mapping[str, Look]) -> dict[str, Look]:
    """Method -> the look of its first variant."""
    found: dict[str, Look] = {}
    for look in every_look.values():
        found.setdefault(look.method, look)
    return found


def method_names(variants: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """Objective -> the name of its method; of two with one title (a copy, changed) those that do not ship say their file too."""
    titles = {str(entry["name"]): _title_name(entry) for entry in variants.values()}
    shared = {title for title, count in Counter(titles.values()).items() if count > 1}
    return {name: f"{title} ({name})" if title in shared and name not in COLOURS else title for name, title in titles.items()}


def _title_name(entry: Mapping[str, Any]) -> str:
    """What a paper calls the method: its title up to the colon where that is short, else its file's name, in capitals if it is
    an abbreviation."""
    short, colon, _ = str(entry.get("title", "")).partition(":")
    name = str(entry["name"])
    if short and len(short) <= MAX_NAME_CHARS and (colon or " " not in short):
        return short
    return name.upper() if name.isalpha() and len(name) <= 4 else name


def _variant_name(label: str, entry: Mapping[str, Any], method: str) -> str:
    """The label that the user chose; else the method's name and the settings: "S-SimPO, lr 0.0001" for ssimpo-lr0.0001."""
    folder, name = str(entry.get("folder", label)), str(entry["name"])
    if label != folder or not folder.startswith(name):
        return label
    settings = [re.sub(r"^([A-Za-z_.]+?)(-?[\d.].*)$", r"\1 \2", part) for part in folder[len(name) :].split("-") if part]
    return ", ".join([method, *settings])


def display_names(variants: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """Label -> the name that a reader knows, "S-SimPO", made printable."""
    names = method_names(variants)
    return {label: display_text(_variant_name(label, entry, names[str(entry["name"])])) for label, entry in variants.items()}


def baseline(variants: Mapping[str, Mapping[str, Any]], labels: list[str]) -> str | None:
    """The first of the labels whose objective needs nothing but the real responses: supervised fine-tuning, or None."""
    for label in labels:
        needs = variants[label].get("needs") or []
        if needs and not any(part.get("reference") or part.get("synthetic") or part.get("proto") for part in needs):
            return label
    return None


@cache
def shades_on_dark() -> dict[str, str]:
    """Colour of a method's variant on white -> the same on a dark ground."""
    pairs = list(zip(METHODS.light, METHODS.dark, strict=True))
    return {variant_colour(light, rank): variant_colour(dark, rank, is_dark=True) for light, dark in pairs for rank in RANKS}


def variant_colour(colour: str, rank: int, is_dark: bool = False) -> str:
    """Of a method's `rank`-th variant: mixed with the ground, or with the ink where too little contrast would be left."""
    share = LIGHTER * RANKS[min(rank, RANKS[-1])]
    ground, ink = (DARK_GROUND, LIGHT_GROUND) if is_dark else (LIGHT_GROUND, "#000000")
    faint = _mix(colour, ground, share)
    return faint if contrast(faint, ground) >= MIN_CONTRAST else _mix(colour, ink, share)


def _mix(colour: str, other: str, share: float) -> str:
    parts = ((int(colour[i : i + 2], 16), int(other[i : i + 2], 16)) for i in (1, 3, 5))
    return "#" + "".join(f"{round(part + (below - part) * share):02x}" for part, below in parts)


def contrast(a: str, b: str) -> float:
    """1 to 21, by the relative luminance of WCAG 2.2, https://www.w3.org/TR/WCAG22/#dfn-contrast-ratio."""
    dark, light = sorted(map(_luminance, (a, b)))
    return (light + 0.05) / (dark + 0.05)


def _luminance(colour: str) -> float:
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
