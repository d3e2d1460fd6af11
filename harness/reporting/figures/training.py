"""Training curves by step, and the drift of the checkpoints by iteration."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import pandas as pd

from harness.analysis.frames import Frame, select
from harness.records import INITIAL
from harness.reporting.figures.methods import Look
from harness.reporting.figures.style import Drawing, iteration_ticks, make_drawing, shared_legend

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MAX_COLUMNS, MAX_VARIANTS = 3, 6
# Of a response's role, not of a method: shades of grey, told apart by their lines.
ROLES = (("real", "#111111", "-"), ("synthetic", "#5a5a5a", "--"), ("proto", "#8a8a8a", ":"))
MEASUREMENT_LABELS = {
    "heldout_nll_per_token": "held-out NLL", "entropy_per_token": "entropy", "response_length": "response length",
    "truncation_rate": "truncated", "distinct_2": "distinct-2", "repetition": "repetition", "churn": "churn",
    "kl_previous": "KL(policy ‖ previous)", "kl_previous_policy": "KL(previous ‖ policy)", "kl_initial": "KL(policy ‖ initial)",
    "kl_initial_policy": "KL(initial ‖ policy)", "reward_margin": "reward margin", "reward_agreement": "reward agrees",
    "kl_data_policy": "KL(data ‖ policy)", "kl_policy_data": "KL(policy ‖ data)",
}  # fmt: skip


def training_curves(training: Frame, looks: Mapping[str, Look], seed: int) -> list[Drawing]:
    """Real and synthetic responses, step by step through all iterations, one seed: log-ratio to the opponent where the objective
    has a reference, else the mean log-probability; and the loss below. At most six variants to a figure."""
    seed_rows = select(training, seed=seed)
    trained = [(v, look) for v, look in looks.items() if (seed_rows["objective"] == v).any()]
    return [_training_figure(seed_rows, trained[i : i + MAX_VARIANTS]) for i in range(0, len(trained), MAX_VARIANTS)]


def _training_figure(training: Frame, trained: Sequence[tuple[str, Look]]) -> Drawing:
    columns = min(MAX_COLUMNS, len(trained))
    blocks = math.ceil(len(trained) / columns)
    plot = make_drawing(2 * blocks, columns, 2.9 * blocks + 0.3, height_ratios=[1.5, 1] * blocks)
    for axis in plot.axes:
        axis.set_visible(False)
    for index, (variant, look) in enumerate(trained):
        index_of_top = (index // columns) * 2 * columns + index % columns
        top, bottom = plot.axes[index_of_top], plot.axes[index_of_top + columns]
        rows = select(training, objective=variant).reset_index(drop=True)
        kind = "log_ratio" if "log_ratio_real" in rows and rows["log_ratio_real"].notna().any() else "logp"
        for role, colour, line in ROLES:
            column = f"{kind}_{role}"
            if column in rows and rows[column].notna().any():
                top.plot(rows.index, rows[column], color=colour, linestyle=line, linewidth=1.0, label=role)
                _add_end_tooltips(plot, top, rows, column, f"{look.name}, {role}", "nats")
        bottom.plot(rows.index, rows["loss"], color="#333333", linewidth=0.9)
        _add_end_tooltips(plot, bottom, rows, "loss", f"{look.name}, loss", "")
        for axis in (top, bottom):
            axis.set_visible(True)
            for start in rows.index[rows["iteration"].diff() > 0]:
                axis.axvline(start - 0.5, color="#CCCCCC", linewidth=0.6, zorder=0)
        top.set_title(look.name, color=look.colour)
        top.tick_params(labelbottom=False)
        top.legend(loc="best", handlelength=2, borderpad=0.1, labelspacing=0.2)
        top.set_ylabel("log-ratio, nats" if kind == "log_ratio" else "log-prob., nats")
        bottom.set_ylabel("loss")
        bottom.set_xlabel("step, all iterations")
    return plot


def _add_end_tooltips(plot: Drawing, axis: Axes, rows: Frame, column: str, label: str, unit: str) -> None:
    """A tooltip with the value at every iteration's last step."""
    for iteration, steps in rows.groupby("iteration"):
        last = steps.index[-1]
        if not pd.isna(rows.loc[last, column]):
            tooltip = f"{label}, iteration {iteration}, step {len(steps)}: {rows.loc[last, column]:.4g} {unit}".rstrip()
            plot.add_tooltip(axis, last, rows.loc[last, column], tooltip)


def drift_curves(drift: Frame, shown: Mapping[str, Look], iterations: int) -> Drawing | None:
    """Each measurement on held-out prompts against iteration, mean over seeds; bands over seeds, bars over prompts (one seed)."""
    shown_rows = select(drift, objective=[INITIAL, *shown])
    names = [n for n in MEASUREMENT_LABELS if (shown_rows["name"] == n).any()]
    names += sorted(set(shown_rows["name"]) - set(names))
    if not names:
        return None
    columns = min(4, len(names))  # wide enough for the longest title
    rows = math.ceil(len(names) / columns)
    plot = make_drawing(rows, columns, 1.4 * rows + 0.45, sharex=True)
    for axis, name in zip(plot.axes, names, strict=False):
        measured = select(shown_rows, name=name)
        title = MEASUREMENT_LABELS.get(name, name)
        for label, look in shown.items():
            label_rows = select(measured, objective=label)
            if label_rows.empty:
                continue
            joined: Frame = pd.concat([select(measured, objective=INITIAL), label_rows])
            if joined["high"].notna().any():
                bounds = joined["iteration"], joined["low"], joined["high"]
                axis.fill_between(*bounds, color=look.colour, alpha=0.15, linewidth=0)
            bars = joined["stderr"] if label_rows["stderr"].notna().any() else None
            axis.errorbar(joined["iteration"], joined["value"], yerr=bars, elinewidth=0.7, label=look.name, **look.thin_style())
            for row in label_rows.to_dict("records"):
                tooltip = f"{title}, {look.name}, iteration {row['iteration']}: {row['value']:.4g} {row['unit']}"
                plot.add_tooltip(axis, row["iteration"], row["value"], tooltip)
        axis.set_title(title, fontsize=7.5)
        axis.set_ylabel(measured["unit"].iloc[0], fontsize=7)
        iteration_ticks(axis, iterations, "i")
        axis.margins(y=0.15)
    for axis in plot.axes[len(names) :]:
        axis.set_visible(False)
    shared_legend(plot, plot.axes[0], len(shown))
    return plot
