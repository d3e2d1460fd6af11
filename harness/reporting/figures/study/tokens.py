"""A study of cost: the mean of every arm, iteration by iteration, against the tokens it has spent, a path per arm."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from harness.analysis.frames import Frame, select
from harness.records import INITIAL
from harness.reporting.figures.labels import PointLabel, along
from harness.reporting.figures.methods import Look, looks_of_methods
from harness.reporting.figures.style import GREY, WIDTH_INCHES, Drawing, make_canvas, short_name
from harness.reporting.tables.compute import TOKEN_NAMES

HEIGHT_INCHES, LABEL_INCHES = 3.0, 0.2


def token_paths(arms: Sequence[Mapping[str, Any]], leaderboard: Frame, costs: Frame) -> dict[str, Frame]:
    """Label -> a row per finished iteration: tokens (trained, drawn and scored of a seed up to it, mean over the seeds), mean,
    low and high in percent: the 95 % interval from three seeds on, else the standard error of sampling items."""
    paths = {}
    for label in (arm["label"] for arm in arms):
        rows = select(leaderboard, objective=label).dropna(subset="mean")
        if rows.empty:
            continue
        spent = select(costs, objective=label, phase=list(TOKEN_NAMES))
        seeds = spent["seed"].nunique()
        by_iteration = spent.groupby("iteration")["tokens"].sum().astype(float).cumsum() / max(seeds, 1)
        value, stderr = 100 * rows["mean"].astype(float), 100 * rows["item_stderr"].astype(float)
        low, high = (100 * rows[name].astype(float) for name in ("mean_low", "mean_high"))
        path = pd.DataFrame(
            {
                "iteration": rows["iteration"], "tokens": rows["iteration"].map(by_iteration), "mean": value,
                "low": low.fillna(value - stderr), "high": high.fillna(value + stderr),
            }
        )  # fmt: skip
        if len(path := path.dropna(subset="tokens")):
            paths[label] = path
    return paths


def tokens_figure(
    arms: Sequence[Mapping[str, Any]], leaderboard: Frame, costs: Frame, looks: Mapping[str, Look], width: float = WIDTH_INCHES
) -> Drawing | None:
    """None where no arm has finished an iteration."""
    paths = token_paths(arms, leaderboard, costs)
    if not paths:
        return None
    figure: Any = make_canvas(width, max(HEIGHT_INCHES, 1.0 + LABEL_INCHES * len(paths)))
    axis = figure.subplots()
    plot = Drawing(figure, [axis])
    notes = {arm["label"]: str(arm["note"]) for arm in arms}
    start = select(leaderboard, objective=INITIAL).dropna(subset="mean")
    labels, lines, first_looks = [], [], looks_of_methods(looks)
    for label, path in paths.items():
        look = looks[label]
        first = [(0.0, 100 * float(start["mean"].iloc[0]))] if len(start) else []
        x, y = zip(*first, *zip(path["tokens"], path["mean"], strict=True), strict=True)
        axis.vlines(path["tokens"], path["low"], path["high"], color=look.colour, linewidth=0.8)
        axis.plot(x, y, color=look.colour, linestyle=look.line, linewidth=1.3)
        axis.plot(
            path["tokens"], path["mean"], color=look.colour, marker=look.marker, markersize=4.5, linestyle="",
            markerfacecolor=look.colour if look.rank == 0 else "white",
        )  # fmt: skip
        end = path.iloc[-1]
        name = short_name(notes[label], max(10, int(6 * width)))
        labels.append(PointLabel(float(end["tokens"]), float(end["mean"]), name, first_looks[look.method].colour))
        labels += (
            [_numbered(row) for row in path.iloc[:-1].to_dict("records")]
            if len(path) <= 4 and len(paths) <= 6 and width > 4.5
            else []
        )
        lines += [(x, y), *(([t, t], [a, b]) for t, a, b in zip(path["tokens"], path["low"], path["high"], strict=True))]
        for row in path.to_dict("records"):
            tooltip = f"{notes[label]}, iteration {row['iteration']}: {row['mean']:.1f} %, {row['tokens']:,.0f} tokens"
            plot.add_tooltip(axis, row["tokens"], row["mean"], tooltip)
    if len(start):
        initial = 100 * float(start["mean"].iloc[0])
        axis.plot([0], [initial], marker="D", markersize=4.5, color=GREY, linestyle="", zorder=6)
        labels.append(PointLabel(0, initial, "start", GREY, weight="normal"))
    axis.margins(x=0.06, y=0.1)
    right = max(float(path["tokens"].max()) for path in paths.values())
    axis.set_xlim(-0.04 * right, right * 1.16)
    axis.xaxis.set_major_formatter(lambda value, _: f"{value / 1e6:g}" if value >= 0 else "")
    axis.locator_params(axis="x", nbins=max(4, int(1.3 * width)))
    between = " " if width > HEIGHT_INCHES + 1 else "\n"
    axis.set_xlabel(f"million tokens of a seed up to the iteration{between}(trained, drawn and scored)")
    axis.set_ylabel("mean over tasks, %")
    axis.grid(visible=True, axis="both")
    plot.add_labels(axis, labels, along(lines))
    return plot


def _numbered(row: Mapping[Any, Any]) -> PointLabel:
    return PointLabel(float(row["tokens"]), float(row["mean"]), str(int(row["iteration"])), "#555555", 6.0, "normal")


def tokens_caption(seeds: int, items: str) -> str:
    bars = f"95 % intervals over items and {seeds} seeds" if seeds >= 3 else f"standard errors of sampling items, {seeds} seed(s)"
    return (
        "Mean over tasks after every iteration (small numbers) against the tokens that an arm has trained on (with their "
        f"prompts), drawn and scored up to it, mean over seeds; {items}; bars: {bars}. Numbers: leaderboard.csv, cost.csv."
    )
