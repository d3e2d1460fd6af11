"""A figure inside a page: real text, the page's colours, and nothing that a strict policy forbids or a stranger put there."""

import re
from xml.etree import ElementTree

import pytest

from harness.errors import UserError
from harness.reporting.figures import save_figure
from harness.reporting.figures.inline import figure_css, inline_svg
from harness.reporting.figures.options import figure_options
from harness.reporting.figures.style import house_style, make_drawing
from objectives._colours import COLOURS
from tests.conftest import ROOT

SHIPPED = ROOT / "results/lab-reference/plots/stability_curves.svg"


@pytest.fixture(scope="module")
def shipped():
    return inline_svg(SHIPPED)


def drawn(folder, **chosen):
    options = figure_options(**chosen)
    with house_style(options):
        plot = make_drawing(1, 1, 2.0)
        plot.axes[0].plot([0, 1], [0, 1], color=options.palette.colour("space", [], options.is_dark), marker="o")
        plot.axes[0].set_title("a < b & c -- d", fontsize=8, color="#333333")
        save_figure(plot, folder / "one", options)
    return inline_svg(folder / "one.svg")


def test_it_is_an_svg_element_of_the_figures_size_with_its_words_as_text(shipped):
    root = ElementTree.fromstring(shipped)
    assert root.tag.endswith("svg") and root.get("viewBox", "").startswith("0 0 504 ") and root.get("width") is None
    words = [element.text for element in root.iter() if element.tag.endswith("text")]
    assert {"start", "SFT", "SPACE", "SPIN", "mean of 10 tasks, %"} <= set(words)
    assert "−10.8 [−12.5, −9.0]  p < .001".replace("  ", " \u00a0") in words, "as written, not escaped twice"


def test_a_strict_policy_has_nothing_to_forbid(shipped, tmp_path):
    for text in (shipped, drawn(tmp_path)):
        assert not re.search(r"<style|<script|<image|<metadata|<!--|style=|xlink|data:|javascript|\son\w+=", text)
        assert re.findall(r'href="(?!#)', text) == [] and "http" not in text.replace("http://www.w3.org/2000/svg", "")


def test_ids_bear_the_figures_name_and_every_reference_has_its_target(shipped):
    ids = re.findall(r'\bid="([^"]+)"', shipped)
    assert ids and all(name.startswith("stability_curves-") for name in ids)
    named = re.findall(r'href="#([^"]+)"', shipped) + re.findall(r"url\(#([^)]+)\)", shipped)
    assert named and set(named) <= set(ids)


def test_colours_are_the_pages(shipped):
    assert f"var(--method-space, {COLOURS['space']})" in shipped and "var(--figure-grid, #dddddd)" in shipped
    assert not re.search(r'(fill|stroke)="#(000000|333333|444444|555555|dddddd|767676)"', shipped)
    assert 'fill="currentColor"' in shipped
    grounds = re.findall(r'fill="(?:#ffffff|var\(--figure-ground[^"]*)"', re.sub(r"<text.*?</text>", "", shipped))
    assert len(grounds) == 0 or all("var" in ground for ground in grounds), "no white ground is left"


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_a_figure_of_either_theme_gives_the_same_colours(theme, tmp_path):
    text = drawn(tmp_path, theme=theme)
    assert f"var(--method-space, {COLOURS['space']})" in text and 'stroke="currentColor"' in text
    assert ">a &lt; b &amp; c -- d<" in text
    assert not re.search(r'fill="#(ffffff|15181d)"', text)


def test_another_palette_keeps_its_colours(tmp_path):
    assert "var(--okabe-ito-space, #0072b2)" in drawn(tmp_path, palette="okabe-ito")


def test_the_style_sheet_has_every_variable_for_light_and_dark(shipped):
    light, dark = figure_css().split("@media (prefers-color-scheme: dark)")
    for name in set(re.findall(r"var\((--[\w-]+)", shipped)):
        assert f"{name}:" in light and f"{name}:" in dark


def test_what_a_stranger_put_into_the_file_is_left_out(tmp_path):
    (tmp_path / "x.svg").write_text(
        '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" viewBox="0 0 1 1" onload="a()">'
        '<script>a()</script><image xlink:href="http://a/b.png"/><a href="javascript:a()"><path d="M 0 0"/></a><foreignObject/>'
        '<g onclick="a()" style="fill: url(http://a); stroke: #dddddd"><use xlink:href="http://a#b"/><path d="M 1 1" clip-path="url(http://a)"/></g></svg>'
    )
    text = inline_svg(tmp_path / "x.svg")
    assert not re.search(r"script|image|foreign|http://a|onload|onclick|javascript", text) and "M 1 1" in text


@pytest.mark.parametrize("content", ["no svg", "<html/>", '<svg xmlns="http://www.w3.org/2000/svg"/>'])
def test_what_is_no_figure_is_told(content, tmp_path):
    (tmp_path / "x.svg").write_text(content)
    with pytest.raises(UserError, match="x.svg: not an SVG file"):
        inline_svg(tmp_path / "x.svg")
