"""Tables -> matplotlib figures in one house style. Reads no run files and shows no number the tables lack.

A variant keeps its colour, marker and line through every figure; the colours (Okabe and Ito) stay apart for colour-blind
readers and, with the markers, in grey print.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from harness.records import INITIAL, INITIAL_ITERATION

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from harness.facts import Facts, Frame

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
LINES = ("-", "--", "-.", (0, (1, 1)), (0, (5, 1)), (0, (3, 1, 1, 1)), ":")
GREY = "#767676"
WIDTH = 7.0  # inches: the text width of the report
FORMATS = ("png", "svg", "pdf")
NAMES = {
    "heldout_nll_per_token": "held-out NLL",
    "entropy_per_token": "entropy",
    "response_length": "response length",
    "truncation_rate": "truncated",
    "distinct_2": "distinct-2",
    "kl_data_policy": "KL(data ‖ policy)",
    "kl_policy_data": "KL(policy ‖ data)",
}


@contextmanager
def house_style() -> Iterator[None]:
    """Small type for print, light grid, no frame on top and right, bytes that depend on the data alone."""
    import matplotlib

    settings: dict[Any, Any] = {
        "figure.dpi": 100,
        "savefig.dpi": 170,
        "font.family": "DejaVu Sans",
        "font.size": 8,
        "axes.titlesize": 8.5,
        "axes.titleweight": "bold",
        "axes.titlelocation": "left",
        "axes.labelsize": 8,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.edgecolor": "#555555",
        "axes.grid": True,
        "axes.grid.axis": "y",
        "grid.color": "#DDDDDD",
        "grid.linewidth": 0.6,
        "xtick.labelsize": 7.5,
        "ytick.labelsize": 7.5,
        "legend.frameon": False,
        "legend.fontsize": 7.5,
        "lines.linewidth": 1.5,
        "lines.markersize": 4.5,
        "svg.hashsalt": "harness",
        "pdf.fonttype": 42,
        "axes.unicode_minus": True,
    }
    with matplotlib.rc_context(settings):
        yield


def write_all(facts: Facts, board: Frame, folder: Path, every: bool = True) -> list[Path]:
    """The figures of a run as png, svg and pdf, or the stability curves alone; returns the paths."""
    folder.mkdir(exist_ok=True)
    iterations, variants = facts.record["iterations"], facts.variants
    tasks = facts.suite["task"]
    with house_style():
        made: dict[str, Figure | None] = {"stability_curves": stability_curves(board, facts.scores, variants, tasks, iterations)}
        if every:
            made["tasks"] = task_curves(board, variants, tasks, iterations)
            made["training"] = training_curves(facts.training, variants, facts.record["seeds"])
            made["dynamics"] = dynamics_curves(facts.dynamics, variants, iterations)
        return [path for name, figure in made.items() if figure is not None for path in _save(figure, folder / name)]


def _save(figure: Figure, stem: Path) -> list[Path]:
    import matplotlib.pyplot as plt

    paths = []
    for kind in FORMATS:
        path = stem.with_suffix(f".{kind}")
        temporary = path.with_name(path.name + ".tmp")
        metadata: dict[str, Any] = {"png": {"Software": None}, "svg": {"Date": None}, "pdf": {"CreationDate": None}}[kind]
        figure.savefig(temporary, format=kind, metadata=metadata)
        temporary.replace(path)
        paths.append(path)
    plt.close(figure)
    return paths


def _figure(rows: int, columns: int, height: float, **options: Any) -> tuple[Figure, list[Axes]]:
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(rows, columns, figsize=(WIDTH, height), layout="constrained", squeeze=False, **options)
    return figure, list(axes.flat)


def look(variants: Sequence[str], variant: str) -> dict[str, Any]:
    """Colour, marker and line of a variant, the same in every figure of a run."""
    index = variants.index(variant)
    return {
        "color": COLOURS[index % len(COLOURS)],
        "marker": MARKERS[index % len(MARKERS)],
        "linestyle": LINES[index % len(LINES)],
    }


def _iteration_axis(axis: Axes, iterations: int) -> None:
    axis.set_xticks(range(-1, iterations), ["initial", *map(str, range(iterations))])
    axis.set_xlim(-1.25, iterations - 0.75)


# ---------------------------------------------------------------- scores


def stability_curves(board: Frame, scores: Frame, variants: Sequence[str], tasks: Sequence[dict], iterations: int) -> Figure:
    """Mean over tasks against iteration: does an objective get better, and does it stay so?

    Bars: standard error of sampling items (one seed) or the 95 % interval over seeds (three or more). With several seeds each
    is a thin line.
    """
    figure, (axis,) = _figure(1, 1, 3.1)
    start: Frame = board[board["objective"] == INITIAL]["mean"]
    if not start.isna().all():
        axis.axhline(100 * start.iloc[0], color=GREY, linewidth=0.9, linestyle=(0, (4, 3)), zorder=1)
    seeds = 0
    ends: list[tuple[float, str]] = []
    for variant in variants:
        rows = board[(board["objective"] == variant) & board["mean"].notna()]
        if rows.empty:
            continue
        joined: Frame = pd.concat([board[board["objective"] == INITIAL], rows])
        style = look(variants, variant)
        several = int(rows["seeds"].max()) > 1
        seeds = max(seeds, int(rows["seeds"].max()))
        if several:
            _thin_lines(axis, scores, variant, len(tasks), style["color"])
        low, high = joined["mean_low"], joined["mean_high"]
        if high.notna().any():
            axis.fill_between(joined["iteration"], 100 * low, 100 * high, color=style["color"], alpha=0.15, linewidth=0)
        error = None if several else 100 * joined["item_stderr"]
        beside = joined["iteration"] + 0.03 * (variants.index(variant) - (len(variants) - 1) / 2)  # bars side by side
        axis.errorbar(beside, 100 * joined["mean"], yerr=error, capsize=2, elinewidth=0.8, label=variant, **style)
        ends.append((100 * float(rows["mean"].iloc[-1]), variant))
    _iteration_axis(axis, iterations)
    axis.set_xlabel("iteration")
    axis.set_ylabel(f"mean of {len(tasks)} tasks, %")
    _label_ends(axis, ends, variants, iterations)
    axis.set_title(_what_bars_mean(seeds), fontweight="normal", color="#333333")
    return figure


def _what_bars_mean(seeds: int) -> str:
    if seeds >= 3:
        return f"Band: 95 % interval over {seeds} seeds. Thin lines: seeds."
    if seeds == 2:
        return "Thin lines: the 2 seeds. No interval over seeds: n = 2."
    return "Bars: standard error of sampling test items. No interval over seeds: n = 1."


def _thin_lines(axis: Axes, scores: Frame, variant: str, tasks: int, colour: str) -> None:
    mine = scores[scores["objective"] == variant]
    for _, rows in mine.groupby("seed"):
        whole = rows.groupby("iteration")["value"].agg(["mean", "count"])
        whole = whole[whole["count"] == tasks]
        axis.plot(whole.index, 100 * whole["mean"], color=colour, linewidth=0.6, alpha=0.6)


def _label_ends(axis: Axes, ends: list[tuple[float, str]], variants: Sequence[str], iterations: int) -> None:
    """Names at the right end of their curves, pushed apart so that none covers another."""
    low, high = axis.get_ylim()
    gap = (high - low) * 0.065
    placed = -math.inf
    for value, variant in sorted(ends):
        placed = max(value, placed + gap)
        axis.annotate(
            variant,
            xy=(iterations - 0.93, placed),
            xycoords="data",
            color=look(variants, variant)["color"],
            va="center",
            fontsize=8,
            fontweight="bold",
            annotation_clip=False,
        )
    axis.set_xlim(-1.25, iterations - 0.75)


def task_curves(board: Frame, variants: Sequence[str], tasks: Sequence[dict], iterations: int) -> Figure:
    """One small curve per task, with its chance level dotted."""
    columns = min(5, len(tasks))
    rows = math.ceil(len(tasks) / columns)
    figure, axes = _figure(rows, columns, 1.55 * rows + 0.45, sharex=True)
    start = board[board["objective"] == INITIAL]
    for axis, task in zip(axes, tasks, strict=False):
        axis.axhline(100 * task["chance"], color=GREY, linewidth=0.8, linestyle=":")
        for variant in variants:
            here = board[(board["objective"] == variant) & board[task["name"]].notna()]
            joined: Frame = pd.concat([start, here])
            axis.plot(
                joined["iteration"],
                100 * joined[task["name"]],
                label=variant,
                **{**look(variants, variant), "markersize": 2.8, "linewidth": 1.1},
            )
        axis.set_title(task["label"])
        axis.set_xticks(range(-1, iterations), ["i", *map(str, range(iterations))])
        axis.set_ylim(-4, 104)
        axis.set_yticks([0, 50, 100])
    for axis in axes[len(tasks) :]:
        axis.set_visible(False)
    for axis in axes[::columns]:
        axis.set_ylabel("%")
    _shared_legend(figure, axes[0], len(variants))
    return figure


def _shared_legend(figure: Figure, axis: Axes, count: int) -> None:
    handles, labels = axis.get_legend_handles_labels()
    if handles:
        figure.legend(handles, labels, loc="outside lower center", ncols=min(count, 7), handlelength=3)


# ---------------------------------------------------------------- training and drift


def training_curves(training: Frame, variants: Sequence[str], seeds: Sequence[int]) -> Figure | None:
    """Real and synthetic responses apart, step by step through all iterations, first seed: log-ratio to the opponent where
    the objective has a reference, else the mean log-probability; and the loss below."""
    played = [v for v in variants if (training["objective"] == v).any()]
    if not played:
        return None
    columns = min(3, len(played))
    blocks = math.ceil(len(played) / columns)
    figure, axes = _figure(2 * blocks, columns, 2.9 * blocks + 0.3, height_ratios=[1.5, 1] * blocks)
    for index, variant in enumerate(played):
        top = axes[(index // columns) * 2 * columns + index % columns]
        bottom = axes[((index // columns) * 2 + 1) * columns + index % columns]
        rows = training[(training["objective"] == variant) & (training["seed"] == seeds[0])].reset_index(drop=True)
        kind = "log_ratio" if "log_ratio_real" in rows and rows["log_ratio_real"].notna().any() else "logp"
        for role, colour, line in (("real", COLOURS[0], "-"), ("synthetic", COLOURS[1], "--"), ("proto", COLOURS[2], ":")):
            column = f"{kind}_{role}"
            if column in rows and rows[column].notna().any():
                top.plot(rows.index, rows[column], color=colour, linestyle=line, linewidth=1.0, label=role)
        bottom.plot(rows.index, rows["loss"], color="#333333", linewidth=0.9)
        for axis in (top, bottom):
            for start in rows.index[rows["iteration"].diff() > 0]:
                axis.axvline(start - 0.5, color="#CCCCCC", linewidth=0.6, zorder=0)
        top.set_title(variant)
        top.tick_params(labelbottom=False)
        top.legend(loc="best", handlelength=2, borderpad=0.1, labelspacing=0.2)
        top.set_ylabel("log-ratio, nats" if kind == "log_ratio" else "log-prob., nats")
        bottom.set_ylabel("loss")
        bottom.set_xlabel("step, all iterations")
    used = {id(axes[(i // columns) * 2 * columns + i % columns + extra]) for i in range(len(played)) for extra in (0, columns)}
    for axis in axes:
        axis.set_visible(id(axis) in used)
    return figure


def dynamics_curves(dynamics: Frame, variants: Sequence[str], iterations: int) -> Figure | None:
    """Each measurement on held-out prompts against iteration, mean over seeds, bars: standard error over prompts (one seed)."""
    names = [n for n in NAMES if (dynamics["name"] == n).any()]
    names += sorted(set(dynamics["name"]) - set(names))
    if not names:
        return None
    columns = min(4, len(names))
    rows = math.ceil(len(names) / columns)
    figure, axes = _figure(rows, columns, 1.75 * rows + 0.45, sharex=True)
    for axis, name in zip(axes, names, strict=False):
        mine = dynamics[dynamics["name"] == name]
        start = mine[mine["objective"] == INITIAL]
        for variant in variants:
            here = mine[mine["objective"] == variant]
            if here.empty:
                continue
            one_seed = here["seed"].nunique() == 1
            means: Frame = pd.concat([start, here]).groupby("iteration")[["value", "stderr"]].mean()
            error = means["stderr"] if one_seed and means["stderr"].notna().any() else None
            style = {**look(variants, variant), "markersize": 2.8, "linewidth": 1.1}
            axis.errorbar(means.index, means["value"], yerr=error, elinewidth=0.7, label=variant, **style)
        axis.set_title(NAMES.get(name, name))
        axis.set_ylabel(mine["unit"].iloc[0], fontsize=7)
        axis.set_xticks(range(INITIAL_ITERATION, iterations), ["i", *map(str, range(iterations))])
        axis.margins(y=0.15)
    for axis in axes[len(names) :]:
        axis.set_visible(False)
    _shared_legend(figure, axes[0], len(variants))
    return figure
