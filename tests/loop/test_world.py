"""A world is one module behind harness/world.py: a toy world plays SPIN and SPACE through the real loop, to the report."""

import pytest

from harness.errors import UserError
from harness.world import load_world
from tests.conftest import read_csv_rows, run_cli_in_process

RECIPE = """
world = "tests.toy_world:World"
objectives = "space,spin"
iterations = 4
seeds = [0, 1]
[training]
lr = 0.05
epochs = 1
batch_size = 100
optimizer = "adamw"
micro_batch = 100
[evaluation]
suite = "./outcomes.toml"
"""
SUITE = """
title = "Outcomes"
version = "1"
lm_eval = "0.4.13"
[[task]]
name = "modes"
label = "modes"
shots = 0
metric = "acc"
chance = 0.5
"""


@pytest.fixture(scope="module")
def toy_run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("toy")
    (folder / "toy.toml").write_text(RECIPE)
    (folder / "outcomes.toml").write_text(SUITE)
    run_cli_in_process("run", "--recipe", "toy.toml", cwd=folder)
    return folder


def test_it_comes_to_a_report_and_both_objectives_learn_the_data(toy_run):
    """KL(data || policy) of a table that starts uniform: less than half of it is left after four iterations."""
    assert (toy_run / "reports" / "toy.pdf").read_bytes().startswith(b"%PDF")
    kl = {
        (r["objective"], r["seed"], r["iteration"]): float(r["value"])
        for r in read_csv_rows(toy_run / "results/toy/dynamics.csv")
    }
    start = kl["initial", "", "-1"]
    for objective in ("space", "spin"):
        for seed in ("0", "1"):
            assert kl[objective, seed, "3"] < start / 2
    leaderboard = read_csv_rows(toy_run / "results/toy/tables/leaderboard.csv")
    assert {r["objective"] for r in leaderboard} == {"initial", "space", "spin"}


def test_the_same_command_does_nothing_again(toy_run):
    before = {p: p.read_bytes() for p in (toy_run / "results").rglob("manifest.json")}
    run_cli_in_process("run", "--recipe", "toy.toml", cwd=toy_run)
    assert {p: p.read_bytes() for p in (toy_run / "results").rglob("manifest.json")} == before


def test_an_unknown_world_is_one_line():
    with pytest.raises(UserError, match='world: unknown world "langauge" \\(did you mean "language"\\?\\)'):
        load_world("langauge")
