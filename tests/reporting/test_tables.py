"""Tables of comparisons, stability and drift: hand values from the items on disk; holes stay holes; unequal items are refused."""

import json
import shutil

import numpy as np
import pytest

from harness.analysis.facts import RunResults
from harness.reporting.tables.comparisons import comparisons_table
from harness.reporting.tables.curves import drift_table, stability_table
from harness.reporting.tables.leaderboard import leaderboard
from harness.reporting.tables.paired_scores import PairedScores
from harness.reporting.tables.ranking import ranking_table
from tests.conftest import read_csv_rows, run_cli_in_process
from tests.helpers.damage import refused
from tests.reporting.conftest import change, only


def items(run, where):
    return json.loads((run / where / "evaluate/two/items.json").read_text())


def test_a_comparison_is_the_difference_of_the_items_on_disk(run):
    table = comparisons_table(PairedScores(RunResults(run)))
    a, b = (items(run, f"{name}/seed-0/iteration-1") for name in ("space", "spin"))
    for task in a:
        row = only(table, a="space", b="spin", task=task)
        assert row["difference"] == pytest.approx(np.mean(a[task]["values"]) - np.mean(b[task]["values"]))
        assert (row["items"], row["seeds"], row["over"]) == (len(a[task]["values"]), 1, "items")


def test_a_player_with_a_hole_is_compared_with_no_one_and_is_no_ones_best(run):
    shutil.rmtree(run / "spin/seed-0/iteration-1/evaluate")
    facts = RunResults(run)
    arena = PairedScores(facts)
    compared = comparisons_table(arena)
    assert "spin" not in set(compared["a"]) | set(compared["b"])
    standing = ranking_table(arena, leaderboard(facts), stability_table(facts), compared).set_index("objective")
    assert np.isnan(standing.loc["spin", "last"]) and not standing.loc["spin", "leader"]
    assert standing["chance_best"].isna().all(), "no chance is given while one of the panel is missing"


def test_a_seed_with_a_hole_keeps_its_curve_up_to_it_and_leaves_the_row_over_seeds(run):
    shutil.rmtree(run / "spin/seed-0/iteration-1/evaluate")
    table = stability_table(RunResults(run))
    spin = table[table["objective"] == "spin"]
    assert set(spin["iterations"]) == {1}
    assert spin["seed"].notna().all(), "no row over seeds"
    assert table[(table["objective"] == "space") & table["seed"].isna()]["seeds"].tolist() == [1] * 8


@pytest.mark.parametrize(
    ("task", "alter", "line"),
    [
        ("lab_arithmetic", lambda item: item.update(items="0" * 16), "was evaluated on different items for spin"),
        ("lab_arithmetic", lambda item: item.update(items="1" * 16, values=item["values"][1:]), "was evaluated on different"),
        *(
            ("lab_continuation", lambda item, v=v: item["values"].__setitem__(0, v), "has an item without a number")
            for v in (float("nan"), None, "right")
        ),
    ],
)
def test_items_that_cannot_be_paired_are_one_line_that_names_the_task(task, alter, line, run, played_copy):
    """Asked differently, fewer of them, or one without a number: never paired, never counted."""
    change(run / "spin/seed-0/iteration-1/evaluate/two/items.json", lambda items: alter(items[task]))
    assert f"{task} {line}" in refused(played_copy, "report", "small")


def test_a_score_that_is_no_number_is_a_hole(run):
    change(
        run / "spin/seed-0/iteration-1/evaluate/two/scores.json", lambda scores: scores["records"][0].update(value=float("nan"))
    )
    board = leaderboard(RunResults(run)).set_index(["objective", "iteration"])
    assert np.isnan(board.loc[("spin", 1), "mean"]) and board.loc[("spin", 1), "seeds"] == 0
    assert not np.isnan(board.loc[("spin", 0), "mean"])


def test_churn_in_the_tables_is_that_of_the_items_on_disk(run):
    before, after = (items(run, f"space/seed-0/iteration-{t}") for t in (0, 1))
    shares = [np.mean(np.array(before[t]["values"]) != np.array(after[t]["values"])) for t in before]
    results = RunResults(run)
    row = only(stability_table(results), objective="space", name="churn", seed=0)
    assert row["value"] == pytest.approx(np.mean(shares))
    assert only(drift_table(results), objective="space", name="churn", iteration=1)["value"] == pytest.approx(row["value"])


def test_one_seed_gives_no_interval_anywhere(run):
    for table, column in ((leaderboard, "mean_low"), (stability_table, "low"), (drift_table, "low")):
        assert table(RunResults(run))[column].isna().all()


def test_every_row_says_where_its_number_comes_from_and_how_many_are_in_it(run):
    for name in ("comparisons", "stability", "standing", "drift", "leaderboard"):
        table = read_csv_rows(run / f"tables/{name}.csv")
        assert table and all(r["source"] and r["seeds"] != "" for r in table if r.get("objective") != "initial"), name


@pytest.mark.parametrize("text", ["", "objective,iteration\n\x00\xff", "{}"])
def test_a_damaged_table_is_made_again_from_the_phases(text, run, played_copy):
    before = (run / "tables/stability.csv").read_bytes()
    (run / "tables/stability.csv").write_text(text)
    run_cli_in_process("report", "small", cwd=played_copy)
    assert (run / "tables/stability.csv").read_bytes() == before


def test_a_phase_of_a_kind_that_tables_do_not_know_has_its_cost_in_them(run):
    folder = run / "space/seed-0/iteration-0"
    shutil.copytree(folder / "probe", folder / "mine")
    costs = RunResults(run).costs
    assert only(costs, phase="mine")["seconds"] == only(costs, phase="probe", objective="space", iteration=0)["seconds"]
