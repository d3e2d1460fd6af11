"""Intervals in the tables of a run made up of known answers: one quantity has one interval, no claim goes beyond it."""

import itertools

import numpy as np
import pytest
import scipy.stats

from harness.analysis.frames import select
from harness.analysis.stats import Uncertainty, interval, sum_uncertainties
from harness.errors import UserError
from harness.records import INITIAL
from harness.reporting.first_page.build import few_items
from harness.reporting.first_page.lasting import since_best
from harness.reporting.first_page.numbers import PanelNumbers
from harness.reporting.tables.comparisons import comparisons_table
from harness.reporting.tables.formatting import p_value
from harness.reporting.tables.leaderboard import leaderboard
from harness.reporting.tables.markdown import as_markdown
from harness.reporting.tables.mean_errors import item_terms
from harness.reporting.tables.paired_scores import ModelKey, PairedScores
from tests.helpers.made_runs import BASE, TASKS, Written, drawn, made, played, tables
from tests.reporting.conftest import only


def test_the_leaderboards_interval_adds_items_and_seeds_and_is_that_of_every_table():
    facts = played({"a": (0.4, 0.6, 0.5), "b": (0.5, 0.5, 0.5)})
    board, curves, _, standing = tables(facts)
    for label in ("a", "b"):
        values = {task: np.array([facts.item_scores[label, s, 2][task]["values"] for s in range(3)]) for task in TASKS}
        seeds = np.mean([v.mean(axis=1) for v in values.values()], axis=0)
        items = [Uncertainty(v.mean(axis=0).var(ddof=1) / 30 / 4, 29) for v in values.values()]
        expected = interval(seeds.mean(), sum_uncertainties([*items, Uncertainty(seeds.var(ddof=1) / 3, 2)]))
        row = only(board, objective=label, iteration=2)
        assert (row["mean_low"], row["mean_high"]) == pytest.approx(expected)
        assert row["item_stderr"] == pytest.approx(np.sqrt(sum(e.variance for e in items)))
        assert row["seed_sd"] == pytest.approx(seeds.std(ddof=1))
        last = only(curves, objective=label, seed=None, name="last")
        assert (last["low"], last["high"], last["over"]) == (row["mean_low"], row["mean_high"], "items and seeds")
        stands = only(standing, objective=label)
        assert (stands["last_low"], stands["last_high"]) == (row["mean_low"], row["mean_high"])
        each = select(curves, objective=label, name="drop", seed=[0, 1, 2])["value"].to_numpy(dtype=float)
        over = only(curves, objective=label, name="drop", seed=None)
        low, high = scipy.stats.t.interval(0.95, 2, each.mean(), scipy.stats.sem(each))
        assert (over["low"], over["high"]) == pytest.approx((max(low, 0.0), high)), "no drop is negative"
        assert over["over"] == "seeds"


@pytest.mark.parametrize(
    ("p", "text"),
    [(0.0004, "< 0.001"), (0.0123, "0.012"), (0.0498, "0.0498"), (0.05, "0.050"), (0.04996, "0.04996"), (0.0502, "0.050"),
     (0.00998, "0.00998"), (1.0, "1.000"), (float("nan"), "–")],
)  # fmt: skip
def test_a_p_is_printed_on_its_side_of_the_level(p, text):
    assert p_value(p) == text and (text in ("< 0.001", "–") or (float(text) < 0.05) == (p < 0.05))


def test_the_best_iterations_interval_is_wider_for_having_been_chosen():
    facts = played({"a": (0.4, 0.6, 0.5)})
    board, _, _, standing = tables(facts)
    row, stands = board[board["best"]].iloc[0], standing.iloc[0]
    assert stands["best"] == row["mean"]
    assert stands["best_low"] < row["mean_low"] < row["mean_high"] < stands["best_high"]


def test_with_seeds_that_count_mcnemar_is_silent_and_every_p_is_corrected_over_tasks():
    several, one = (tables(played({"a": (0.5,) * 3, "b": (0.6,) * 3}, seeds=seeds))[2] for seeds in ((0, 1, 2), (0,)))
    assert several["mcnemar_p"].isna().all() and set(several["over"]) == {"items and seeds"}
    assert select(one, task=list(TASKS))["mcnemar_p"].notna().all() and set(one["over"]) == {"items"}
    for table in (several, one):
        rows = select(table, a="a", b="b", task=list(TASKS)).sort_values("p")
        low, high = rows["p"]
        assert rows["p_holm"].tolist() == pytest.approx([min(1, 2 * low), max(high, min(1, 2 * low))])


@pytest.mark.parametrize(("seeds", "items"), [((0,), 4), ((0, 1, 2), 4), ((0,), 1)])
def test_below_five_items_a_task_no_table_has_an_interval_or_a_p(seeds, items):
    facts = played({"a": (0.5,) * 3, "b": (0.6,) * 3}, seeds=seeds, items=items)
    board, curves, compared, standing = tables(facts)
    assert compared["difference"].notna().all()
    for table in (board, curves, compared, standing):
        bounds = [c for c in table if c in ("low", "high", "p", "chance_best") or c.endswith(("_low", "_high", "_p", "_p_holm"))]
        assert table[bounds].isna().all().all()


def test_five_items_of_four_questions_are_too_few():
    answers = {BASE: drawn(np.random.default_rng(0), 8), ("a", 0, 0): drawn(np.random.default_rng(1), 8)}
    enough, few = (
        only(comparisons_table(PairedScores(made(answers, clusters=clusters))), task="one")
        for clusters in ([0, 0, 1, 1, 2, 2, 3, 4], [0, 0, 1, 1, 2, 2, 3, 3])
    )
    assert (enough["items"], enough["clusters"]) == (8, 5) and enough["low"] < enough["high"] and 0 < enough["mcnemar_p"] <= 1
    assert (few["items"], few["clusters"]) == (8, 4) and np.isnan(few["low"]) and np.isnan(few["p"])


def test_clusters_that_do_not_fit_the_items_are_one_line():
    facts = made({BASE: drawn(np.random.default_rng(0), 6)}, clusters=[0, 0, 1])
    with pytest.raises(UserError, match="one has 6 values and 3 clusters"):
        leaderboard(facts)


def test_equal_objectives_share_the_lead_whatever_the_order_of_summing():
    """0.1 + 0.2 right in one, 0.3 + 0 in the other: their means differ by rounding alone, which neither leads by."""

    def right(first, second):
        return {"one": [1.0] * first + [0.0] * (10 - first), "two": [1.0] * second + [0.0] * (10 - second)}

    facts = made({BASE: right(1, 1), ("a", 0, 0): right(1, 2), ("b", 0, 0): right(3, 0), ("c", 0, 0): right(0, 2)})
    _, _, compared, standing = tables(facts)
    assert standing.set_index("objective")["leader"].to_dict() == {"a": True, "b": True, "c": False}
    pair = only(compared, a="a", b="b", task="mean")
    assert (pair["difference"], pair["p"]) == (0.0, 1.0)


def lasts(written):
    return [sentence.text for sentence in since_best(PanelNumbers(written, written.panels[0]))]


def test_a_loss_is_claimed_only_where_the_paired_interval_shows_it():
    """a falls from 0.9 to 0.3, b is flat with noise, c is highest at the last iteration: of c nothing is lost or said."""
    facts = played({"a": (0.6, 0.9, 0.3), "b": (0.5, 0.5, 0.5), "c": (0.2, 0.3, 0.9)}, items=60, seed=1)
    written = Written(facts)
    standing = written.ranking.set_index("objective")
    a = standing.loc["a"]
    assert a["since_best"] == pytest.approx(a["last"] - a["best"])
    assert a["since_best_low"] < a["since_best"] < a["since_best_high"] < 0
    assert standing.loc["b", "since_best_high"] > 0 and standing.loc["b", "drop"] > 0
    assert np.isnan(standing.loc["c", "since_best"])
    lost, unknown = lasts(written)
    assert lost.startswith("Lower at the last iteration than at the best one (95 % over items and seeds): A ")
    assert unknown.startswith("Not known whether anything was lost since the best one (95 % over items and seeds): B ")


def test_kept_to_within_a_point_is_said_only_where_no_larger_loss_is_possible():
    """2,000 items answered alike but for one: the loss is 0.05 points at most 0.2."""
    same = {task: np.tile([1.0, 0.0], 1000) for task in TASKS}
    later = {"one": same["one"].copy(), "two": same["two"]}
    later["one"][0] = 0.0
    facts = made({BASE: same, ("a", 0, 0): same, ("a", 0, 1): later}, iterations=2)
    (said,) = lasts(Written(facts))
    assert said.startswith("At most a point below the best iteration at the last one (95 % over items alone): A -0.0")


def test_few_items_in_one_task_are_said_though_the_others_have_enough():
    generator = np.random.default_rng(0)
    answers = {
        key: drawn(generator, 40) | {"two": np.array([float(number % 2)])}
        for number, key in enumerate([BASE, *itertools.product("ab", (0, 1, 2), (0,))])
    }
    facts = made(answers, (0, 1, 2))
    written = Written(facts)
    by_task = select(written.comparisons, a="a", b="b").set_index("task")["p"]
    assert by_task["one"] < 1 and by_task[["two", "mean"]].isna().all()
    assert few_items(written)
    assert leaderboard(facts)["mean_low"].isna().all()


def test_a_row_that_is_not_made_of_items_counts_clusters_where_it_has_them():
    """40 items of 4 questions: no interval, however many items; of 8 questions: t with 7 degrees of freedom for the items."""
    for count in (4, 8):
        clusters = [i % count for i in range(40)]
        facts = made({BASE: drawn(np.random.default_rng(0), 40)}, clusters=clusters)
        facts.item_scores[INITIAL, None, -1]["one"]["values"] = None
        errors, enough = item_terms(PairedScores(facts), ModelKey(INITIAL, -1), [0], ["one"])
        assert (errors[0].variance, errors[0].df, enough) == (0.25, count - 1, count == 8)


def test_nothing_is_said_of_losses_where_too_few_items_show_none():
    written = Written(played({"a": (0.9, 0.9, 0.1)}, items=4))
    assert lasts(written) == []
    assert few_items(written)


@pytest.mark.parametrize("right", [0.0, 1.0])
def test_answers_that_are_all_alike_are_printed_without_an_error_of_zero(right):
    same = {task: np.full(8, right) for task in TASKS}
    facts = made({BASE: same, ("a", 0, 0): same | {"two": np.array([1.0, 0.0] * 4)}})
    lines = as_markdown(facts, leaderboard(facts)).splitlines()
    assert "±" not in lines[2] and f"{100 * right:.1f}" in lines[2]
    assert "± 9.4" in lines[3]
