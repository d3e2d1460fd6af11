"""The stability figure shows what the tables say, at every width, without text that is cut or covers other text."""

import dataclasses

import pandas as pd
import pytest

from harness.analysis.facts import RunResults
from harness.analysis.frames import select
from harness.reporting.figures import stability_numbers
from harness.reporting.figures.methods import looks
from harness.reporting.figures.stability.changes import changes
from harness.reporting.figures.stability.compose import WIDTHS_INCHES, stability_figure
from harness.reporting.figures.stability.curves import COLLAPSE_COLOUR
from harness.reporting.figures.stability.forest import differences
from harness.reporting.figures.stability.numbers import StabilityNumbers
from harness.reporting.figures.style import house_style
from harness.reporting.tables.run_tables import RunTables
from tests.conftest import ROOT
from tests.helpers.figure_texts import covered, outside
from tests.helpers.study_tables import MANY, NONE


@pytest.fixture(scope="module")
def shipped():
    results = RunResults(ROOT / "results" / "lab-reference")
    return stability_numbers(results, RunTables(results), looks(results.record["variants"]))


def invented(variants, iterations, seeds=3):
    """Curves of many variants over many iterations: label -> name of the objective."""
    entries = {
        label: {"name": name, "title": name, "folder": label, "needs": [NONE if name == "sft" else {**NONE, "synthetic": 1}]}
        for label, name in variants.items()
    }
    keys = ["objective", "iteration", "seeds", "one", "two", "mean", "item_stderr", "mean_low", "mean_high"]
    rows = [("initial", -1, None, 0.4, 0.4, 0.4, 0.02, None, None)]
    rows += [
        (label, t, seeds, m - 0.1, m + 0.1, m, 0.02, m - 0.03, m + 0.03)
        for n, label in enumerate(variants) for t in range(iterations) for m in [0.4 + 0.3 * t / iterations + 0.01 * n]
    ]  # fmt: skip
    scores = pd.DataFrame(columns=["objective", "seed", "iteration", "task", "value"])
    falls = pd.DataFrame(
        [(label, s, "largest_fall", 0.01 * s) for label in variants for s in range(seeds)],
        columns=["objective", "seed", "name", "value"],
    )
    pairs = pd.DataFrame(
        [("", "", label, "sft", "mean", 0.02, 0.01, 0.03, 0.04, "items and seeds") for label in variants if label != "sft"],
        columns=["panel", "question", "a", "b", "task", "difference", "low", "high", "p_holm", "over"],
    )
    collapse = pd.DataFrame([(next(iter(variants)), s, 1) for s in range(2)], columns=["objective", "seed", "iteration"])
    tasks = [{"name": "one", "label": "One"}, {"name": "two", "label": "Two"}]
    panels = [{"title": "", "labels": list(variants)}]
    return StabilityNumbers(
        pd.DataFrame(rows, columns=keys), scores, falls, panels, tasks, iterations, looks(entries), entries, pairs, collapse
    )


def test_the_curves_are_the_leaderboards_means_with_the_baseline_behind_them(shipped):
    with house_style():
        plot = stability_figure(shipped)
    names = [axis.get_title(loc="left") for axis in plot.axes[:3]]
    assert names == ["SFT", "SPACE", "SPIN"], "the baseline first, then by the last mean"
    for axis, label in zip(plot.axes, ("sft", "space", "spin"), strict=False):
        means = (100 * select(shipped.leaderboard, objective=["initial", label])["mean"]).tolist()
        drawn = [list(line.get_ydata()) for line in axis.get_lines()]
        assert any(ys == pytest.approx(means) for ys in drawn)
        baseline = (100 * select(shipped.leaderboard, objective=["initial", "sft"])["mean"]).tolist()
        assert any(ys == pytest.approx(baseline) for ys in drawn)


def test_every_collapse_of_the_table_is_marked_at_its_iteration(shipped):
    with house_style():
        plot = stability_figure(shipped)
    marked = {}
    for axis in plot.axes[:3]:
        lines = [line for line in axis.get_lines() if line.get_color() == COLLAPSE_COLOUR]
        marked[axis.get_title(loc="left").lower()] = sorted(int(x) for line in lines for x in line.get_xdata())
    found = {o: sorted(set(rows["iteration"])) for o, rows in shipped.collapse.groupby("objective")}
    assert found and {name: ts for name, ts in marked.items() if ts} == found


def test_the_forest_holds_the_paired_differences_from_the_baseline_with_their_sign(shipped):
    rows = select(shipped.comparisons, task="mean")
    for label, row in differences(shipped):
        (pair,) = select(rows, a="sft", b=label).to_dict("records")
        assert row["difference"] == pytest.approx(-pair["difference"])
        assert (row["low"], row["high"]) == pytest.approx((-pair["high"], -pair["low"]))
    assert [label for label, _ in differences(shipped)] == ["space", "spin"]


def test_without_a_baseline_the_difference_is_that_from_the_initial_policy(shipped):
    numbers = StabilityNumbers(**{**vars(shipped), "panels": [{"title": "", "labels": ["space", "spin"]}]})
    assert numbers.baseline is None
    (space,) = (row for label, row in differences(numbers) if label == "space")
    assert space["difference"] == pytest.approx(numbers.last_mean("space") - numbers.initial["mean"].iloc[0])


def test_changes_are_last_minus_initial_task_by_task(shipped):
    labels, tasks, points = changes(shipped)
    names = {task["label"]: task["name"] for task in shipped.tasks}
    last = select(shipped.leaderboard, objective=labels[1]).iloc[-1]
    start = select(shipped.leaderboard, objective="initial").iloc[0]
    assert points[1].tolist() == pytest.approx([100 * (last[names[task]] - start[names[task]]) for task in tasks])
    assert points.mean(axis=0).tolist() == sorted(points.mean(axis=0).tolist(), reverse=True)


def test_a_method_without_a_finished_iteration_takes_no_room_and_before_the_first_there_is_the_start(shipped):
    board = shipped.leaderboard
    for kept, titles in ((["initial", "sft"], ["SFT"]), (["initial"], ["SFT", "SPACE", "SPIN"])):
        numbers = StabilityNumbers(**{**vars(shipped), "leaderboard": select(board, objective=kept), "comparisons": None})
        with house_style():
            axes = stability_figure(numbers).axes
        assert [axis.get_title(loc="left") for axis in axes if axis.get_visible()] == titles
    lone = StabilityNumbers(**{**vars(shipped), "leaderboard": select(board, objective="initial"), "comparisons": None, "looks": {
        label: dataclasses.replace(look, method="one") for label, look in shipped.looks.items()}})  # fmt: skip
    with house_style():
        assert stability_figure(lone).axes[0].get_legend() is None


def test_while_a_run_goes_on_there_are_the_curves_alone(shipped):
    numbers = StabilityNumbers(**{**vars(shipped), "comparisons": None, "collapse": None})
    with house_style():
        assert len(stability_figure(numbers).axes) == 3


LONG = {"sft": "sft", **{f"{letter * 12} {letter * 40} and {letter * 8}": letter * 30 for letter in "abc"}}
SHIPPED_SIX = {name: name for name in ("sft", "space", "spin", "tspin", "sipo", "ssimpo")}


@pytest.mark.parametrize("width", WIDTHS_INCHES)
@pytest.mark.parametrize(("variants", "iterations"), [(SHIPPED_SIX, 5), (MANY, 40), ({"sft": "sft"}, 1), (LONG, 5)])
def test_no_text_leaves_the_figure_or_covers_another_and_ticks_are_whole_numbers(variants, iterations, width):
    with house_style():
        figure = stability_figure(invented(variants, iterations), width).figure
        assert outside(figure) == [] and covered(figure) == []
    for axis in figure.axes[:1]:
        shown = [label.get_text() for label in axis.get_xticklabels()]
        assert shown[0] == "start" and all(said.isdecimal() for said in shown[1:]) and len(shown) <= 27
