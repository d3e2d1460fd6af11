"""What training did, step by step, and how the players drifted, iteration by iteration."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import pandas as pd

from harness.records import INITIAL
from harness.reporting.figures.style import COLOURS, Drawing, drawing, iteration_ticks, shared_legend, small

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from harness.analysis.facts import Frame

COLUMNS, MOST_VARIANTS = 3, 6
NAMES = {
    "heldout_nll_per_token": "held-out NLL",
    "entropy_per_token": "entropy",
    "response_length": "response length",
    "truncation_rate": "truncated",
    "distinct_2": "distinct-2",
    "repetition": "repetition",
    "churn": "churn",
    "kl_previous": "KL(policy ‖ previous)",
    "kl_previous_policy": "KL(previous ‖ policy)",
    "kl_initial": "KL(policy ‖ initial)",
    "kl_initial_policy": "KL(initial ‖ policy)",
    "reward_margin": "reward margin",
    "reward_agreement": "reward agrees",
    "kl_data_policy": "KL(data ‖ policy)",
    "kl_policy_data": "KL(policy ‖ data)",
}


def training_curves(training: Frame, variants: Sequence[str], seed: int) -> list[Drawing]:
    """Real and synthetic responses apart, step by step through all iterations, one seed: log-ratio to the opponent where the
    objective has a reference, else the mean log-probability; and the loss below. At most six variants to a figure."""
    mine = training[training["seed"] == seed]
    played = [v for v in variants if (mine["objective"] == v).any()]
    return [_training(mine, played[i : i + MOST_VARIANTS]) for i in range(0, len(played), MOST_VARIANTS)]


def _training(training: Frame, played: Sequence[str]) -> Drawing:
    columns = min(COLUMNS, len(played))
    blocks = math.ceil(len(played) / columns)
    made = drawing(2 * blocks, columns, 2.9 * blocks + 0.3, height_ratios=[1.5, 1] * blocks)
    axes = made.axes
    used = set()
    for index, variant in enumerate(played):
        place = (index // columns) * 2 * columns + index % columns
        top, bottom = axes[place], axes[place + columns]
        used |= {id(top), id(bottom)}
        rows = training[training["objective"] == variant].reset_index(drop=True)
        kind = "log_ratio" if "log_ratio_real" in rows and rows["log_ratio_real"].notna().any() else "logp"
        for role, colour, line in (("real", COLOURS[0], "-"), ("synthetic", COLOURS[1], "--"), ("proto", COLOURS[2], ":")):
            column = f"{kind}_{role}"
            if column in rows and rows[column].notna().any():
                top.plot(rows.index, rows[column], color=colour, linestyle=line, linewidth=1.0, label=role)
                _say_ends(made, top, rows, column, f"{variant}, {role}", "nats")
        bottom.plot(rows.index, rows["loss"], color="#333333", linewidth=0.9)
        _say_ends(made, bottom, rows, "loss", f"{variant}, loss", "")
        for axis in (top, bottom):
            for start in rows.index[rows["iteration"].diff() > 0]:
                axis.axvline(start - 0.5, color="#CCCCCC", linewidth=0.6, zorder=0)
        top.set_title(variant)
        top.tick_params(labelbottom=False)
        top.legend(loc="best", handlelength=2, borderpad=0.1, labelspacing=0.2)
        top.set_ylabel("log-ratio, nats" if kind == "log_ratio" else "log-prob., nats")
        bottom.set_ylabel("loss")
        bottom.set_xlabel("step, all iterations")
    for axis in axes:
        axis.set_visible(id(axis) in used)
    return made


def _say_ends(made: Drawing, axis: Axes, rows: Frame, column: str, who: str, unit: str) -> None:
    """The value at every iteration's last step: what one reads when pointing there."""
    for iteration, steps in rows.groupby("iteration"):
        last = steps.index[-1]
        if not pd.isna(rows.loc[last, column]):
            said = f"{who}, iteration {iteration}, step {len(steps)}: {rows.loc[last, column]:.4g} {unit}".rstrip()
            made.say(axis, last, rows.loc[last, column], said)


def drift_curves(drift: Frame, labels: Sequence[str], iterations: int) -> Drawing | None:
    """Each measurement on held-out prompts against iteration, mean over seeds; bands over seeds, bars over prompts (one seed)."""
    mine = drift[drift["objective"].isin([INITIAL, *labels])]
    names = [n for n in NAMES if (mine["name"] == n).any()]
    names += sorted(set(mine["name"]) - set(names))
    if not names:
        return None
    columns = min(5, len(names))
    rows = math.ceil(len(names) / columns)
    made = drawing(rows, columns, 1.6 * rows + 0.45, sharex=True)
    for axis, name in zip(made.axes, names, strict=False):
        measured = mine[mine["name"] == name]
        start = measured[measured["objective"] == INITIAL]
        for label in labels:
            here = measured[measured["objective"] == label]
            if here.empty:
                continue
            joined: Frame = pd.concat([start, here])
            style = small(labels, label)
            if joined["high"].notna().any():
                axis.fill_between(
                    joined["iteration"], joined["low"], joined["high"], color=style["color"], alpha=0.15, linewidth=0
                )
            error = joined["stderr"] if here["stderr"].notna().any() else None
            axis.errorbar(joined["iteration"], joined["value"], yerr=error, elinewidth=0.7, label=label, **style)
            for row in here.to_dict("records"):
                said = f"{NAMES.get(name, name)}, {label}, iteration {row['iteration']}: {row['value']:.4g} {row['unit']}"
                made.say(axis, row["iteration"], row["value"], said)
        axis.set_title(NAMES.get(name, name), fontsize=7.5)
        axis.set_ylabel(measured["unit"].iloc[0], fontsize=7)
        iteration_ticks(axis, iterations, "i")
        axis.margins(y=0.15)
    for axis in made.axes[len(names) :]:
        axis.set_visible(False)
    shared_legend(made, made.axes[0], len(labels))
    return made
