"""Facts of a run -> tidy csv files and the leaderboard. Never imports torch.

A row that misses a task has no mean; a cell that was not played is empty in csv and a dash in print. Two versions of a suite
never enter one average.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from harness import figures, stats
from harness.errors import UserError
from harness.facts import Facts, Frame
from harness.records import INITIAL
from harness.store import write_text
from harness.study import Grid, choose

MISSING = "–"


def refresh(root: Path, every_figure: bool = True) -> list[Path]:
    """Write the tables and figures of a run folder anew; returns their paths. The same facts give the same bytes.

    every_figure=False draws the stability curves alone: what a watcher of a running game looks at.
    """
    facts = Facts(root)
    written = {
        "scores.csv": facts.scores,
        "training.csv": facts.training,
        "dynamics.csv": facts.dynamics,
        "tables/leaderboard.csv": (board := leaderboard(facts)),
        "tables/stability.csv": stability_table(facts),
        "tables/cost.csv": facts.costs,
    }
    (root / "tables").mkdir(exist_ok=True)
    for name, table in written.items():
        write_text(root / name, table.to_csv(index=False, lineterminator="\n"))
    write_text(root / "tables/leaderboard.md", as_markdown(facts, board))
    write_text(root / "tables/leaderboard.tex", as_latex(facts, board))
    names = [*written, "tables/leaderboard.md", "tables/leaderboard.tex"]
    return [*(root / name for name in names), *figures.write_all(facts, board, root / "plots", every_figure)]


def score_array(facts: Facts, objective: str, column: str = "value") -> np.ndarray:
    """(S, N, T) of one variant's column over the run's seeds, the suite's tasks and iterations 0..T-1; NaN where missing.

    Raises UserError when the records come from more than one version of the suite.
    """
    rows = facts.scores[facts.scores["objective"] == objective]
    suites = sorted(rows["suite"].unique())
    if len(suites) > 1:
        raise UserError(f"{facts.root}: scores of {' and '.join(suites)} cannot enter one average; name one suite")
    seeds = facts.record["seeds"] if objective != INITIAL else [None]
    tasks = [row["name"] for row in facts.suite["task"]]
    times = range(facts.record["iterations"]) if objective != INITIAL else [-1]
    found = {
        (None if pd.isna(seed) else int(seed), task, int(iteration)): float(value)
        for seed, task, iteration, value in zip(rows["seed"], rows["task"], rows["iteration"], rows[column], strict=True)
        if not pd.isna(value)
    }
    return np.array([[[found.get((s, task, t), np.nan) for t in times] for task in tasks] for s in seeds])


def leaderboard(facts: Facts) -> Frame:
    """One row per objective and iteration: tasks averaged over finished seeds, their plain mean, errors and n.

    `item_stderr` is the error of sampling test items; `seed_sd` the standard deviation over seeds, empty for one seed.
    `mean_low` and `mean_high` bound the mean over seeds (95 %, bootstrap) from three seeds on.
    """
    tasks = [row["name"] for row in facts.suite["task"]]
    generator = np.random.default_rng(0)
    rows = []
    for objective in [INITIAL, *facts.variants]:
        values, errors = score_array(facts, objective), score_array(facts, objective, "stderr")
        times = [-1] if objective == INITIAL else range(values.shape[2])
        curve = _over_seeds(stats.task_mean(values))
        best = stats.stability(curve[~np.isnan(curve)])
        for column, t in enumerate(times):
            done = ~np.isnan(values[:, :, column]).any(axis=1)
            here = values[done][:, :, column]
            means = stats.task_mean(values[done])[:, column]
            interval = stats.seed_interval(values[done][:, :, [column]], generator) if done.any() else None
            seeds = int(done.sum())
            rows.append(
                {
                    "objective": objective,
                    "iteration": t,
                    "seeds": seeds if objective != INITIAL else pd.NA,
                    **{task: here[:, i].mean() if seeds else np.nan for i, task in enumerate(tasks)},
                    "mean": means.mean() if seeds else np.nan,
                    "item_stderr": _pooled_item_stderr(errors[done][:, :, column]) if seeds else np.nan,
                    "seed_sd": stats.spread(means) if objective != INITIAL else np.nan,
                    "mean_low": interval[0][0] if interval else np.nan,
                    "mean_high": interval[1][0] if interval else np.nan,
                    "normalised_mean": np.mean(
                        [stats.normalised(here[:, i].mean(), row["chance"]) for i, row in enumerate(facts.suite["task"])]
                    )
                    if seeds
                    else np.nan,
                    "best": best is not None and objective != INITIAL and t == best.best_iteration,
                    "source": "scores.csv",
                }
            )
    table: Frame = pd.DataFrame(rows)
    table["seeds"] = table["seeds"].astype("Int64")
    return table


def _over_seeds(curves: np.ndarray) -> np.ndarray:
    """(S, T) -> (T,) mean over the seeds that have the point; NaN where none has."""
    return np.array([c[~np.isnan(c)].mean() if (~np.isnan(c)).any() else np.nan for c in curves.T])


def _pooled_item_stderr(errors: np.ndarray) -> float:
    """(S, N) -> error of sampling items of the mean over tasks. Seeds answer the same items, so it does not shrink with S."""
    return float(stats.item_stderr(errors).mean())


def chosen_table(facts: Facts) -> Frame:
    """One row per objective and candidate of a study's grid: its validation mean at the last and at the best iteration, and
    whether it was chosen. Empty numbers where a seed or iteration is missing. Raises UserError for a run without a grid."""
    grid = facts.study.get("grid")
    if not grid:
        raise UserError(f"{facts.root}: is not a run that chooses settings; make one with: harness study lr")
    trial = Facts(facts.root, grid["validation"])
    scored = set(trial.scores["objective"])
    candidates = []
    for objective, values in grid["objectives"].items():
        for label, value in values:
            curve = stats.task_mean(score_array(trial, label)).mean(axis=0) if label in scored else np.full(1, np.nan)
            whole = not np.isnan(curve).any()
            candidates.append(
                {
                    "objective": objective,
                    "key": grid["key"],
                    "value": value,
                    "label": label,
                    "suite": grid["validation"],
                    "seeds": len(facts.record["seeds"]),
                    "validation_last": float(curve[-1]) if whole else None,
                    "validation_best": float(curve.max()) if whole else None,
                    "item_stderr_last": _last_item_stderr(trial, label) if whole else None,
                }
            )
    return pd.DataFrame(choose(Grid(**{k: grid[k] for k in Grid.model_fields}), candidates))


def _last_item_stderr(facts: Facts, label: str) -> float:
    return _pooled_item_stderr(score_array(facts, label, "stderr")[:, :, -1])


def stability_table(facts: Facts) -> Frame:
    """One row per variant and seed whose iterations are all there, and what its curve of means did."""
    rows = []
    for objective in facts.variants:
        for seed, curve in zip(facts.record["seeds"], stats.task_mean(score_array(facts, objective)), strict=True):
            played = curve[~np.isnan(curve)]
            found = stats.stability(played)
            if found is None:
                continue
            rows.append({"objective": objective, "seed": seed, "iterations": len(played), **vars(found)})
    columns = ["objective", "seed", "iterations", *stats.Stability.__dataclass_fields__]
    return pd.DataFrame(rows, columns=columns)


# ---------------------------------------------------------------- in print


def percent(value: float) -> str:
    """A share as percent with one decimal; a dash where there is none."""
    return MISSING if pd.isna(value) else f"{100 * value:.1f}"


def printed_rows(facts: Facts, board: Frame) -> tuple[list[str], list[list[str]]]:
    """Header and cells of the leaderboard in print: percent, mean with its item error, the best iteration starred."""
    tasks = facts.suite["task"]
    header = ["objective", "iter", *(row["label"] for row in tasks), "mean ± item s.e.", "seeds"]
    rows = []
    for row in board.to_dict("records"):
        error = f" ± {100 * row['item_stderr']:.1f}" if not pd.isna(row["item_stderr"]) else ""
        rows.append(
            [
                row["objective"],
                "initial" if row["objective"] == INITIAL else str(row["iteration"]),
                *(percent(row[task["name"]]) for task in tasks),
                (percent(row["mean"]) + error if not pd.isna(row["mean"]) else MISSING) + (" *" if row["best"] else ""),
                MISSING if pd.isna(row["seeds"]) else str(row["seeds"]),
            ]
        )
    return header, rows


def footnote(facts: Facts) -> str:
    """What the numbers of a leaderboard are: suite, items per task, the star, the errors."""
    suite = facts.suite
    counts = sorted({int(n) for n in facts.scores["n"]})
    items = f"{counts[0]}" if len(counts) == 1 else f"{counts[0]} to {counts[-1]}" if counts else "no"
    return (
        f"Percent; suite {suite['name']} v{suite['version']}, {items} items per task; mean: plain mean of the "
        f"{len(suite['task'])} tasks; ±: standard error of sampling items, not the spread over seeds; *: best iteration. "
        "Numbers in full: tables/leaderboard.csv, their origin: scores.csv."
    )


def as_markdown(facts: Facts, board: Frame) -> str:
    header, rows = printed_rows(facts, board)
    lines = ["| " + " | ".join(cells) + " |" for cells in (header, ["---"] * len(header), *rows)]
    return "\n".join(lines) + "\n\n" + footnote(facts) + "\n"


def as_latex(facts: Facts, board: Frame) -> str:
    """A booktabs table to paste into a paper."""
    header, rows = printed_rows(facts, board)
    body = [" & ".join(_tex(cell) for cell in cells) + r" \\" for cells in rows]
    return "\n".join(
        [
            "% needs \\usepackage{booktabs}",
            rf"\begin{{tabular}}{{ll{'r' * (len(header) - 2)}}}",
            r"\toprule",
            " & ".join(_tex(cell) for cell in header) + r" \\",
            r"\midrule",
            *body,
            r"\bottomrule",
            r"\end{tabular}",
            "% " + footnote(facts),
            "",
        ]
    )


def _tex(text: str) -> str:
    special = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "±": r"$\pm$", "–": "--"}
    return "".join(special.get(c, "\\" + c if c in "&%$#_{}" else c) for c in text)
