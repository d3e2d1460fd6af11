"""Tasks, drift and training stay readable with sixteen variants over forty iterations: no text is cut or covers another."""

import numpy as np
import pandas as pd
import pytest

from harness.analysis.column_definitions import CHURN, DIAGNOSTICS
from harness.analysis.score_scale import ScoreScale
from harness.reporting.figures.scores import task_bounds, task_curves
from harness.reporting.figures.small_panels import spread
from harness.reporting.figures.style import house_style
from harness.reporting.figures.training import drift_curves, training_curves
from tests.helpers.figure_texts import covered, outside
from tests.helpers.study_tables import MANY, looks_of

FEW = {name: name for name in ("sft", "space", "spin")}
LONG = {"sft": "sft", **{f"{letter * 12} {letter * 40} and {letter * 8}": letter * 30 for letter in "abc"}}
RUNS = [(FEW, 5, 7.0), (FEW, 1, 3.25), (LONG, 5, 5.5), (MANY, 40, 7.0), (MANY, 40, 3.25)]
LABELS = ("Arithmetic", "Algebra", "Mystery", "Facts", "Ten options", "Myths", "Continuation of sentences", "Pronouns", "Logic")
TASKS = [{"name": label.lower(), "label": label, "metric": "acc", "chance": 0.25} for label in LABELS]
MEASUREMENTS = (*DIAGNOSTICS, CHURN)


def board(variants, iterations):
    rows = [("initial", -1, None, *[0.4] * len(TASKS))]
    for place, label in enumerate(variants):
        means = [0.4 + 0.5 * (t + 1) / iterations * np.linspace(0.2, 1, len(TASKS)) + 0.004 * place for t in range(iterations)]
        rows += [(label, t, 3, *mean) for t, mean in enumerate(means)]
    return pd.DataFrame(rows, columns=["objective", "iteration", "seeds", *(task["name"] for task in TASKS)])


def scores(variants, iterations, seeds):
    return pd.DataFrame(
        [(label, seed, t, task["name"], 0.5 + 0.01 * seed, 0.03)
         for label in variants for seed in range(seeds) for t in range(iterations) for task in TASKS],
        columns=["objective", "seed", "iteration", "task", "value", "stderr"],
    )  # fmt: skip


def drift(variants, iterations):
    rows = []
    for measurement in MEASUREMENTS:
        rows.append(("initial", -1, measurement.name, 0.2, None, None, 0.01, measurement.unit))
        rows += [
            (label, t, measurement.name, 0.2 + 0.01 * place + 0.4 * t / iterations, 0.1, 0.9, None, measurement.unit)
            for place, label in enumerate(variants) for t in range(iterations)
        ]  # fmt: skip
    return pd.DataFrame(rows, columns=["objective", "iteration", "name", "value", "low", "high", "stderr", "unit"])


def training(variants, iterations, steps=5):
    rows = [
        (label, 0, t, 0.1 * step, -0.2 * step - place, 0.7 - 0.01 * step)
        for place, label in enumerate(variants) for t in range(iterations) for step in range(steps)
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=["objective", "seed", "iteration", "log_ratio_real", "log_ratio_synthetic", "loss"])


def ticks(axis):
    return [label.get_text() for label in axis.get_xticklabels()]


@pytest.mark.parametrize(("variants", "iterations", "width"), RUNS)
def test_tasks(variants, iterations, width):
    scales = {task["name"]: ScoreScale() for task in TASKS}
    with house_style():
        table = scores(variants, iterations, 3)
        plot = task_curves(board(variants, iterations), looks_of(variants), TASKS, iterations, scales, table, width)
        plot.finish()
        assert outside(plot.figure) == [] and covered(plot.figure) == []
    shown = ticks(plot.axes[-1])
    assert shown[0] == "start" and all(said.isdecimal() for said in shown[1:])


@pytest.mark.parametrize(("variants", "iterations", "width"), RUNS)
def test_drift(variants, iterations, width):
    with house_style():
        plot = drift_curves(drift(variants, iterations), looks_of(variants), iterations, width)
        plot.finish()
        assert outside(plot.figure) == [] and covered(plot.figure) == []
    assert ticks(plot.axes[-1])[0] == "start"
    notes = [text.get_text() for axis in plot.axes for text in axis.texts]
    assert "nats/token, lower is better" in notes and "nats per token" in notes, "where there is a better, which"


@pytest.mark.parametrize(("variants", "iterations", "width"), RUNS)
def test_training(variants, iterations, width):
    with house_style():
        plots = training_curves(training(variants, iterations), looks_of(variants), 0, width)
        for plot in plots:
            plot.finish()
            assert outside(plot.figure) == [] and covered(plot.figure) == []
            assert all(axis.get_legend() is None for axis in plot.axes), "no legend lies over a curve"
    assert len(plots) == -(-len(variants) // 6)


def test_names_stand_beside_few_curves_and_a_legend_is_below_many():
    for variants, has_legend in ((FEW, False), (MANY, True)):
        with house_style():
            plot = drift_curves(drift(variants, 3), looks_of(variants), 3)
        assert bool(plot.figure.legends) == has_legend
        named = {text.get_text() for text in plot.axes[3].texts}
        assert ({"SFT", "SPACE", "SPIN"} <= named) != has_legend


def test_errors_of_tasks_by_hand():
    """One seed: 0.5 ± 0.03. Three seeds 0.50, 0.51, 0.52: mean 0.51, s = 0.01, t(2) = 4.3027, half width 0.02484."""
    (one, three) = (task_bounds(scores({"sft": "sft"}, 1, seeds)).iloc[0] for seeds in (1, 3))
    assert (one["low"], one["high"], one["seeds"]) == (pytest.approx(0.47), pytest.approx(0.53), 1)
    assert (three["value"], three["high"]) == (pytest.approx(0.51), pytest.approx(0.51 + 4.30265 * 0.01 / 3**0.5))


def test_a_share_that_is_always_zero_lies_on_the_lowest_line():
    table = drift(FEW, 3)
    table.loc[table["name"] == "truncation_rate", ["value", "low", "high", "stderr"]] = 0
    with house_style():
        plot = drift_curves(table, looks_of(FEW), 3)
    (axis,) = [axis for axis in plot.axes if axis.get_title(loc="left") == "truncated"]
    low, high = axis.get_ylim()
    assert low > -0.01 and high >= 0.05


def test_names_are_moved_apart_within_the_height():
    assert spread([0.5, 0.1], 0.2) == [0.5, 0.1], "none that have room"
    assert spread([0.5, 0.5, 0.5], 0.1) == pytest.approx([0.5, 0.6, 0.7])
    assert spread([0.95, 1.0], 0.2) == pytest.approx([0.8, 1.0])
