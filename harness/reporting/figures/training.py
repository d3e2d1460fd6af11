"""Training curves by step, and the drift of the checkpoints by iteration."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd

from harness.analysis.column_definitions import CHURN, DIAGNOSTICS
from harness.analysis.columns import HIGHER, LOWER
from harness.analysis.frames import Frame, select
from harness.records import INITIAL
from harness.reporting.figures.methods import Look
from harness.reporting.figures.small_panels import (
    NOTE_PAD,
    make_panels,
    mark_every,
    name_curves,
    small_iteration_axis,
    write_note,
)
from harness.reporting.figures.style import WIDTH_INCHES, Drawing, make_canvas, short_name

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MAX_COLUMNS, MAX_VARIANTS = 3, 6
MAX_VARIANTS_WITH_ERRORS = 6  # more would hide behind one another's
MIN_DRIFT_INCHES, MIN_TRAINING_INCHES = 1.55, 1.6
TITLE_CHARS_PER_INCH = 14
MIN_SHARE_SHOWN = 0.05  # the axis of shares reaches at least so far
DIRECTIONS = {m.name: m.direction for m in (*DIAGNOSTICS, CHURN) if m.direction in (LOWER, HIGHER)}
# Of a response's role, not of a method: shades of grey, told apart by their lines.
ROLES = (("real", "#111111", "-"), ("synthetic", "#5a5a5a", "--"), ("proto", "#8a8a8a", ":"))
MEASUREMENT_LABELS = {
    "heldout_nll_per_token": "held-out NLL", "entropy_per_token": "entropy", "response_length": "response length",
    "truncation_rate": "truncated", "distinct_2": "distinct-2", "repetition": "repetition", "churn": "churn",
    "kl_previous": "KL(policy ‖ previous)", "kl_previous_policy": "KL(previous ‖ policy)", "kl_initial": "KL(policy ‖ initial)",
    "kl_initial_policy": "KL(initial ‖ policy)", "reward_margin": "reward margin", "reward_agreement": "reward agrees",
    "kl_data_policy": "KL(data ‖ policy)", "kl_policy_data": "KL(policy ‖ data)",
}  # fmt: skip


def training_curves(training: Frame, looks: Mapping[str, Look], seed: int, width: float = WIDTH_INCHES) -> list[Drawing]:
    """Real and synthetic responses, step by step through all iterations, one seed: log-ratio to the opponent where the objective
    has a reference, else the mean log-probability; and the loss below. At most six variants to a figure. width: inches."""
    seed_rows = select(training, seed=seed)
    trained = [(v, look) for v, look in looks.items() if (seed_rows["objective"] == v).any()]
    return [_training_figure(seed_rows, trained[i : i + MAX_VARIANTS], width) for i in range(0, len(trained), MAX_VARIANTS)]


def _training_figure(training: Frame, trained: Sequence[tuple[str, Look]], width: float) -> Drawing:
    columns = max(1, min(MAX_COLUMNS, len(trained), int(width / MIN_TRAINING_INCHES)))
    blocks = math.ceil(len(trained) / columns)
    figure: Any = make_canvas(width, 2.75 * blocks + 0.45)
    axes = figure.subplots(2 * blocks, columns, squeeze=False, gridspec_kw={"height_ratios": [1.5, 1] * blocks})
    plot = Drawing(figure, list(axes.flat))
    used: list[Any] = []
    roles: dict[str, Any] = {}
    for index, (variant, look) in enumerate(trained):
        index_of_top = (index // columns) * 2 * columns + index % columns
        top, bottom = plot.axes[index_of_top], plot.axes[index_of_top + columns]
        rows = select(training, objective=variant).reset_index(drop=True)
        kind = "log_ratio" if "log_ratio_real" in rows and rows["log_ratio_real"].notna().any() else "logp"
        for role, colour, line in ROLES:
            column = f"{kind}_{role}"
            if column in rows and rows[column].notna().any():
                (roles[role],) = top.plot(rows.index, rows[column], color=colour, linestyle=line, linewidth=1.0, label=role)
                _add_end_tooltips(plot, top, rows, column, f"{look.name}, {role}", "nats")
        bottom.plot(rows.index, rows["loss"], color="#333333", linewidth=0.9)
        _add_end_tooltips(plot, bottom, rows, "loss", f"{look.name}, loss", "")
        used += [top, bottom]
        for axis in (top, bottom):
            for start in rows.index[rows["iteration"].diff() > 0]:
                axis.axvline(start - 0.5, color="#CCCCCC", linewidth=0.6, zorder=0)
            axis.tick_params(labelsize=6.5)
            axis.locator_params(nbins=5)
        top.set_title(short_name(look.name, int(TITLE_CHARS_PER_INCH * width / columns)), color=look.colour, pad=NOTE_PAD)
        what = "log-ratio, nats" if kind == "log_ratio" else "log-probability, nats"
        for axis, note in ((top, what), (bottom, "loss")):
            write_note(axis, [note], width / columns)
        top.tick_params(labelbottom=False)
        bottom.set_xlabel("step, all iterations" if width / columns > MIN_TRAINING_INCHES else "step", fontsize=7)
    for axis in set(plot.axes) - set(used):
        axis.remove()
    plot.axes = used
    figure.legend(list(roles.values()), list(roles), loc="outside lower center", ncols=3, handlelength=3)
    return plot


def _add_end_tooltips(plot: Drawing, axis: Axes, rows: Frame, column: str, label: str, unit: str) -> None:
    """A tooltip with the value at every iteration's last step."""
    for iteration, steps in rows.groupby("iteration"):
        last = steps.index[-1]
        if not pd.isna(rows.loc[last, column]):
            tooltip = f"{label}, iteration {iteration}, step {len(steps)}: {rows.loc[last, column]:.4g} {unit}".rstrip()
            plot.add_tooltip(axis, last, rows.loc[last, column], tooltip)


def drift_curves(drift: Frame, shown: Mapping[str, Look], iterations: int, width: float = WIDTH_INCHES) -> Drawing | None:
    """Each measurement on held-out prompts against iteration, mean over seeds; bands over seeds, bars over prompts (one seed).
    width: inches."""
    shown_rows = select(drift, objective=[INITIAL, *shown])
    names = [n for n in MEASUREMENT_LABELS if (shown_rows["name"] == n).any()]
    names += sorted(set(shown_rows["name"]) - set(names))
    if not names:
        return None
    plot, columns = make_panels(len(names), width, MIN_DRIFT_INCHES, 1.5, 4, shown)
    inches = width / columns
    for axis, name in zip(plot.axes, names, strict=False):
        measured = select(shown_rows, name=name)
        title = MEASUREMENT_LABELS.get(name, name)
        for label, look in shown.items():
            label_rows = select(measured, objective=label)
            if label_rows.empty:
                continue
            joined: Frame = pd.concat([select(measured, objective=INITIAL), label_rows])
            _draw_drift(axis, joined, look, with_errors=len(shown) <= MAX_VARIANTS_WITH_ERRORS)
            for row in label_rows.to_dict("records"):
                tooltip = f"{title}, {look.name}, iteration {row['iteration']}: {row['value']:.4g} {row['unit']}"
                plot.add_tooltip(axis, row["iteration"], row["value"], tooltip)
        unit = str(measured["unit"].iloc[0])
        axis.set_title(short_name(title, int(TITLE_CHARS_PER_INCH * inches)), fontsize=7.5, pad=NOTE_PAD)
        short = unit.replace(" per ", "/").replace("share of ", "of ")
        direction = DIRECTIONS.get(name)
        write_note(
            axis, [f"{short}, {direction}", f"{short}, {direction.replace(' is', '')}"] if direction else [unit, short], inches
        )
        small_iteration_axis(axis, iterations, inches)
        axis.tick_params(axis="y", labelsize=6.5)
        axis.locator_params(axis="y", nbins=4)
        axis.margins(y=0.15)
        if unit.startswith("share"):
            _set_share_limits(axis)
    name_curves(plot, len(names), columns, shown)
    return plot


def _draw_drift(axis: Axes, joined: Frame, look: Look, with_errors: bool) -> None:
    if with_errors and joined["high"].notna().any():
        axis.fill_between(joined["iteration"], joined["low"], joined["high"], color=look.colour, alpha=0.15, linewidth=0)
    bars = joined["stderr"] if with_errors and joined["stderr"].iloc[1:].notna().any() else None
    marks = mark_every(len(joined))
    axis.errorbar(
        joined["iteration"], joined["value"], yerr=bars, elinewidth=0.7, label=look.name, markevery=marks, **look.thin_style()
    )


def _set_share_limits(axis: Axes) -> None:
    """No share below 0 or above 1, and shares that are all 0 on the lowest line."""
    low, high = axis.get_ylim()
    if high <= MIN_SHARE_SHOWN:
        low, high = 0.0, MIN_SHARE_SHOWN
    room = 0.05 * (high - low)
    axis.set_ylim(max(low, -room), min(high, 1 + room))
