"""A matplotlib figure as inline SVG with real text: searchable, selectable, and dark where the page is.

The page's policy allows no style attributes, so every distinct style becomes a class of the page's own style sheet; a second rule
with other colours serves the dark page. Elements and attributes are those that matplotlib writes for such figures, no others.
"""

from __future__ import annotations

import colorsys
import io
import re
from dataclasses import dataclass, field
from typing import Any
from xml.etree import ElementTree

from harness.reporting.figures.methods import shades_on_dark
from harness.reporting.figures.style import Drawing
from harness.reporting.figures.theme import ON_DARK

SVG, XLINK = "{http://www.w3.org/2000/svg}", "{http://www.w3.org/1999/xlink}"
ELEMENTS = {"svg", "g", "path", "use", "text", "tspan", "defs", "clipPath", "rect", "title"}
ATTRIBUTES = {"id", "d", "x", "y", "width", "height", "transform", "clip-path", "href", "viewBox"}
STYLES = {"fill", "stroke", "stroke-width", "stroke-dasharray", "stroke-dashoffset", "stroke-linecap", "stroke-linejoin",
          "opacity", "fill-opacity", "stroke-opacity", "text-anchor", "font", "font-size", "font-weight"}  # fmt: skip
COLOUR = re.compile(r"(\w+):(#[0-9a-f]{6})\b")
FONT = re.compile(r"^(?:(bold|[1-9]00) )?([\d.]+)px ")
READABLE_LIGHTNESS = 0.62  # of a colour on the dark page
GREY_SATURATION = 0.12


@dataclass
class Styles:
    """Class names of distinct styles, shared by the figures of a page."""

    classes: dict[str, str] = field(default_factory=dict)

    def class_of(self, style: str) -> str:
        return self.classes.setdefault(style, f"f{len(self.classes)}")

    def light(self) -> str:
        return "".join(f".{name}{{{style}}}\n" for style, name in self.classes.items())

    def dark(self) -> str:
        def turned(found: re.Match[str]) -> str:
            return f"{found[1]}:{dark_colour(found[2], is_ground=found[1] == 'fill')}"

        rules = ((name, COLOUR.sub(turned, style)) for style, name in self.classes.items() if "#" in style)
        return "".join(f".{name}{{{style}}}\n" for name, style in rules)


def dark_colour(colour: str, is_ground: bool = False) -> str:
    """The colour for the dark page: the dark theme's, for ink and methods. Of others, such as a heat map's cells, greys and pale
    tints that text stands on are turned round, the rest is made as light as can be read there."""
    if known := ON_DARK.get(colour) or shades_on_dark().get(colour):
        return known
    red, green, blue = (int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))
    hue, lightness, saturation = colorsys.rgb_to_hls(red, green, blue)
    if saturation < GREY_SATURATION or (is_ground and lightness > READABLE_LIGHTNESS):
        lightness = 1 - 0.9 * lightness
    else:
        lightness = max(lightness, READABLE_LIGHTNESS)
    return "#" + "".join(f"{round(255 * part):02x}" for part in colorsys.hls_to_rgb(hue, lightness, saturation))


def inline_svg(plot: Drawing, name: str, styles: Styles, alt: str) -> str:
    """The figure as an <svg> element. name: begins every id, so that several figures fit on one page."""
    import matplotlib as mpl

    for axis in plot.figure.axes:
        _images_to_paths(axis)
    plot.finish()
    raw = io.BytesIO()
    with mpl.rc_context({"svg.fonttype": "none"}):
        plot.figure.savefig(raw, format="svg", metadata={"Date": None})
    root = _copy(ElementTree.fromstring(raw.getvalue()), name, styles)
    root.attrib.pop("width", None)
    root.attrib.pop("height", None)
    root.set("role", "img")
    root.set("aria-label", alt)
    return ElementTree.tostring(root, encoding="unicode", short_empty_elements=False)


def _images_to_paths(axis: Any) -> None:
    """Draw a heat map's cells as paths, whose colours have a dark form, in place of one picture."""
    for image in list(axis.images):
        values, bounds = image.get_array(), (axis.get_xlim(), axis.get_ylim())
        edges = ([n - 0.5 for n in range(count + 1)] for count in reversed(values.shape))
        axis.pcolormesh(*edges, values, cmap=image.get_cmap(), norm=image.norm, zorder=image.get_zorder())
        image.remove()
        axis.set_xlim(bounds[0])
        axis.set_ylim(bounds[1])


def _copy(element: ElementTree.Element, name: str, styles: Styles) -> ElementTree.Element:
    copy = ElementTree.Element(element.tag.removeprefix(SVG))
    copy.text = element.text if copy.tag in ("text", "tspan", "title") else None
    style = dict(part.split(":", 1) for part in element.get("style", "").split(";") if ":" in part)
    for key, value in element.attrib.items():
        plain = key.removeprefix(XLINK)
        if plain == "id":
            copy.set("id", f"{name}-{value}")
        elif plain == "href" and value.startswith("#"):
            copy.set("href", f"#{name}-{value[1:]}")
        elif plain == "clip-path":
            copy.set("clip-path", value.replace("url(#", f"url(#{name}-"))
        elif plain in STYLES:
            style.setdefault(plain, value)
        elif plain in ATTRIBUTES and plain != "href":
            copy.set(plain, value)
    if text := _style_text(style):
        copy.set("class", styles.class_of(text))
    for child in element:
        if child.tag.startswith(SVG) and child.tag.removeprefix(SVG) in ELEMENTS:
            copy.append(_copy(child, name, styles))
    return copy


def _style_text(style: dict[str, Any]) -> str:
    """A style of the names in STYLES alone. The font is the page's, in the figure's size and weight."""
    shown = {key.strip(): value.strip().lower() for key, value in style.items()}
    if found := FONT.match(shown.pop("font", "")):
        shown["font-size"] = f"{found[2]}px"
        if found[1]:
            shown["font-weight"] = found[1]
    return ";".join(f"{key}:{value}" for key, value in sorted(shown.items()) if key in STYLES)
