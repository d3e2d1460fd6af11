"""Rows that are no shares of 1: beside the mean, in their own unit and direction, or mapped by a range. Values by hand."""

import itertools
import json
import re
import shutil

import numpy as np
import pytest

from harness.analysis.facts import RunResults
from harness.analysis.frames import select
from harness.analysis.score_scale import UNBOUNDED_METRICS, infer_scale
from harness.analysis.stats import Uncertainty, interval, sum_uncertainties
from harness.errors import UserError
from harness.loop.suite import SuiteTask, load_suite
from harness.reporting.card import score_lines as card_scores
from harness.reporting.figures.methods import looks
from harness.reporting.figures.scores import task_curves
from harness.reporting.figures.style import house_style
from harness.reporting.report.content import content
from harness.reporting.tables import refresh
from harness.reporting.tables.comparisons import comparisons_table
from harness.reporting.tables.curves import drift_table, stability_table, unaveraged_table
from harness.reporting.tables.leaderboard import leaderboard
from harness.reporting.tables.paired_scores import PairedScores
from harness.reporting.tables.ranking import ranking_table
from tests.conftest import ROOT, read_csv_rows
from tests.reporting.conftest import change, only

RIGHT = {"initial": 1, "space/0": 2, "space/1": 3, "spin/0": 1, "spin/1": 2}  # of 4 items
ITEM_STDERR = {right: (right / 4 * (1 - right / 4) / 3) ** 0.5 for right in (1, 2, 3)}  # s / sqrt(n), s with n - 1
PAGES = {"initial": 20.0, "space/0": 15.0, "space/1": 18.0, "spin/0": 12.0, "spin/1": 30.0}
PLACES = {name: name.replace("/", "/seed-0/iteration-") for name in RIGHT}


def remake(run, pages=PAGES, items=None, seeds=(0,), shift=0.0, **row):
    """The small run with known numbers: arithmetic as in RIGHT, and its second row as a word perplexity like `pages`."""

    def with_row(record):
        record["suites"]["two"]["task"][1] |= {"label": "Pages", "metric": "word_perplexity", "higher_is_better": False, **row}
        record["seeds"] = list(seeds)

    change(run / "run.json", with_row)
    for objective, seed in itertools.product(("space", "spin"), seeds[1:]):
        shutil.copytree(run / objective / "seed-0", run / objective / f"seed-{seed}")
    for (name, place), seed in itertools.product(PLACES.items(), seeds):
        folder = run / place.replace("seed-0", f"seed-{seed}") / "evaluate/two"
        right, page = RIGHT[name], pages[name] + (shift * seed if name != "initial" else 0)

        def known_scores(scores, right=right, page=page):
            scores["records"][0] |= {"value": right / 4, "stderr": 0.2, "n": 4}
            scores["records"][1] |= {"value": page, "stderr": 2.0, "n": 6, "metric": row.get("metric", "word_perplexity")}

        def known_items(kept, right=right, page=page):
            kept["lab_arithmetic"]["values"] = [1.0] * right + [0.0] * (4 - right)
            kept["lab_continuation"]["values"] = items and [page + step for step in items]

        change(folder / "scores.json", known_scores)
        change(folder / "items.json", known_items)
    return RunResults(run)


def by_checkpoint(board):
    """(name as in RIGHT, its row) of the leaderboard."""
    for row in board.to_dict("records"):
        yield row["objective"] if row["iteration"] < 0 else f"{row['objective']}/{row['iteration']}", row


def test_a_perplexity_is_not_in_the_mean_and_is_shown_in_its_own_unit(run):
    facts = remake(run)
    for name, row in by_checkpoint(leaderboard(facts)):
        assert row["mean"] == row["normalised_mean"] == row["interquartile_mean"] == RIGHT[name] / 4
        assert row["item_stderr"] == pytest.approx(ITEM_STDERR[RIGHT[name]]), "of the items, whatever is recorded"
        assert row["lab_continuation"] == PAGES[name]
    stable = stability_table(facts)
    assert only(stable, objective="space", seed=0, name="best")["value"] == 0.75
    assert stable[stable["unit"] == "score"]["value"].max() <= 1


def test_what_is_lost_by_a_rise_is_a_loss_where_lower_is_better(run):
    table = unaveraged_table(remake(run))
    expected = {
        "space": {"best": 15, "best_iteration": 0, "last": 18, "drop": 3, "largest_fall": 3, "falls": 1, "area_lost": 1.5},
        "spin": {"best": 12, "best_iteration": 0, "last": 30, "drop": 18, "largest_fall": 18, "falls": 1, "area_lost": 9},
    }
    for objective, numbers in expected.items():
        over_seeds = select(table, objective=objective, seed=None, task="lab_continuation", seeds=1)
        assert dict(zip(over_seeds["name"], over_seeds["value"], strict=True)) == numbers
    assert set(table["unit"]) == {"word_perplexity", "iteration", "iterations"}


def test_a_row_without_items_is_never_paired_and_the_others_are(run):
    facts = remake(run)
    table, board = comparisons_table(PairedScores(facts)), leaderboard(facts)
    pages = table[table["task"] == "lab_continuation"]
    assert len(pages) == 3
    assert pages[["difference", "low", "high", "p", "mcnemar_p", "items", "clusters", "over"]].isna().all().all()
    for a, b, t in (("space", "spin", 1), ("space", "initial", -1), ("spin", "initial", -1)):
        expected = only(board, objective=a, iteration=1)["mean"] - only(board, objective=b, iteration=t)["mean"]
        for task in ("mean", "lab_arithmetic"):
            row = only(table, a=a, b=b, task=task)
            assert row["difference"] == pytest.approx(expected)
            assert row["items"] == 4 and np.isnan(row["p"]) and np.isnan(row["low"]), "four items tell nothing"


def test_churn_is_that_of_the_rows_in_the_mean(run):
    """Every item of a continuous measure changes every time; arithmetic's flip is one item of four."""
    facts = remake(run, items=(-1.0, 0.0, 1.0))
    assert only(stability_table(facts), objective="space", seed=0, name="churn")["value"] == 0.25
    row = only(drift_table(facts), objective="space", iteration=1, name="churn")
    assert (row["value"], row["n"]) == (0.25, 4)


@pytest.mark.parametrize(("items", "expected"), [((-1.0, 0.0, 1.0), 18.0 - 30.0), ((-22.0, -23.0), np.nan)])
def test_only_items_that_make_the_score_are_paired_in_the_rows_own_unit(items, expected, run):
    """The second: log-likelihoods behind a perplexity, as run folders made before have them."""
    row = only(comparisons_table(PairedScores(remake(run, items=items))), a="space", b="spin", task="lab_continuation")
    assert row["difference"] == pytest.approx(expected, nan_ok=True)
    assert np.isnan([row["high"], row["p"], row["mcnemar_p"]]).all(), "three items that all differ by as much are no certainty"


def test_a_range_maps_a_falling_row_into_the_mean(run):
    """From 10 (best) to 50: 18 is a share of 0.8; chance is the worst end."""
    facts = remake(run, items=(-1.0, 0.0, 1.0), range=[10, 50], chance=50.0)
    assert (facts.unaveraged_tasks, len(facts.averaged_tasks)) == ([], 2)
    share = {name: (50 - value) / 40 for name, value in PAGES.items()}
    board = leaderboard(facts)
    for name, row in by_checkpoint(board):
        assert row["mean"] == pytest.approx((RIGHT[name] / 4 + share[name]) / 2)
        assert row["normalised_mean"] == pytest.approx(row["mean"]), "both chances are 0 on their scales"
        assert row["item_stderr"] == pytest.approx(np.hypot(ITEM_STDERR[RIGHT[name]], 3**-0.5 / 40) / 2)
        assert row["lab_continuation"] == PAGES[name], "the column stays in the task's unit"
    assert only(board, objective="spin", iteration=1)["mean"] == pytest.approx((0.5 + 0.5) / 2)
    compared = comparisons_table(PairedScores(facts))
    row = only(compared, a="space", b="spin", task="mean")
    assert row["difference"] == pytest.approx((0.75 + 0.8) / 2 - (0.5 + 0.5) / 2)
    assert only(compared, a="space", b="spin", task="lab_continuation")["difference"] == pytest.approx(-12)
    best = board[board["best"]].set_index("objective")["iteration"]
    assert best.to_dict() == {"space": 1, "spin": 0}, "spin: 0.25 and 0.95, then 0.5 and 0.5"


def test_a_chance_level_inside_a_range_is_zero_when_normalised(run):
    row = only(leaderboard(remake(run, range=[10, 50], chance=30.0)), objective="space", iteration=1)
    assert row["normalised_mean"] == pytest.approx((0.75 + (0.8 - 0.5) / 0.5) / 2)


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"metric": "score", "higher_is_better": True}, "20 lies outside 0..1"),
        ({"range": [10, 25], "chance": 25.0}, "30 lies outside 10..25"),
        ({"metric": "bleu", "higher_is_better": True}, "bleu is not bound to 0..1"),
    ],
)
def test_a_number_outside_its_range_puts_the_row_beside_the_mean_for_all_players(row, reason, run):
    facts = remake(run, **row)
    assert facts.scales["lab_continuation"].reason == reason
    means = leaderboard(facts).set_index(["objective", "iteration"])["mean"]
    assert means["space", 0] == 0.5 and means["spin", 1] == 0.5
    with house_style():
        drawing = task_curves(leaderboard(facts), looks(facts.record["variants"]), facts.suite["task"], 2, facts.scales)
    (line, *_) = drawing.axes[1].get_lines()
    assert line.get_ydata().tolist() == [20, 15, 18], "in its own unit, and no chance level before it"


def test_the_lowest_curve_of_every_column_has_the_iterations_below_it(run):
    facts = RunResults(run)
    with house_style():
        drawing = task_curves(leaderboard(facts), looks(facts.record["variants"]), facts.suite["task"][:1] * 7, 2, facts.scales)
    named = [axis.xaxis.get_tick_params()["labelbottom"] for axis in drawing.axes[:7]]
    assert named == [False] * 2 + [True] * 5


def test_items_tell_a_score_of_100_even_where_its_mean_is_below_1(run):
    for items, in_mean in (((-0.5, 0.5, -0.5, 0.5), True), ((-0.5, 1.0, -0.5), False)):
        facts = remake(run, dict.fromkeys(PAGES, 0.5), items=items, metric="score", higher_is_better=True)
        assert facts.scales["lab_continuation"].in_mean == in_mean


def said_on_page_1(said):
    return [one["text"] for entry in said["first_page"][0]["entries"] for one in entry["sentences"]]


def test_everything_is_printed_in_words_and_none_of_it_as_percent(run):
    remake(run)
    refresh(run)
    text = (run / "tables/leaderboard.md").read_text()
    assert "| space | 1 | 75.0 ± 25.0 * | +50.0 | 75.0 | 1 | 75.0 | 18 |" in text
    assert "mean: plain mean of the 1 tasks; beside the mean, in its own unit: Pages (word\\_perplexity, lower is better)" in text
    printed = (run / "tables/leaderboard.tex").read_text()
    assert r"& \textbf{18} \\" in printed and r"& 30 \\" in printed, "the lowest is the best"
    said = content(RunResults(run))
    by_title = {section["title"]: section["blocks"] for section in said["sections"]}
    beside = "Beside the mean, Pages (word_perplexity, lower is better): "
    lowest = "the lowest at the last iteration (1) is space's, 18; the start's is 20."
    assert beside + lowest in said_on_page_1(said)
    (table,) = by_title["Beside the mean"]
    assert ["Pages", "spin", "20", "12", "0", "30", "–", "18", "18", "1"] in table["rows"]
    results = ("Where they end, and how steadily", "Task by task", "Beside the mean")
    shown = json.dumps([said["first_page"], *(by_title[title] for title in results)])
    assert not [wrong for wrong in ("1800", "3000", "1200", "nan") if re.search(rf"\b{wrong}\b", shown)]
    points = json.loads((run / "plots/tasks.points.json").read_text())
    assert any("Pages, SPIN, iteration 1: 30 word_perplexity" in point["text"] for point in points)
    assert read_csv_rows(run / "tables/beside.csv")
    assert "| lab\\_continuation | 0 | word\\_perplexity | 30 ± 2 | 6 |" in card_scores(RunResults(run), "spin", 0, 1)


def test_a_suite_with_no_share_at_all_has_no_mean_and_says_so(run):
    remake(run)
    change(run / "run.json", lambda record: record["suites"]["two"]["task"][0].update(metric="bleu"))
    refresh(run)
    facts = RunResults(run)
    board = leaderboard(facts)
    assert board[["mean", "normalised_mean", "interquartile_mean", "item_stderr"]].isna().all().all()
    assert not board["best"].any()
    assert stability_table(facts).empty
    compared = comparisons_table(PairedScores(facts))
    assert compared[compared["task"] == "mean"]["difference"].isna().all()
    assert ranking_table(PairedScores(facts), board, stability_table(facts), compared)["leader"].sum() == 0
    assert "; no mean, which no task enters; " in (run / "tables/leaderboard.md").read_text()
    assert said_on_page_1(content(facts))[0] == "No row of this suite enters a mean over tasks: every row is shown by itself."


def test_seeds_compare_in_the_rows_direction(run):
    """Three seeds: space has 18, 19, 20; spin 30, 31, 32. Lower is better, so space is better in nine pairs of nine."""
    facts = remake(run, seeds=(0, 1, 2), shift=1.0)
    compared = comparisons_table(PairedScores(facts))
    assert only(compared, a="space", b="spin", task="lab_continuation")["probability_of_improvement"] == 1.0
    assert np.isnan(only(compared, a="space", b="spin", task="lab_arithmetic")["probability_of_improvement"])
    row = only(unaveraged_table(facts), objective="space", seed=None, name="last")
    assert (row["value"], row["seeds"]) == (19.0, 3)
    error = sum_uncertainties([Uncertainty(2.0**2, 5), Uncertainty(1 / 3, 2)])
    assert (row["low"], row["high"], row["over"]) == (*interval(19.0, error), "items and seeds"), "recorded errors of 6 items"


def test_every_metric_of_lm_evals_registry_is_a_share_or_known_not_to_be():
    """A metric that lm-eval registers anew must be looked at."""
    import lm_eval.api.metrics  # noqa: F401
    from lm_eval.api.registry import higher_is_better_registry, metric_registry

    shares = {"acc", "acc_all", "acc_bytes", "acc_mutual_info", "acc_norm", "exact_match", "f1"}
    assert set(metric_registry.keys()) == shares | UNBOUNDED_METRICS
    assert {name for name in metric_registry if not higher_is_better_registry.get(name)} <= UNBOUNDED_METRICS


ROW = {"name": "t", "label": "T", "shots": 0, "metric": "score", "chance": 0.0}


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ({"range": [1, 1]}, "expected [low, high]"),
        ({"range": [1, float("inf")]}, "a finite number"),
        ({"range": [0, 100], "chance": 101}, "expected a number from 0 to 100"),
        ({"chance": 1.5}, "expected a number from 0 to 1"),
        ({"chance": 1.0}, "nothing could be better than chance"),
        ({"range": [0, 100], "chance": 0, "higher_is_better": False}, "nothing could be better than chance"),
    ],
)
def test_a_range_and_a_chance_that_make_no_sense_are_refused(row, expected):
    with pytest.raises(ValueError, match="validation error") as error:
        SuiteTask(**{**ROW, **row})
    assert expected in str(error.value)


def test_a_range_reaches_the_scale():
    scale = infer_scale(SuiteTask(**{**ROW, "range": [0, 100], "chance": 25}).model_dump())
    assert (scale.to_unit(43.0), scale.to_unit(25), scale.stderr_to_unit(2.0), scale.in_mean) == (0.43, 0.25, 0.02, True)


def test_a_judges_row_has_no_range(tmp_path):
    text = (ROOT / "harness/suites/mt-bench.toml").read_text().replace("chance = 0.1", "chance = 0.1\nrange = [0, 1]", 1)
    (tmp_path / "judged.toml").write_text(text)
    with pytest.raises(UserError, match="a judged row has no range"):
        load_suite(str(tmp_path / "judged.toml"))


@pytest.mark.parametrize("kept", [True, False])
def test_a_group_of_equal_tasks_has_one_difference_in_all_tables_or_none(kept, run):
    """Parts of one item and of three: right in one of either is 0.5 and 0.1667. A folder made before has no `parts`."""
    remake(run)
    for place in PLACES.values():
        folder = run / place / "evaluate/two"
        first, *others = json.loads((folder / "items.json").read_text())["lab_arithmetic"]["values"]
        score = (first + sum(others) / 3) / 2
        change(folder / "scores.json", lambda scores, score=score: scores["records"][0].update(value=score))
        change(folder / "items.json", lambda items: items["lab_arithmetic"].update({"parts": [1, 3]} if kept else {}))
    facts = RunResults(run)
    board, compared = leaderboard(facts), comparisons_table(PairedScores(facts))
    expected = only(board, objective="space", iteration=1)["mean"] - only(board, objective="spin", iteration=1)["mean"]
    assert expected == pytest.approx(1 / 6), "the third item, one of a part of three"
    for task in ("mean", "lab_arithmetic"):
        row = only(compared, a="space", b="spin", task=task)
        assert row["difference"] == pytest.approx(expected) if kept else np.isnan(row["difference"])
        assert np.isnan(row["mcnemar_p"]), "it would weigh the items alike"
