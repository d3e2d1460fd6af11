"""A method's colour and name: the same everywhere, readable on white, told apart in grey print and by deuteranopes."""

import colorsys
import itertools
from pathlib import Path

import numpy as np
import pytest

from harness.discovery.variants import list_objectives
from harness.reporting.figures.methods import baseline, display_names, looks
from objectives._colours import COLOURS, OTHERS
from tests.helpers.colours import DEUTERANOPIA, contrast_on_white, lab, linear


def test_the_conversions_are_those_of_known_colours():
    assert lab(linear("#ffffff")) == pytest.approx([100, 0, 0], abs=0.05)
    assert lab(linear("#ff0000")) == pytest.approx([53.24, 80.09, 67.20], abs=0.1)
    assert contrast_on_white("#000000") == pytest.approx(21) and contrast_on_white("#767676") == pytest.approx(4.54, abs=0.01)
    grey = linear("#808080")
    assert DEUTERANOPIA @ grey == pytest.approx(grey, abs=1e-4), "greys stay what they are"


@pytest.mark.parametrize("colour", [*COLOURS.values(), *OTHERS])
def test_every_colour_stands_out_from_white(colour):
    assert contrast_on_white(colour) >= 3


@pytest.mark.parametrize(("a", "b"), list(itertools.combinations(sorted(COLOURS), 2)))
def test_methods_are_told_apart_in_grey_and_without_green(a, b):
    grey = abs(lab(linear(COLOURS[a]))[0] - lab(linear(COLOURS[b]))[0])
    seen = [lab(np.clip(DEUTERANOPIA @ linear(COLOURS[name]), 0, 1)) for name in (a, b)]
    assert grey >= 7 and np.linalg.norm(seen[0] - seen[1]) >= 15


def test_every_method_that_ships_has_a_colour_and_a_name_of_its_own():
    titles = {path.stem: path for path in map(Path, list_objectives())}
    assert titles.keys() == COLOURS.keys()


def entry(name, title="", **more):
    return {"name": name, "title": title, "folder": name, **more}


def test_a_colour_belongs_to_the_method_whatever_else_is_run():
    alone, among = looks({"spin": entry("spin")}), looks({n: entry(n) for n in ("sft", "mine", "spin", "other")})
    assert alone["spin"].colour == among["spin"].colour == COLOURS["spin"]
    assert [among["mine"].colour, among["other"].colour] == list(OTHERS[:2])


def hue(colour):
    return colorsys.rgb_to_hsv(*(int(colour[i : i + 2], 16) for i in (1, 3, 5)))[0]


def test_variants_of_a_method_differ_by_line_and_lightness_not_by_hue():
    labels = ["spin", "spin-beta0.5", "spin-beta5.0"]
    first, *others = (looks({label: entry("spin", folder=label) for label in labels})[label] for label in labels)
    for other in others:
        assert other.line != first.line and other.marker == first.marker
        assert other.colour != first.colour and hue(other.colour) == pytest.approx(hue(first.colour), abs=0.01)


@pytest.mark.parametrize(
    ("label", "variant", "name"),
    [
        ("ssimpo", entry("ssimpo", "S-SimPO: self-play with simple preference optimisation"), "S-SimPO"),
        ("sft", entry("sft", "Supervised fine-tuning"), "SFT"),
        ("mine", entry("mine", "Mine"), "Mine"),
        ("margins", entry("margins", "A loss of margins"), "margins"),
        ("ssimpo-lr0.0001", entry("ssimpo", "S-SimPO: x", folder="ssimpo-lr0.0001"), "S-SimPO, lr 0.0001"),
        ("space-mu3-samples1", entry("space", "SPACE: x", folder="space-mu3-samples1"), "SPACE, mu 3, samples 1"),
        ("spin-examples300", entry("spin", "SPIN: x", folder="spin-examples300"), "SPIN, examples 300"),
        ("Ours, 2", entry("spin", "SPIN: x", folder="spin-beta0.5"), "Ours, 2"),
    ],
)
def test_names_are_those_of_papers_or_what_the_user_chose(label, variant, name):
    assert looks({label: variant})[label].name == name


def test_a_copy_with_its_original_s_title_says_its_file():
    title = "SPACE: self-play via noise contrastive estimation"
    variants = {
        "space": entry("space", title),
        "mine": entry("mine", title),
        "mine-mu7.0": entry("mine", title, folder="mine-mu7.0"),
    }
    assert display_names(variants) == {"space": "SPACE", "mine": "SPACE (mine)", "mine-mu7.0": "SPACE (mine), mu 7.0"}
    assert [look.name for look in looks(variants).values()] == list(display_names(variants).values())


def test_the_baseline_needs_nothing_but_the_real_responses():
    none = {"reference": False, "synthetic": 0, "proto": 0, "history": 0}
    variants = {"spin": entry("spin", needs=[{**none, "reference": True, "synthetic": 1}]), "sft": entry("sft", needs=[none])}
    assert baseline(variants, ["spin", "sft"]) == "sft" and baseline(variants, ["spin"]) is None
