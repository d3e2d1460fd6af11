"""Tables of comparisons, stability and drift: hand values from the items on disk; holes stay holes; unequal items are refused."""

import json
import shutil

import numpy as np
import pytest

from harness.analysis.facts import RunResults
from harness.errors import UserError
from harness.reporting.tables import refresh
from harness.reporting.tables.comparisons import comparisons_table
from harness.reporting.tables.curves import drift_table, stability_table
from harness.reporting.tables.leaderboard import leaderboard
from harness.reporting.tables.paired_scores import PairedScores
from harness.reporting.tables.ranking import ranking_table
from tests.conftest import read_csv_rows, run_cli_in_process, update_manifest_digests


@pytest.fixture
def run(played_copy):
    return played_copy / "results" / "small"


def items(run, where):
    return json.loads((run / where / "evaluate/two/items.json").read_text())


def change(path, alter):
    kept = json.loads(path.read_text())
    alter(kept)
    path.write_text(json.dumps(kept))
    update_manifest_digests(path.parent)


def test_a_comparison_is_the_difference_of_the_items_on_disk(run):
    table = comparisons_table(PairedScores(RunResults(run)))
    a, b = (items(run, f"{name}/seed-0/iteration-1") for name in ("space", "spin"))
    for task in a:
        expected = np.mean(a[task]["values"]) - np.mean(b[task]["values"])
        (row,) = table[(table["a"] == "space") & (table["b"] == "spin") & (table["task"] == task)].to_dict("records")
        assert row["difference"] == pytest.approx(expected)
        assert row["items"] == len(a[task]["values"])
        assert (row["seeds"], row["over"]) == (1, "items")
    (mean,) = table[(table["a"] == "space") & (table["b"] == "spin") & (table["task"] == "mean")].to_dict("records")
    board = {(r["objective"], r["iteration"]): r["mean"] for r in leaderboard(RunResults(run)).to_dict("records")}
    assert mean["difference"] == pytest.approx(board["space", 1] - board["spin", 1])


def test_a_player_with_a_hole_is_compared_with_no_one_and_is_no_ones_best(run):
    shutil.rmtree(run / "spin/seed-0/iteration-1/evaluate")
    facts = RunResults(run)
    arena = PairedScores(facts)
    compared = comparisons_table(arena)
    assert "spin" not in set(compared["a"]) | set(compared["b"])
    standing = ranking_table(arena, leaderboard(facts), stability_table(facts), compared).set_index("objective")
    assert np.isnan(standing.loc["spin", "last"])
    assert standing["chance_best"].isna().all(), "no chance is given while one of the panel is missing"
    assert not standing.loc["spin", "leader"]


def test_a_seed_with_a_hole_keeps_its_curve_up_to_it_and_leaves_the_row_over_seeds(run):
    shutil.rmtree(run / "spin/seed-0/iteration-1/evaluate")
    table = stability_table(RunResults(run))
    spin = table[table["objective"] == "spin"]
    assert set(spin["iterations"]) == {1}
    assert spin["seed"].notna().all(), "no row over seeds"
    assert table[(table["objective"] == "space") & table["seed"].isna()]["seeds"].tolist() == [1] * 8


def test_items_that_were_asked_differently_are_never_paired(run):
    def other(kept):
        kept["lab_arithmetic"]["items"] = "0" * 16

    change(run / "spin/seed-0/iteration-1/evaluate/two/items.json", other)
    with pytest.raises(UserError, match="lab_arithmetic was evaluated on different items for spin"):
        refresh(run)


def test_unequal_numbers_of_items_are_one_line_for_the_user(run, played_copy):
    def fewer(kept):
        kept["lab_arithmetic"]["values"].pop()
        kept["lab_arithmetic"]["items"] = "1" * 16

    change(run / "spin/seed-0/iteration-1/evaluate/two/items.json", fewer)
    done = run_cli_in_process("report", "small", cwd=played_copy, check=False)
    assert (done.returncode, len(done.stderr.splitlines())) == (1, 1), done.stderr


@pytest.mark.parametrize("value", [float("nan"), None, "right"])
def test_an_item_without_a_number_is_named_and_never_counted(value, run):
    def spoil(kept):
        kept["lab_continuation"]["values"][0] = value

    change(run / "spin/seed-0/iteration-1/evaluate/two/items.json", spoil)
    with pytest.raises(UserError, match="lab_continuation has an item without a number"):
        refresh(run)


def test_a_score_that_is_no_number_is_a_hole(run):
    def spoil(kept):
        kept["records"][0]["value"] = float("nan")

    change(run / "spin/seed-0/iteration-1/evaluate/two/scores.json", spoil)
    board = leaderboard(RunResults(run)).set_index(["objective", "iteration"])
    assert np.isnan(board.loc[("spin", 1), "mean"])
    assert board.loc[("spin", 1), "seeds"] == 0
    assert not np.isnan(board.loc[("spin", 0), "mean"])


def test_churn_in_the_tables_is_that_of_the_items_on_disk(run):
    before, after = (items(run, f"space/seed-0/iteration-{t}") for t in (0, 1))
    shares = [np.mean(np.array(before[t]["values"]) != np.array(after[t]["values"])) for t in before]
    table = stability_table(RunResults(run))
    (row,) = table[(table["objective"] == "space") & (table["name"] == "churn") & (table["seed"] == 0)].to_dict("records")
    assert row["value"] == pytest.approx(np.mean(shares))
    drift = drift_table(RunResults(run))
    (later,) = drift[(drift["objective"] == "space") & (drift["name"] == "churn") & (drift["iteration"] == 1)].to_dict("records")
    assert later["value"] == pytest.approx(row["value"])


def test_one_seed_gives_no_interval_anywhere(run):
    facts = RunResults(run)
    assert leaderboard(facts)["mean_low"].isna().all()
    assert stability_table(facts)["low"].isna().all()
    assert drift_table(facts)["low"].isna().all()


def test_every_row_says_where_its_number_comes_from_and_how_many_are_in_it(run):
    for name in ("comparisons", "stability", "standing", "drift", "leaderboard"):
        table = read_csv_rows(run / f"tables/{name}.csv")
        assert table
        assert all(r["source"] and r["seeds"] != "" for r in table if r.get("objective") != "initial"), name


@pytest.mark.parametrize("text", ["", "objective,iteration\n\x00\xff", "{}"])
def test_a_damaged_fact_is_one_line_for_the_user(text, run, played_copy):
    """Tables are made from the phases: a damaged one is named; a damaged table is made again."""
    before = (run / "tables/stability.csv").read_bytes()
    (run / "tables/stability.csv").write_text(text)
    run_cli_in_process("report", "small", cwd=played_copy)
    assert (run / "tables/stability.csv").read_bytes() == before
