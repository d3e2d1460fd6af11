"""The page of what belongs to no run (theory): one file that loads and runs nothing, readable on hover in a real browser."""

import json
import re

import pytest

from harness.reporting.report.gallery import NAME
from harness.reporting.report.page import embed_figure, html_page, tooltip
from tests.conftest import ROOT
from tests.helpers.pages import check_runs_its_own_script_alone, loads_nothing, opened

HOSTILE = "<script>document.title = 'run'</script><img src=x onerror=alert(1)>\" onmouseover=\"x & </table>"


@pytest.fixture(scope="module")
def page():
    return ROOT / "reports" / "theory.html"


REPORTS = ROOT / "reports"
KEPT = sorted(path.relative_to(REPORTS).as_posix() for path in REPORTS.rglob("*.html") if path.name != NAME)


@pytest.mark.parametrize("kept", KEPT)
def test_no_page_that_is_kept_loads_anything(kept):
    text = (ROOT / "reports" / kept).read_text(encoding="utf-8")
    if "<script" in text:
        check_runs_its_own_script_alone(text)
    else:
        assert loads_nothing(text)


def hostile(tmp_path):
    plots = tmp_path / "plots"
    plots.mkdir()
    (plots / "f.svg").write_text('<svg viewBox="0 0 100 50" xmlns="http://www.w3.org/2000/svg"></svg>')
    (plots / "f.points.json").write_text(json.dumps([{"x": 50, "y": 25, "text": HOSTILE}]))
    blocks = [
        {"kind": "text", "text": HOSTILE},
        {"kind": "bullets", "items": [HOSTILE]},
        {"kind": "figure", "name": "f", "caption": HOSTILE},
        {"kind": "table", "header": [HOSTILE], "rows": [[HOSTILE]], "caption": HOSTILE, "align": ["l"], "grow": ["0"], "size": 8,
         "groups": []},
    ]  # fmt: skip
    section = {"title": HOSTILE, "blocks": blocks}
    content = dict.fromkeys(("title", "name", "suite", "suite_title"), HOSTILE) | {"sections": [section]}
    path = tmp_path / "hostile.html"
    path.write_text(html_page(content, plots), encoding="utf-8")
    return path


def test_hostile_text_stays_text(tmp_path):
    text = hostile(tmp_path).read_text(encoding="utf-8")
    assert not re.search(r'<script|<img src=x|" onmouseover="', text)
    assert text.count("&lt;script&gt;") > 10


@pytest.mark.parametrize(
    ("x", "y", "text", "left", "above"),
    [(50.0, 80.0, "a: b", None, True), (1.0, 80.0, "a long name: b", 0.0, True), (50.0, 3.0, "a: b", None, False)],
)
def test_a_tip_stays_inside_its_figure(x, y, text, left, above):
    found = tooltip({"x": x, "y": y, "text": text}, 200.0, 100.0)
    assert 0 <= found["left"] <= 200 - found["width"]
    assert (found["top"] + found["height"] < y) == above
    assert left is None or found["left"] == left
    assert [line["text"] for line in found["lines"]] == text.split(": ")


def test_every_point_lies_where_its_marker_is_drawn(played):
    """The places written beside the figure are those of the markers in the svg, to half a point."""
    path = played / "results/small/plots/stability_curves.svg"
    markers = re.findall(r'<use xlink:href="#\w+" x="([\d.]+)" y="([\d.]+)"', path.read_text())
    tips = embed_figure(path)["tips"]
    assert len(tips) == 2 * 3 + 2 + 2 * 2  # two objectives: initial and two iterations; their differences; two tasks' changes
    for one in tips[:8]:
        assert min(max(abs(one["x"] - float(x)), abs(one["y"] - float(y))) for x, y in markers) < 0.5


def test_every_curve_can_be_pointed_at(played):
    """Training: two objectives, two iterations, real, synthetic and loss at the end of each; the others have tips too."""
    plots = played / "results/small/plots"
    said = [point["text"] for point in json.loads((plots / "training.points.json").read_text())]
    assert len(said) == 2 * 2 * 3
    assert sum(text.startswith("SPACE, synthetic, iteration 1, step ") for text in said) == 1
    assert all(json.loads((plots / f"{name}.points.json").read_text()) for name in ("tasks", "drift", "stability_curves"))


def test_pointing_at_a_curve_shows_its_number(browser, page):
    sheet, asked, said = opened(browser, page)
    assert (asked, said) == ([], [])
    last = sheet.locator("figure").first.locator(".point").last
    assert not last.locator(".tip").is_visible()
    last.locator("circle").hover(force=True)
    assert last.locator(".tip").is_visible()
    words = " ".join(last.locator("text").all_text_contents())
    assert re.search(r"iteration \d+ KL\(data ‖ policy\) ", words)
    box, figure = last.locator(".tip").bounding_box(), sheet.locator(".plot").first.bounding_box()
    assert figure["x"] <= box["x"] and box["x"] + box["width"] <= figure["x"] + figure["width"] + 1


def test_the_page_is_no_wider_than_a_telephone(browser, page):
    sheet, _, _ = opened(browser, page)
    sheet.set_viewport_size({"width": 390, "height": 800})
    assert sheet.evaluate("document.documentElement.scrollWidth") <= 390


def test_hostile_text_runs_nothing_in_a_browser(browser, tmp_path):
    sheet, asked, _ = opened(browser, hostile(tmp_path))
    assert (asked, sheet.title() == "run", sheet.locator("script").count()) == ([], False, 0)
