"""Two runs side by side: the same statistics as within a run, paired over the items that both were evaluated on.

A side is `RUN`, `RUN:OBJECTIVE` or `RUN:OBJECTIVE@ITERATION`. What a side leaves open is taken from the other, or else is every
objective (by its label) and every trained iteration that both have.

Seeds that both have are paired seed by seed; where they have none in common, in the order of their numbers: seeds of two runs are
independent, so any order gives the error of their difference.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from harness.analysis.facts import RunResults
from harness.errors import UserError, did_you_mean
from harness.records import INITIAL, INITIAL_ITERATION
from harness.reporting.tables.comparisons import COLUMNS, Side, adjust_means, pair_rows, with_number_types
from harness.reporting.tables.paired_scores import ModelKey, PairedScores
from harness.reporting.tables.settings_differences import settings_differences
from harness.store.opening import find_run, open_run
from harness.store.untrusted import explain_malformed

LAST = "last"
SIDE_PATTERN = re.compile(r"(?P<run>[^:]+):(?P<model>.*)")
ROW_COLUMNS = ["run_a", "run_b", *COLUMNS[COLUMNS.index("a") : COLUMNS.index("difference")], "value_a", "value_b",
               *COLUMNS[COLUMNS.index("difference") : COLUMNS.index("source")]]  # fmt: skip
# what must be equal for two rows of a suite to be the same measurement
TASK_IDENTITY = ("metric", "filter", "shots", "range", "higher_is_better")


@dataclass(frozen=True)
class RunChoice:
    """One side as it was asked for. iteration: -1 for the initial policy; None, as of the objective, where it is left open."""

    scores: PairedScores
    name: str
    objective: str | None
    iteration: int | None

    @property
    def results(self) -> RunResults:
        return self.scores.results

    @property
    def labels(self) -> list[str]:
        return list(self.results.record["variants"])


@dataclass(frozen=True)
class RunComparison:
    """Two runs compared. table: a minus b, for every pair of models a row for the mean over the shared tasks, then one per task.

    settings: (key, value of a, value of b) of what differs. tasks: the shared rows of the suites; averaged: those in the mean;
    in_percent: those whose own unit is a share of 1.
    """

    run_a: Path
    run_b: Path
    table: pd.DataFrame
    settings: list[tuple[str, Any, Any]]
    tasks: list[str]
    averaged: list[str]
    in_percent: list[str]


def compare_runs(a: str, b: str, results: Path) -> RunComparison:
    """Compare two runs, each by name below `results` or by folder, as a whole or at one objective and iteration.

    Raises UserError where a run, objective or iteration is not there, nothing is shared, or shared tasks have other items.
    """
    side_a, side_b = read_side(a, results), read_side(b, results)
    with explain_malformed(side_a.results.root), explain_malformed(side_b.results.root):
        tasks = _shared_tasks(side_a, side_b)
        averaged = [task for task in tasks if all(side.results.scales[task].in_mean for side in (side_a, side_b))]
        in_percent = [task for task in averaged if side_a.results.scales[task].is_identity]
        pairs = _model_pairs(side_a, side_b)
        rows_by_pair = []
        for model_a, model_b in pairs:
            seeds_a, seeds_b = _paired_seeds(side_a.scores, model_a, side_b.scores, model_b)
            if seeds_a:
                sides = Side(side_a.scores, model_a, seeds_a), Side(side_b.scores, model_b, seeds_b)
                rows_by_pair.append(_rows(*sides, tasks, averaged))
        if not rows_by_pair:
            raise UserError(f"{a} and {b}: nothing of what is compared is evaluated in both; finish it with: harness run")
        adjust_means(rows_by_pair)
        rows = [{"run_a": side_a.name, "run_b": side_b.name, **row} for rows in rows_by_pair for row in rows]
        table = with_number_types(pd.DataFrame(rows, columns=ROW_COLUMNS).astype({"value_a": float, "value_b": float}))
        settings = settings_differences(side_a.results.record, side_b.results.record, pairs)
    return RunComparison(side_a.results.root, side_b.results.root, table, settings, tasks, averaged, in_percent)


def read_side(text: str, results: Path) -> RunChoice:
    """The run and the choice that a side names. Raises UserError for a run, objective or iteration that is not there."""
    match = None if find_run(text, results) is not None else SIDE_PATTERN.fullmatch(text)
    folder = open_run(match["run"] if match else text, results)
    with explain_malformed(folder.root):
        run_results = RunResults(folder.root)
        if run_results.earlier_tables is not None:
            raise UserError(f"{folder.root}: has tables alone, and no item scores to pair; compare runs that keep their facts/")
        objective, iteration = _read_choice(match["model"], run_results) if match else (None, None)
    return RunChoice(PairedScores(run_results), folder.root.resolve().name, objective, iteration)


def read_model(text: str, results: RunResults) -> ModelKey:
    """`OBJECTIVE` (at the last iteration) or `OBJECTIVE@ITERATION` of a run. Raises UserError for one that is not there."""
    objective, iteration = _read_choice(text, results)
    return ModelKey(objective, results.record["iterations"] - 1 if iteration is None else iteration)


def _read_choice(text: str, results: RunResults) -> tuple[str, int | None]:
    """The objective, by the name that is shown or by that of its folder, and the iteration if there is one behind it."""
    variants, iterations = results.record["variants"], results.record["iterations"]
    by_folder = {entry.get("folder", label): label for label, entry in variants.items()}
    known = {INITIAL: INITIAL} | by_folder | {label: label for label in variants}
    objective, separator, iteration = (text, "", "") if text in known else text.rpartition("@")
    if not separator:
        objective = text
    if objective not in known:
        raise UserError(f'{results.root} has no objective "{objective}"{did_you_mean(objective, [INITIAL, *variants])}')
    if known[objective] == INITIAL:
        return INITIAL, INITIAL_ITERATION
    if not separator:
        return known[objective], None
    if iteration == LAST:
        return known[objective], iterations - 1
    if not iteration.isdecimal() or not iteration.isascii() or int(iteration[:9]) >= iterations:
        raise UserError(f"{text}: expected an iteration from 0 to {iterations - 1}, or {LAST}, behind the @")
    return known[objective], int(iteration)


def _model_pairs(a: RunChoice, b: RunChoice) -> list[tuple[ModelKey, ModelKey]]:
    """The models that are compared, in the order of a's objectives and of the iterations."""
    if a.objective is None and b.objective is None:
        labels = [(label, label) for label in a.labels if label in b.labels]
        if not labels:
            raise UserError(
                f"{a.name} has {_listed(a.labels)}, {b.name} has {_listed(b.labels)}: no objective in common; choose one "
                f"of each, for example {a.name}:{a.labels[0]} {b.name}:{b.labels[0]}"
            )
    else:
        labels = [(a.objective or str(b.objective), b.objective or str(a.objective))]
    for side, label in ((side, pair[n]) for pair in labels for n, side in enumerate((a, b))):
        if label not in (INITIAL, *side.labels):
            raise UserError(f"{side.name} has no objective {label}; choose one of its own: {side.name}:{side.labels[0]}")
    return [pair for label_a, label_b in labels for pair in _pairs_of_labels(a, label_a, b, label_b)]


def _pairs_of_labels(a: RunChoice, label_a: str, b: RunChoice, label_b: str) -> Iterator[tuple[ModelKey, ModelKey]]:
    """Two objectives at the iterations that both have, or at those that were chosen; the initial policy beside any."""
    if INITIAL not in (label_a, label_b) and a.iteration is not None and b.iteration is not None:
        yield ModelKey(label_a, a.iteration), ModelKey(label_b, b.iteration)
        return
    trained = [side.results.record["iterations"] for side, label in ((a, label_a), (b, label_b)) if label != INITIAL]
    chosen = [side.iteration for side in (a, b) if side.iteration not in (None, INITIAL_ITERATION)]
    if chosen and chosen[0] >= min(trained):
        raise UserError(f"iteration {chosen[0]}: {a.name} or {b.name} has none; choose one of each, @{LAST} behind both")
    for t in chosen or (range(min(trained)) if trained else [INITIAL_ITERATION]):
        model_a, model_b = (ModelKey(label, INITIAL_ITERATION if label == INITIAL else t) for label in (label_a, label_b))
        yield model_a, model_b


def _listed(labels: Sequence[str]) -> str:
    return ", ".join(labels[:10]) + (", ..." if len(labels) > 10 else "")


def _shared_tasks(a: RunChoice, b: RunChoice) -> list[str]:
    """The rows that both suites have, in a's order. Raises UserError where there is none, or one is measured otherwise."""
    rows_b = {row["name"]: row for row in b.results.suite["task"]}
    rows = [row for row in a.results.suite["task"] if row["name"] in rows_b]
    suites = " and ".join(f"{side.name} ({side.results.suite['name']} v{side.results.suite['version']})" for side in (a, b))
    if not rows:
        raise UserError(f"{suites}: no task in common; compare runs that were evaluated on one suite")
    for side in (a, b):
        if not side.results.item_scores:
            raise UserError(
                f"{side.name}: nothing of it is evaluated on {side.results.suite['name']}; finish it with: harness run"
            )
    for row in rows:
        name = row["name"]
        for field in TASK_IDENTITY:
            if row.get(field) != rows_b[name].get(field):
                values = f"{row.get(field)} and {rows_b[name].get(field)}"
                raise UserError(f"{suites}: {name} differs in {field}, {values}; compare runs of one suite version")
        _check_items(a, b, name, suites)
    return [row["name"] for row in rows]


def _check_items(a: RunChoice, b: RunChoice, name: str, suites: str) -> None:
    """Raises UserError where a task has other items, or prompts, in b than in a."""
    items_a, items_b = (next(iter(side.results.item_scores.values()))[name] for side in (a, b))
    problem = ""
    if items_a["items"] != items_b["items"]:
        counts = [len(items["values"] or []) for items in (items_a, items_b)]
        problem = f"other items or prompts (digests {items_a['items']} and {items_b['items']}, {counts[0]} and {counts[1]} items)"
    elif name in a.scores.paired_tasks and name in b.scores.paired_tasks and a.scores.layout(name) != b.scores.layout(name):
        problem = "other clusters of items"
    if problem:
        raise UserError(f"{suites}: {name} has {problem}, so they cannot be paired; evaluate both on the same suite version")


def _paired_seeds(a: PairedScores, model_a: ModelKey, b: PairedScores, model_b: ModelKey) -> tuple[list[int], list[int]]:
    """The seeds of both sides, one for one; the initial policy, which has none, stands beside every seed of the other."""
    seeds_a, seeds_b = a.finished_seeds(model_a), b.finished_seeds(model_b)
    if not seeds_a or not seeds_b:
        return [], []
    if INITIAL in (model_a.objective, model_b.objective):
        only_initial = model_a.objective == model_b.objective
        seeds = seeds_a[:1] if only_initial else seeds_b if model_a.objective == INITIAL else seeds_a
        return seeds, seeds
    if common := [seed for seed in seeds_a if seed in seeds_b]:
        return common, common
    count = min(len(seeds_a), len(seeds_b))
    return seeds_a[:count], seeds_b[:count]


def _rows(a: Side, b: Side, tasks: Sequence[str], averaged: Sequence[str]) -> list[dict[str, Any]]:
    rows = pair_rows(a, b, tasks, averaged)
    for row in rows:
        for letter, side in (("a", a), ("b", b)):
            scores = side.averaged(averaged) if row is rows[0] else side.task(row["task"])
            row[f"value_{letter}"] = None if scores is None else scores.mean
    return rows
