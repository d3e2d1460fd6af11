"""Objectives are found by file alone: folder, path, entry point; clashes and broken files are named; variants are parsed."""

import sys

import pytest

from harness.discovery.spelling import parse_value
from harness.discovery.variants import find_objective, list_objectives, load_objective, parse_variants
from harness.errors import UserError
from tests.conftest import ROOT

SOURCE = (ROOT / "objectives" / "space.py").read_text()


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "objectives").mkdir()
    (tmp_path / "objectives" / "mine.py").write_text(SOURCE)
    return tmp_path / "objectives"


def test_a_file_dropped_into_the_folder_is_an_objective(folder):
    assert list(list_objectives(folder)) == ["mine"]
    (variant,) = parse_variants("mine:mu=2", folder=folder)
    assert variant.label == "mine-mu2"
    assert variant.objective(0).mu == 2.0


def test_listing_imports_nothing_and_a_broken_file_nobody_asked_for_harms_nobody(folder):
    (folder / "broken.py").write_text("raise RuntimeError('never imported')")
    assert list(list_objectives(folder)) == ["broken", "mine"]
    assert parse_variants("mine", folder=folder)[0].objective(0)
    with pytest.raises(UserError, match="broken.py: line 1: RuntimeError: never imported"):
        parse_variants("broken", folder=folder)[0].objective(0)


def test_a_path_leaves_no_bytecode_behind(folder):
    load_objective(folder / "mine.py")
    assert not list(folder.rglob("*.pyc"))


def test_the_same_name_through_two_doors_is_refused(folder, tmp_path):
    (tmp_path / "mine.py").write_text(SOURCE + "\n")
    with pytest.raises(UserError, match='"mine" comes from two places'):
        find_objective(str(tmp_path / "mine.py"), list_objectives(folder))


def test_an_installed_package_offers_objectives_by_entry_point(folder, tmp_path, monkeypatch):
    package = tmp_path / "site" / "other-1.0.dist-info"
    package.mkdir(parents=True)
    (package / "METADATA").write_text("Metadata-Version: 2.1\nName: other\nVersion: 1.0\n")
    (package / "entry_points.txt").write_text("[harness.objectives]\nforeign = other_losses\n")
    (package.parent / "other_losses.py").write_text(SOURCE)
    monkeypatch.syspath_prepend(str(package.parent))
    assert list_objectives(folder)["foreign"] == package.parent / "other_losses.py"
    assert "other_losses" not in sys.modules


def test_recipe_settings_are_overridden_by_the_command_line_and_do_not_enter_the_label():
    defaults = {"tspin": {"beta": [0.0, 0.1], "training": {"lr": 1e-4}}}
    (plain,) = parse_variants("tspin", defaults)
    assert (plain.label, plain.training) == ("tspin", {"lr": 1e-4})
    assert [plain.objective(t).beta for t in range(3)] == [0.0, 0.1, 0.1]
    assert [plain.objective(t).needs.proto for t in range(2)] == [0, 1]
    (other,) = parse_variants("tspin:beta=0.5:training.lr=1e-3", defaults)
    assert (other.label, other.training, other.objective(0).beta) == ("tspin-beta0.5-lr0.001", {"lr": 1e-3}, 0.5)


def test_a_refused_parameter_names_what_the_command_finds_the_objective_by(folder, tmp_path):
    (tmp_path / "own.py").write_text(SOURCE)
    for text, shown in ((f"{tmp_path}/own.py", f"show {tmp_path}/own.py"), ("space", "show space")):
        with pytest.raises(UserError, match=f"{shown}$"):
            parse_variants(f"{text}:mu=-1")[0].objective(0)


@pytest.mark.parametrize(
    ("text", "value"),
    [("3", 3), ("0.5", 0.5), ("1e-4", 1e-4), ("true", True), ("none", None), ("hinge", "hinge"), ("0|0.1", [0, 0.1])],
)
def test_values_are_parsed(text, value):
    assert parse_value(text) == value
