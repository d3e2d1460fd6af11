"""The report as one HTML file that loads nothing: figures and style are inside, tips on hover are drawn without a script.

All text passes through the template's escaping; the page's own security policy forbids scripts and anything from outside.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent
TYPE, LINE = 7.5, 9.5  # size of type and line in a tip, in the figure's points
ADVANCE = 0.602 * TYPE  # width of a character of the tips' fixed-width type
GAP = 4.0
REACH = 4.0


def page(content: dict[str, Any], plots: Path) -> str:
    """The whole page. plots: folder of the figures (NAME.svg and NAME.points.json)."""
    import jinja2
    from markupsafe import Markup

    style = (FOLDER / "report.css").read_text(encoding="utf-8")
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(FOLDER), autoescape=True, undefined=jinja2.StrictUndefined, keep_trailing_newline=True
    )
    names = [b["name"] for s in content["sections"] for b in s["blocks"] if b["kind"] == "figure"]
    return environment.get_template("report.html").render(
        c=content,
        style=Markup(style),
        style_digest=base64.b64encode(hashlib.sha256(style.encode("utf-8")).digest()).decode("ascii"),
        figures={name: drawn(plots / f"{name}.svg") for name in names},
    )


def drawn(svg: Path) -> dict[str, Any]:
    """A figure with its size in points and the tips that lie over it."""
    source = svg.read_bytes()
    size = re.search(rb'viewBox="0 0 ([\d.]+) ([\d.]+)"', source)
    assert size, f"{svg}: no view box"
    width, height = (float(value) for value in size.groups())
    points = json.loads(svg.with_suffix(".points.json").read_text(encoding="utf-8"))
    return {
        "image": base64.b64encode(source).decode("ascii"),
        "width": width,
        "height": height,
        "reach": REACH,
        "tips": [tip(one, width, height) for one in points],
    }


def tip(point: dict[str, Any], width: float, height: float) -> dict[str, Any]:
    """Where a point's tip lies: above it, or below where there is no room, and never beyond the figure's sides."""
    head, colon, rest = point["text"].partition(": ")
    lines = [head, rest] if colon else [head]
    wide, high = max(map(len, lines)) * ADVANCE + 2 * GAP, len(lines) * LINE + GAP
    left = min(max(point["x"] - wide / 2, 0.0), max(width - wide, 0.0))
    above = point["y"] - REACH - GAP - high
    top = above if above >= 0 else min(point["y"] + REACH + GAP, height)
    return {
        "x": point["x"],
        "y": point["y"],
        "left": round(left, 2),
        "top": round(top, 2),
        "width": round(wide, 2),
        "height": round(high, 2),
        "lines": [
            {"x": round(left + GAP, 2), "y": round(top + GAP / 2 + TYPE + i * LINE, 2), "text": text}
            for i, text in enumerate(lines)
        ],
    }
