"""Every palette keeps the methods apart, on white and on a dark ground; what is no palette, theme or font is told in a line."""

import itertools

import numpy as np
import pytest

from harness.errors import UserError
from harness.reporting.figures.library import font_folder
from harness.reporting.figures.methods import RANKS, looks, shades_on_dark, variant_colour
from harness.reporting.figures.options import DEFAULT, figure_options
from harness.reporting.figures.palettes import DARK_GROUND, LIGHT_GROUND, PALETTES
from harness.reporting.figures.theme import ON_DARK
from objectives._colours import COLOURS
from tests.helpers.colours import contrast, deuteranope, lab, linear
from tests.helpers.study_tables import entries

GROUNDS = [(name, is_dark) for name in PALETTES for is_dark in (False, True)]


def colours(name, is_dark):
    return PALETTES[name].dark if is_dark else PALETTES[name].light


@pytest.mark.parametrize(("name", "is_dark"), GROUNDS)
def test_every_colour_stands_out_from_its_ground(name, is_dark):
    ground = DARK_GROUND if is_dark else LIGHT_GROUND
    assert [colour for colour in colours(name, is_dark) if contrast(colour, ground) < 3] == []


@pytest.mark.parametrize(("name", "is_dark"), GROUNDS)
def test_methods_that_ship_are_told_apart_by_deuteranopes_too(name, is_dark):
    shipped = colours(name, is_dark)[: len(COLOURS)]
    for a, b in itertools.combinations(shipped, 2):
        least = 10 if name == "grey" else 15
        assert np.linalg.norm(deuteranope(a) - deuteranope(b)) >= least, (a, b)


@pytest.mark.parametrize(("name", "is_dark"), [("methods", False), ("methods", True), ("grey", False), ("grey", True)])
def test_and_in_grey_print(name, is_dark):
    lightness = sorted(lab(linear(colour))[0] for colour in colours(name, is_dark)[: len(COLOURS)])
    assert min(np.diff(lightness)) >= 7


@pytest.mark.parametrize(("name", "is_dark"), GROUNDS)
def test_variants_of_a_method_stand_out_from_the_ground_and_differ_in_lightness(name, is_dark):
    ground = DARK_GROUND if is_dark else LIGHT_GROUND
    for colour in colours(name, is_dark):
        shades = [variant_colour(colour, rank, is_dark) for rank in RANKS]
        assert shades[0] == colour and min(contrast(one, ground) for one in shades) >= 3
        assert min(np.diff(sorted(lab(linear(one))[0] for one in shades))) > 5


def test_in_grey_the_lines_of_methods_differ_too():
    run = entries({name: name for name in COLOURS})
    styles = {(look.colour, str(look.line)) for look in looks(run, PALETTES["grey"]).values()}
    assert len({line for _, line in styles}) > 3 and len(styles) == len(COLOURS)


@pytest.mark.parametrize("text", [ink for ink in ON_DARK if ink in ("#000000", "#222222", "#333333", "#444444", "#767676")])
def test_text_stands_out_from_the_dark_ground(text):
    assert contrast(ON_DARK[text], DARK_GROUND) >= 4.5


def test_a_colour_stands_for_one_thing_so_that_it_can_be_replaced():
    assert len(set(ON_DARK.values())) == len(ON_DARK) and not set(ON_DARK) & set(ON_DARK.values())
    shades = shades_on_dark()
    assert len(set(shades.values())) == len(shades) and not set(shades) & set(ON_DARK)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"palette": "okabe"},
            r'--palette "okabe": no such palette \(did you mean "okabe-ito"\?\); expected methods, grey, okabe-ito',
        ),
        ({"palette": "rainbow"}, "known: grey, methods, okabe-ito"),
        ({"theme": "night"}, "expected light or dark"),
        (
            {"font": "No Such Type"},
            r'--font "No Such Type": no such font here .*expected sans-serif, serif, monospace, the name',
        ),
        ({"font": "DejaVu Serrif"}, 'did you mean "DejaVu Serif"'),
        ({"font": "./none.ttf"}, r"--font ./none.ttf: no such file; expected sans-serif"),
        ({"widths": [0.5]}, r"--figure-width 0.5: expected 2.5 to 30 inches"),
    ],
)
def test_a_mistake_is_one_line_that_names_what_there_is(options, message):
    with pytest.raises(UserError, match=message):
        figure_options(**options)


def test_a_file_that_is_no_font_is_told(tmp_path):
    (tmp_path / "a.ttf").write_text("no font")
    with pytest.raises(UserError, match="not an outline font"):
        figure_options(font=str(tmp_path / "a.ttf"))


def test_a_font_is_found_by_its_kind_its_name_and_its_file():
    for font in ("serif", "dejavu serif", str(font_folder() / "DejaVuSerif.ttf")):
        assert figure_options(font=font).font == font
    assert figure_options() == DEFAULT and DEFAULT.as_typed() == ""


def test_options_read_back_as_they_are_typed():
    typed = figure_options([3.5], "serif", "grey", "dark", "Who's first?").as_typed()
    assert typed == """--figure-width 3.5 --font serif --palette grey --theme dark --title 'Who'"'"'s first?'"""
