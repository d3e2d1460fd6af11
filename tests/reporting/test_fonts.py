"""Figures and PDF depend on the data alone: no setting of matplotlib's has a say, any script is drawn that a font here has."""

import json
import os
import re
import subprocess
import sys

import pytest

from harness.reporting.figures import fonts, save_figure
from harness.reporting.figures.library import font_folder, isolated_matplotlib, matplotlib
from harness.reporting.figures.style import house_style, make_drawing, shared_legend
from harness.reporting.report.blocks import section, text
from harness.reporting.report.document import compile_pdf

HAN = "中文"
DRAW = """
import sys
from pathlib import Path
from tests.reporting.test_fonts import draw
draw(Path(sys.argv[1]), "Кириллица")
assert "matplotlib.pyplot" not in sys.modules
"""


def draw(stem, title):
    stem.parent.mkdir(exist_ok=True)
    with house_style():
        made = make_drawing(1, 2, 2.0, sharey=True)
        for axis in made.axes:
            axis.plot([0, 1], [1e-3, 1], label="$a_1$")
            axis.set_yscale("log")
            axis.set_title(title)
        shared_legend(made, made.axes[0])
        return {path.suffix: path.read_bytes() for path in save_figure(made, stem)}


def test_nothing_in_the_surroundings_changes_a_figure(tmp_path):
    (tmp_path / "matplotlibrc").write_bytes(b"\xff\xfe no text")  # the current folder's: read first, and not readable
    rc = tmp_path / "rc"
    rc.mkdir()
    (rc / "matplotlibrc").write_text(
        "font.size: 30\nsvg.fonttype: none\nfigure.facecolor: red\ntext.usetex: True\naxes.grid: False\n"
    )
    surroundings = {"MPLBACKEND": "not_a_backend", "MATPLOTLIBRC": str(rc), "MPLCONFIGDIR": "/proc/nowhere", "DISPLAY": ":99"}
    path = os.pathsep.join([os.getcwd(), *filter(None, [os.environ.get("PYTHONPATH")])])
    done = subprocess.run(
        [sys.executable, "-c", DRAW, str(tmp_path / "other" / "a")],
        cwd=tmp_path, env={**os.environ, **surroundings, "PYTHONPATH": path}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    with matplotlib().rc_context({"font.size": 30.0, "axes.grid": True, "lines.linewidth": 9, "font.family": ["serif"]}):
        here = draw(tmp_path / "here" / "a", "Кириллица")
    assert set(here) == {".png", ".svg", ".pdf", ".json"}
    assert here == {suffix: (tmp_path / f"other/a{'.points' * (suffix == '.json')}{suffix}").read_bytes() for suffix in here}


def test_settings_and_fonts_of_the_process_are_as_before():
    library = matplotlib()
    manager = sys.modules["matplotlib.font_manager"].fontManager
    kept, before = list(manager.ttflist), dict(library.rcParams.copy())
    with isolated_matplotlib({"font.size": 3.0}):
        assert library.rcParams["font.size"] == 3.0
        assert {os.path.dirname(entry.fname) for entry in manager.ttflist} == {str(font_folder())}
    assert list(manager.ttflist) == kept
    assert dict(library.rcParams.copy()) == before


def a_font(path, name, characters):
    """DejaVu Sans under another name, with its A for every one of these characters and nothing else."""
    from fontTools.ttLib import TTFont

    font = TTFont(font_folder() / "DejaVuSans.ttf")
    for table in font["cmap"].tables:
        table.cmap = {ord(c): "A" for c in characters} if table.isUnicode() else {}
    for record in font["name"].names:
        if record.nameID in (1, 3, 4, 6, 16):
            record.string = name
    for tag in ("GSUB", "GPOS", "kern"):
        if tag in font:
            del font[tag]
    font.save(path)
    return str(path)


@pytest.fixture
def system(monkeypatch, tmp_path):
    """What the system has by way of fonts; nothing at first."""
    found = []
    matplotlib()
    monkeypatch.setattr(sys.modules["matplotlib.font_manager"], "findSystemFonts", lambda: found)
    forget_fonts()
    yield found
    forget_fonts()


def forget_fonts():
    fonts._candidate_fonts.cache_clear()
    fonts._choose_fonts.cache_clear()


def test_a_script_is_drawn_in_the_systems_font_where_it_has_one(system, tmp_path):
    boxes = draw(tmp_path / "a", f"{HAN} A")
    forget_fonts()
    system += [a_font(tmp_path / "LastResort.ttf", "LastResort", HAN + "한"), a_font(tmp_path / "Z-Han.ttf", "ZHan", HAN[:1])]
    system += [a_font(tmp_path / "Han-Regular.ttf", "PlainHan", HAN), str(tmp_path / "none.ttf")]
    (tmp_path / "none.ttf").write_text("no font")
    drawn = draw(tmp_path / "b", f"{HAN} A")
    assert drawn[".png"] != boxes[".png"]
    chosen, left = fonts.fonts_for(f"{HAN}한 Кириллица العربية")
    assert ([path.name for path in chosen], left) == (["Han-Regular.ttf"], {"한"})
    names = [set(re.findall(rb'<path id="([A-Za-z]+)', one[".svg"])) for one in (boxes, drawn)]
    assert (b"PlainHan" in names[0], b"PlainHan" in names[1], b"ZHan" in names[1]) == (False, True, False)


def test_the_pdf_has_the_same_fonts_and_what_no_font_has_is_named(system, tmp_path):
    said = {"title": HAN, "name": "n", "suite": "s", "suite_title": "t", "sections": [section("Ж", text("العربية ≥"))]}
    assert fonts.missing_glyphs_message("plain Кириллица العربية ελ ‖ ⏎ ▽ ± \n", "again") is None
    line = fonts.missing_glyphs_message(json.dumps(said, ensure_ascii=False), "harness report x")
    assert line is not None and "中 (U+4E2D)" in line and "文" in line and line.endswith("harness report x")
    compile_pdf(said, tmp_path, tmp_path / "boxes.pdf")
    forget_fonts()
    system.append(a_font(tmp_path / "Han.ttf", "PlainHan", HAN))
    assert fonts.missing_glyphs_message(HAN, "again") is None
    compile_pdf(said, tmp_path, tmp_path / "a.pdf")
    compile_pdf(said, tmp_path, tmp_path / "b.pdf")
    assert (tmp_path / "a.pdf").read_bytes() == (tmp_path / "b.pdf").read_bytes()
    assert b"PlainHan" in (tmp_path / "a.pdf").read_bytes()
    assert b"PlainHan" not in (tmp_path / "boxes.pdf").read_bytes()
