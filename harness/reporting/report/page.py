"""Content as one HTML file that loads and runs nothing: figures and style are inside, tooltips are drawn without a script.

All text passes through the template's escaping; the page's own security policy forbids scripts and any external resource.
"""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path
from typing import Any

from harness.reporting.report.blocks import figure_names
from harness.security.page_policy import content_hash

FOLDER = Path(__file__).parent
FONT_SIZE, LINE_HEIGHT = 7.5, 9.5  # of a tooltip, in the figure's points
CHAR_WIDTH = 0.602 * FONT_SIZE  # of the tooltips' fixed-width type
TOOLTIP_PADDING = 4.0
POINT_RADIUS = 4.0


def html_page(content: dict[str, Any], plots: Path) -> str:
    """The whole page. plots: folder of the figures (NAME.svg and NAME.points.json)."""
    import jinja2
    from markupsafe import Markup

    style = (FOLDER / "report.css").read_text(encoding="utf-8")
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(FOLDER), autoescape=True, undefined=jinja2.StrictUndefined, keep_trailing_newline=True
    )
    figures = {name: embed_figure(plots / f"{name}.svg") for name in figure_names(content)}
    template = environment.get_template("report.html")
    return template.render(c=content, style=Markup(style), style_digest=content_hash(style), figures=figures)


def embed_figure(svg: Path) -> dict[str, Any]:
    """A figure with its size in points and the tooltips over it."""
    source = svg.read_bytes()
    size = re.search(rb'viewBox="0 0 ([\d.]+) ([\d.]+)"', source)
    assert size, f"{svg}: no view box"
    width, height = (float(value) for value in size.groups())
    points = json.loads(svg.with_suffix(".points.json").read_text(encoding="utf-8"))
    image, tips = base64.b64encode(source).decode("ascii"), [tooltip(point, width, height) for point in points]
    return {"image": image, "width": width, "height": height, "reach": POINT_RADIUS, "tips": tips}


def tooltip(point: dict[str, Any], width: float, height: float) -> dict[str, Any]:
    """Position of a point's tooltip: above it, or below where there is no room, and never beyond the figure's sides."""
    title, colon, rest = point["text"].partition(": ")
    lines = [title, rest] if colon else [title]
    box_width, box_height = max(map(len, lines)) * CHAR_WIDTH + 2 * TOOLTIP_PADDING, len(lines) * LINE_HEIGHT + TOOLTIP_PADDING
    left = min(max(point["x"] - box_width / 2, 0.0), max(width - box_width, 0.0))
    above = point["y"] - POINT_RADIUS - TOOLTIP_PADDING - box_height
    top = above if above >= 0 else min(point["y"] + POINT_RADIUS + TOOLTIP_PADDING, height)
    box = {"left": left, "top": top, "width": box_width, "height": box_height}
    text_x, first_y = round(left + TOOLTIP_PADDING, 2), top + TOOLTIP_PADDING / 2 + FONT_SIZE
    texts = [{"x": text_x, "y": round(first_y + i * LINE_HEIGHT, 2), "text": text} for i, text in enumerate(lines)]
    return {"x": point["x"], "y": point["y"], **{name: round(value, 2) for name, value in box.items()}, "lines": texts}
