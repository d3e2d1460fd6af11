"""Score against KL: a path is what the tables say, with their errors; what is not measured is not drawn; many are readable."""

import numpy as np
import pandas as pd
import pytest

from harness.analysis.facts import RunResults
from harness.analysis.frames import select
from harness.reporting.figures import stability_numbers
from harness.reporting.figures.labels import PointLabel, along
from harness.reporting.figures.methods import looks
from harness.reporting.figures.score_against_kl import kl_paths, score_against_kl, score_against_kl_caption
from harness.reporting.figures.stability.compose import WIDTHS_INCHES
from harness.reporting.figures.stability.numbers import StabilityNumbers
from harness.reporting.figures.style import house_style, make_drawing
from harness.reporting.tables.run_tables import RunTables
from tests.conftest import ROOT
from tests.helpers.figure_texts import covered, outside
from tests.helpers.study_tables import MANY, entries


@pytest.fixture(scope="module")
def shipped():
    """One seed: the lab's reference."""
    results = RunResults(ROOT / "results" / "lab-reference")
    tables = RunTables(results)
    return stability_numbers(results, tables, looks(results.record["variants"]), everything=False), tables.drift


def invented(variants, iterations, seeds=3):
    """(numbers, drift) of paths that go up and to the right, each a little beside the other."""
    record = entries(variants)
    board, drift = [("initial", -1, None, 0.4, 0.02, None, None)], []
    for place, label in enumerate(variants):
        for t in range(iterations):
            mean = 0.4 + 0.03 * place + 0.3 * (t + 1) / iterations
            kl = (0.2 + 0.1 * place) * (t + 1)
            board.append((label, t, seeds, mean, 0.02, mean - 0.03, mean + 0.03))
            drift.append((label, t, "kl_initial", kl, 0.8 * kl, 1.2 * kl, None, seeds, 200, "nats per response"))
    numbers = StabilityNumbers(
        pd.DataFrame(board, columns=["objective", "iteration", "seeds", "mean", "item_stderr", "mean_low", "mean_high"]),
        pd.DataFrame(), pd.DataFrame(), [{"title": "", "labels": list(variants)}], [{"name": "one", "label": "One"}], iterations,
        looks(record), record,
    )  # fmt: skip
    columns = ["objective", "iteration", "name", "value", "low", "high", "stderr", "seeds", "n", "unit"]
    return numbers, pd.DataFrame(drift, columns=columns)


def test_a_path_is_the_leaderboards_mean_over_the_drifts_kl_from_the_start_on(shipped):
    numbers, drift = shipped
    for label, path in kl_paths(numbers, drift).items():
        rows = select(numbers.leaderboard, objective=label)
        assert path["y"].tolist()[1:] == pytest.approx((100 * rows["mean"]).tolist())
        assert path["x"].tolist()[1:] == select(drift, objective=label, name="kl_initial")["value"].tolist()
        first = path.iloc[0]
        assert (first["iteration"], first["x"]) == (-1, 0) and np.isnan(first["x_low"]), "no divergence from itself"
        assert first["y"] == pytest.approx(100 * select(numbers.leaderboard, objective="initial")["mean"].iloc[0])


def test_with_one_seed_the_errors_are_those_of_items_and_prompts(shipped):
    numbers, drift = shipped
    path = kl_paths(numbers, drift)["space"].iloc[-1]
    row = select(numbers.leaderboard, objective="space").iloc[-1]
    kl = select(drift, objective="space", name="kl_initial").iloc[-1]
    assert path["y_high"] - path["y"] == pytest.approx(100 * row["item_stderr"])
    assert path["x"] - path["x_low"] == pytest.approx(kl["stderr"])
    said = score_against_kl_caption(drift, numbers.leaderboard, 5, "n = 7 items")
    assert "standard errors" in said and "1 seed(s)" in said and "200 held-out prompts" in said and "n = 7 items" in said
    assert "drift.csv" in said and "leaderboard.csv" in said


def test_from_three_seeds_on_they_are_the_intervals(shipped):
    numbers, drift = invented({"sft": "sft"}, 2)
    last = kl_paths(numbers, drift)["sft"].iloc[-1]
    assert (last["y_low"], last["y_high"]) == (pytest.approx(67), pytest.approx(73))
    assert (last["x_low"], last["x_high"]) == (pytest.approx(0.32), pytest.approx(0.48))
    assert "95 % intervals" in score_against_kl_caption(drift, numbers.leaderboard, 2, "n")


def test_without_a_kl_there_is_no_figure(shipped):
    numbers, drift = shipped
    with house_style():
        assert score_against_kl(numbers, drift[drift["name"] != "kl_initial"]) is None


@pytest.mark.parametrize("kl", [0.0, -0.004, -2.0, 1e-9])
def test_a_policy_that_has_not_moved_has_its_point_within_the_axes(kl):
    """A rate too small changes no token: KL 0 at every iteration; an estimate may fall below 0."""
    numbers, drift = invented({"sft": "sft"}, 3)
    with house_style():
        plot = score_against_kl(numbers, drift.assign(value=kl, low=kl, high=kl))
        plot.finish()
    low, high = plot.axes[0].get_xlim()
    assert low < min(kl, 0) and max(kl, 0) < high


def test_start_and_last_iteration_are_marked_and_named(shipped):
    numbers, drift = shipped
    with house_style():
        plot = score_against_kl(numbers, drift)
        plot.finish()
    (axis,) = plot.axes
    assert {text.get_text() for text in axis.texts} == {"start", "SFT", "SPACE", "SPIN"}
    largest = {line.get_color(): line.get_xdata()[0] for line in axis.get_lines() if line.get_markersize() == 6}
    ends = {numbers.looks[label].colour: path["x"].iloc[-1] for label, path in kl_paths(numbers, drift).items()}
    assert largest == ends


@pytest.mark.parametrize("width", WIDTHS_INCHES)
@pytest.mark.parametrize(("variants", "iterations"), [({"sft": "sft", "space": "space"}, 5), (MANY, 40)])
def test_names_stand_beside_their_paths_and_none_is_cut_or_covers_another(variants, iterations, width):
    with house_style():
        plot = score_against_kl(*invented(variants, iterations), width)
        plot.finish()
        assert outside(plot.figure) == [] and covered(plot.figure) == []
    assert len(plot.axes[0].texts) == len(variants) + 1


def test_a_name_gives_way_to_a_curve_and_to_another_name():
    from matplotlib.text import Text

    with house_style():
        plot = make_drawing(1, 1, 2.0)
        (axis,) = plot.axes
        axis.plot([0, 1], [0, 0])
        axis.set_xlim(0, 1)
        axis.set_ylim(-1, 1)
        names = [PointLabel(0.5, 0, name, "#000000") for name in ("one", "two")]
        plot.add_labels(axis, names, along([([0, 1], [0, 0])]))
        plot.finish()
        renderer = plot.figure.canvas.get_renderer()
        line = axis.transData.transform((0, 0))[1]
        boxes = [Text.get_window_extent(text, renderer) for text in axis.texts]
        assert len(boxes) == 2 and all(box.y0 > line or box.y1 < line for box in boxes)
        assert covered(plot.figure) == []
