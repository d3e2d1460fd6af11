"""What a tracker is given: per trial, the numbers of each finished phase, from the run folder alone.

Two axes: scores and diagnostics stand at their iteration (-1: the initial policy, from which every trial starts), training curves
at their optimizer step, counted through all iterations.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.analysis.facts import RunResults
from harness.analysis.frames import Frame, select
from harness.records import INITIAL, INITIAL_ITERATION
from harness.reporting.tables.mean_errors import item_stderr
from harness.reporting.tables.paired_scores import ModelKey, PairedScores
from harness.settings.safe_paths import is_safe_name

STEP_COLUMNS = ("loss", "grad_norm", "lr", "tokens")  # of training.csv, beside log-probabilities and the objective's own metrics
PER_ROLE = ("logp_", "log_ratio_", "metric_")


@dataclass(frozen=True)
class Point:
    """One number: `step` is an iteration or, in a training curve, an optimizer step."""

    name: str
    step: int
    value: float


@dataclass(frozen=True)
class Chunk:
    """The numbers of one finished phase. key: its path in the trial; axis: what `step` counts."""

    key: str
    axis: str
    points: tuple[Point, ...]

    def by_step(self) -> dict[int, dict[str, float]]:
        """step -> name -> value, ascending."""
        steps: dict[int, dict[str, float]] = {}
        for point in self.points:
            steps.setdefault(point.step, {})[point.name] = point.value
        return dict(sorted(steps.items()))


@dataclass(frozen=True)
class TrialSeries:
    """One trial. id: its folder in the run; name: as it is shown; settings: flat, for the tracker's own table of runs.
    num_logged: steps of chunks that the tracker has already."""

    id: str
    name: str
    settings: dict[str, Any]
    chunks: tuple[Chunk, ...]
    num_logged: int = 0


def read_series(root: Path) -> Iterator[TrialSeries]:
    """Every trial of a run that has a finished phase of its own, its phases in the order of the work."""
    results = RunResults(root)
    suites = [RunResults(root, name) for name in results.record["suites"] if is_safe_name(name)]
    scored = [(suite, PairedScores(suite)) for suite in suites]
    for label, variant in results.record["variants"].items():
        for seed in results.record["seeds"]:
            chunks: list[Chunk] = []
            num_steps = 0
            for iteration in range(results.record["iterations"]):
                steps = select(results.training, objective=label, seed=seed, iteration=iteration)
                if len(steps):
                    chunks.append(_training(steps, iteration, num_steps))
                    num_steps += len(steps)
                chunks += [chunk for pair in scored if (chunk := _scores(*pair, label, seed, iteration)) is not None]
                measured = select(results.dynamics, objective=label, seed=seed, iteration=iteration)
                chunks += [_diagnostics(measured, iteration)] if len(measured) else []
            if chunks:
                settings = _settings(results, variant, seed)
                start = list(_start(results, scored))
                yield TrialSeries(f"{variant['folder']}/seed-{seed}", f"{label}, seed {seed}", settings, (*start, *chunks))


def _start(results: RunResults, scored: list[tuple[RunResults, PairedScores]]) -> Iterator[Chunk]:
    """The initial policy, at which the curves of every trial begin."""
    for pair in scored:
        if (chunk := _scores(*pair, INITIAL, None, INITIAL_ITERATION)) is not None:
            yield chunk
    measured = select(results.dynamics, objective=INITIAL)
    if len(measured):
        yield _diagnostics(measured, INITIAL_ITERATION)


def _training(steps: Frame, iteration: int, steps_before: int) -> Chunk:
    columns = [c for c in steps if c in STEP_COLUMNS or str(c).startswith(PER_ROLE)]
    points = []
    for number, row in enumerate(steps.sort_values("step").to_dict("records")):
        values = {"iteration": iteration, **{str(column): row[column] for column in columns}}
        points += list(_points("training", steps_before + number, values))
    return Chunk(f"{_folder(iteration)}/train", "optimizer_step", tuple(points))


def _scores(results: RunResults, paired: PairedScores, label: str, seed: int | None, iteration: int) -> Chunk | None:
    """Every task in its own unit, the mean over tasks as a share, and the standard error of each over test items."""
    rows = select(results.scores, objective=label, iteration=iteration)
    rows = rows if seed is None else select(rows, seed=seed)
    if rows.empty:
        return None
    values: dict[str, Any] = {}
    for row in rows.to_dict("records"):
        values |= {row["task"]: row["value"], f"{row['task']}_stderr": row["stderr"]}
    averaged = [row["name"] for row in results.averaged_tasks]
    if averaged and set(averaged) <= set(rows["task"]):
        shares = [results.scales[task].to_unit(values[task]) for task in averaged]
        seeds = [seed if seed is not None else results.record["seeds"][0]]
        values |= {"mean": sum(shares) / len(shares), "mean_stderr": item_stderr(paired, ModelKey(label, iteration), seeds)}
    suite = results.suite["name"]
    return Chunk(f"{_folder(iteration)}/evaluate/{suite}", "iteration", tuple(_points(suite, iteration, values)))


def _diagnostics(measured: Frame, iteration: int) -> Chunk:
    values: dict[str, Any] = {}
    for row in measured.to_dict("records"):
        values |= {row["name"]: row["value"], f"{row['name']}_stderr": row["stderr"]}
    return Chunk(f"{_folder(iteration)}/probe", "iteration", tuple(_points("diagnostics", iteration, values)))


def _folder(iteration: int) -> str:
    return INITIAL if iteration == INITIAL_ITERATION else f"iteration-{iteration}"


def _points(group: str, step: int, values: dict[str, Any]) -> Iterator[Point]:
    """A missing number is missing; a number that is not finite is none that a tracker can draw."""
    for name, value in values.items():
        if isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value):
            yield Point(re.sub(r"[^A-Za-z0-9_.-]", "_", group) + "/" + re.sub(r"[^A-Za-z0-9_.-]", "_", name), step, float(value))


def _settings(results: RunResults, variant: dict[str, Any], seed: int) -> dict[str, Any]:
    """What the trial was made with, by dotted key."""
    record = results.record
    shared = {f"{section}.{key}": value for section, values in record["identity"].items() for key, value in values.items()}
    own = {f"training.{key}": value for key, value in variant["training"].items()}
    objective = {f"objective.{key}": value for key, value in variant["resolved"][-1].items()}
    others = {"objective": variant["name"], "run": record["name"], "suite": record["suite"], "seed": seed}
    return {**shared, **own, **objective, **others, "base_digest": record.get("base_digest")}
