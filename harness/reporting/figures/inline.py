"""A figure as an `<svg>` element inside a page: its text is text, and its colours follow the page's, light or dark.

The page has no need to allow inline styles, scripts or images: of a file only known elements and attributes are taken, colours
are attributes, ids bear the figure's name. Ink is the page's text colour; the other colours are CSS variables (`figure_css`).
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

from harness.errors import UserError
from harness.reporting.figures.methods import lighten, shade
from harness.reporting.figures.palettes import DARK_GROUND, LIGHT_GROUND, PALETTES
from harness.reporting.figures.theme import ALARM, ON_DARK
from objectives._colours import COLOURS

SVG, XLINK = "{http://www.w3.org/2000/svg}", "{http://www.w3.org/1999/xlink}"
ELEMENTS = {"g", "path", "use", "defs", "clipPath", "rect"}
ATTRIBUTES = {"id", "d", "x", "y", "width", "height", "transform", "clip-path"}
PROPERTIES = {"fill", "stroke", "stroke-width", "stroke-dasharray", "stroke-dashoffset", "stroke-linejoin", "stroke-linecap",
              "opacity", "fill-opacity", "stroke-opacity"}  # fmt: skip
FONT_FAMILY = "DejaVu Sans, Verdana, sans-serif"  # of like widths
GLYPH_UNITS = 100  # of matplotlib's glyphs in an em
CSS_ROLES = {"#767676": "muted", "#8c8c8c": "baseline", "#8a8a8a": "faint", "#5a5a5a": "soft", "#cccccc": "rule",
             "#dddddd": "grid", "#eeeeee": "band", ALARM: "alarm", LIGHT_GROUND: "ground"}  # fmt: skip
INK = ("#000000", "#111111", "#333333", "#444444", "#555555")  # the page's own text colour
NUM_SHADES = 4  # of a method's variants
NUMBER = re.compile(r"-?\d+(?:\.\d+)?(?:e-?\d+)?")
PAINT = re.compile(r"none|#[0-9a-f]{6}|[\d.,\s-]+|miter|round|bevel|butt|square")


def inline_svg(path: Path) -> str:
    """The figure of an SVG file of ours as an `<svg>` element without width and height: it is as wide as what it stands in.

    Raises UserError for a file that is no SVG. What it cannot show safely, such as an image, is left out.
    """
    try:
        parser = ElementTree.XMLParser(target=ElementTree.TreeBuilder(insert_comments=True))
        source = ElementTree.fromstring(path.read_text(encoding="utf-8"), parser)
    except (ElementTree.ParseError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: not an SVG file ({error}); write the figures again with: harness report RUN") from None
    box = source.get("viewBox", "")
    if source.tag != f"{SVG}svg" or not re.fullmatch(r"[\d.\s-]+", box):
        raise UserError(f"{path}: not an SVG file with a view box; write the figures again with: harness report RUN")
    root = ElementTree.Element("svg", {
        "xmlns": SVG[1:-1], "viewBox": box, "class": "figure", "role": "img", "fill": "currentColor", "font-family": FONT_FAMILY,
        "stroke-linejoin": "round", "stroke-linecap": "butt",
    })  # fmt: skip
    glyphs = {one.get("id", ""): one for one in source.iter(f"{SVG}path")}
    prefix = re.sub(r"[^\w.-]", "-", path.stem)
    colours = _css_colours()
    _copy_children(source, root, glyphs, prefix, colours)
    _add_missing(root, glyphs, prefix, colours)
    return ElementTree.tostring(root, encoding="unicode")


def _copy_children(
    source: ElementTree.Element, target: ElementTree.Element, glyphs: dict[str, ElementTree.Element], prefix: str, colours: dict
) -> None:
    words = None  # of the comment before a group: what the glyphs in it say
    for child in source:
        if child.tag is ElementTree.Comment:
            words = (child.text or "").strip()
            continue
        name = str(child.tag).removeprefix(SVG)
        if name == "g" and words and not words.startswith("$") and "scale(" in child.get("transform", ""):
            target.append(_text(child, words, glyphs))
        elif name in ELEMENTS:
            copy = ElementTree.SubElement(target, name, _attributes(child, prefix, colours))
            _copy_children(child, copy, glyphs, prefix, colours)
        words = None


def _text(group: ElementTree.Element, words: str, glyphs: dict[str, ElementTree.Element]) -> ElementTree.Element:
    """The words in place of their glyphs, as long as these are."""
    transform = group.get("transform", "")
    (scale,) = re.findall(r"scale\(([\d.e-]+)", transform)
    uses = list(group.iter(f"{SVG}use"))
    last = max(uses, key=_offset, default=None)
    attributes = {
        "transform": re.sub(r"\s*scale\([^)]*\)", "", transform),
        "font-size": f"{float(scale) * GLYPH_UNITS:g}",
    }
    if last is not None:
        glyph = glyphs.get(last.get(f"{XLINK}href", "")[1:])
        end = _offset(last) + (_right_edge(glyph) if glyph is not None else 0.0)
        attributes |= {"textLength": f"{end * float(scale):.2f}", "lengthAdjust": "spacingAndGlyphs"}
        if "Bold" in last.get(f"{XLINK}href", ""):
            attributes["font-weight"] = "bold"
    fill = dict(_styles(group)).get("fill", "")
    if fill:
        colours = _css_colours() if fill not in _INK_ON_CELLS else {}
        attributes["fill"] = colours.get(fill, fill)
    text = ElementTree.Element("text", attributes)
    text.text = html.unescape(words.replace("- -", "--")).replace("  ", " \u00a0")  # in a comment, matplotlib writes it like that
    return text


_INK_ON_CELLS = ("#222222", LIGHT_GROUND, ON_DARK["#222222"], DARK_GROUND)  # chosen for the cell below, whatever the page


def _offset(use: ElementTree.Element) -> float:
    if use.get("x"):
        return float(use.get("x", "0"))
    found = re.findall(r"translate\((-?[\d.]+)", use.get("transform", ""))
    return float(found[0]) if found else 0.0


def _right_edge(glyph: ElementTree.Element) -> float:
    """In glyph units."""
    numbers = [float(number) for number in NUMBER.findall(glyph.get("d", ""))]
    scale = re.findall(r"scale\(([\d.]+)", glyph.get("transform", ""))
    return max(numbers[::2], default=0.0) * (float(scale[0]) if scale else 1.0)


def _styles(element: ElementTree.Element) -> Iterator[tuple[str, str]]:
    for part in element.get("style", "").split(";"):
        name, _, value = (piece.strip() for piece in part.partition(":"))
        if name in PROPERTIES and PAINT.fullmatch(value):
            yield name, value


def _attributes(element: ElementTree.Element, prefix: str, colours: dict[str, str]) -> dict[str, str]:
    found = {}
    for name, value in element.attrib.items():
        if name == "id":
            found["id"] = f"{prefix}-{value}"
        elif name == "clip-path" and (target := re.fullmatch(r"url\(#([\w.-]+)\)", value)):
            found[name] = f"url(#{prefix}-{target[1]})"
        elif name in (f"{XLINK}href", "href") and value.startswith("#"):
            found["href"] = f"#{prefix}-{value[1:]}"
        elif name in ATTRIBUTES - {"id", "clip-path"}:
            found[name] = value
    styles = dict(_styles(element))
    for name, value in styles.items():
        is_ground = name == "fill" and value in (LIGHT_GROUND, DARK_GROUND) and "stroke" not in styles
        found[name] = "none" if is_ground else colours.get(value, value)
    return found


def _add_missing(root: ElementTree.Element, glyphs: dict[str, ElementTree.Element], prefix: str, colours: dict[str, str]) -> None:
    """The definitions that are still used and stood in a text that is text now."""
    ids = {one.get("id") for one in root.iter()}
    missing = dict.fromkeys(use.get("href", "")[1:] for use in root.iter("use") if use.get("href", "")[1:] not in ids)
    definitions = ElementTree.SubElement(root, "defs") if missing else root
    for name in missing:
        if (glyph := glyphs.get(name.removeprefix(f"{prefix}-"))) is not None:
            ElementTree.SubElement(definitions, "path", _attributes(glyph, prefix, colours))


def _css_colours() -> dict[str, str]:
    """Colour of a figure, on either ground -> what stands for it in a page."""
    found = {}
    for name, light, dark in reversed(list(css_variables())):
        found |= {dark: f"var({name}, {light})", light: f"var({name}, {light})"}
    return found | {colour: "currentColor" for ink in INK for colour in (ink, ON_DARK[ink])}


def css_variables() -> Iterator[tuple[str, str, str]]:
    """(name, value on a light ground, on a dark one) of every variable that a figure in a page has."""
    for light, role in CSS_ROLES.items():
        yield f"--figure-{role}", light, ON_DARK[light]
    for palette in PALETTES.values():
        for place, (light, dark) in enumerate(zip(palette.light, palette.dark, strict=True)):
            names = list(COLOURS)
            method = names[place] if place < len(names) else f"other-{place - len(names) + 1}"
            for rank in range(NUM_SHADES):
                name = f"--{palette.css}-{method}" + (f"-{rank + 1}" if rank else "")
                yield name, lighten(light, shade(rank)), lighten(dark, shade(rank), is_dark=True)


def figure_css() -> str:
    """The variables' values for a page's style sheet, by what the reader prefers. A page with a ground of its own sets
    `--figure-ground` after it."""
    light = "".join(f"{name}:{value};" for name, value, _ in css_variables())
    dark = "".join(f"{name}:{value};" for name, _, value in css_variables())
    return f":root{{{light}}}\n@media (prefers-color-scheme: dark){{:root{{{dark}}}}}\n"
