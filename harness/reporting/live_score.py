"""The score of one checkpoint as soon as it is evaluated, with its difference from the initial policy, as in the tables.

Of the run's evaluations only the initial policy's and the trial's own so far are read.
"""

from __future__ import annotations

import math
from pathlib import Path

from harness.analysis.comparison import ItemScores
from harness.analysis.facts import CheckpointKey, RunResults
from harness.analysis.frames import select
from harness.analysis.stats import sum_uncertainties, tied
from harness.progress.wording import CheckpointScore
from harness.records import INITIAL, INITIAL_ITERATION
from harness.reporting.tables.mean_errors import item_stderr
from harness.reporting.tables.paired_scores import ModelKey, PairedScores


def checkpoint_score(root: Path, folder: str) -> CheckpointScore | None:
    """The score of the evaluation in `folder` of the run folder `root`; None for another phase, or another suite's evaluation."""
    results = RunResults(root)
    phase = f"/evaluate/{results.suite['name']}"
    if not folder.endswith(phase):
        return None
    checkpoint = _checkpoint(root, folder.removesuffix(phase))
    results.checkpoints = [c for c in results.checkpoints if c.objective == INITIAL or _is_before(c, checkpoint)]
    rows = select(results.unit_scores, objective=checkpoint.objective, seed=checkpoint.seed, iteration=checkpoint.iteration)
    num_tasks = len(results.averaged_tasks)
    if not num_tasks or len(rows) < num_tasks:
        return CheckpointScore(None, math.nan, None, math.nan, 0, 0, num_tasks)
    paired = PairedScores(results)
    seeds = [] if checkpoint.seed is None else [checkpoint.seed]
    model = ModelKey(checkpoint.objective, checkpoint.iteration)
    stderr = item_stderr(paired, model, seeds or results.record["seeds"][:1])
    scores = paired.averaged_scores(model, seeds or results.record["seeds"][:1])
    items, clusters = (scores.items, scores.clusters) if scores is not None else (int(rows["n"].sum()), int(rows["n"].sum()))
    change, change_stderr = _change(paired, scores, seeds)
    return CheckpointScore(float(rows["value"].mean()), stderr, change, change_stderr, items, clusters, num_tasks)


def _change(paired: PairedScores, scores: ItemScores | None, seeds: list[int]) -> tuple[float | None, float]:
    """The difference from the initial policy and its standard error, item by item. None for the initial policy itself."""
    start = ModelKey(INITIAL, INITIAL_ITERATION)
    if scores is None or not seeds or not paired.finished_seeds(start):
        return None, math.nan
    initial_scores = paired.averaged_scores(start, seeds)
    if initial_scores is None:
        return None, math.nan
    difference = scores.minus(initial_scores)
    value = 0.0 if tied(scores.mean, initial_scores.mean) else difference.mean
    if not difference.has_enough_items:
        return value, math.nan
    return value, sum_uncertainties(difference.item_uncertainties()).stderr


def _checkpoint(root: Path, folder: str) -> CheckpointKey:
    parts = folder.split("/")
    if len(parts) < 3:
        return CheckpointKey(root / folder, INITIAL, None, INITIAL_ITERATION)
    label, seed, iteration = parts
    return CheckpointKey(root / folder, label, int(seed.removeprefix("seed-")), int(iteration.removeprefix("iteration-")))


def _is_before(checkpoint: CheckpointKey, other: CheckpointKey) -> bool:
    """Whether it is the other, or an earlier one of its trial."""
    same_trial = (checkpoint.objective, checkpoint.seed) == (other.objective, other.seed)
    return same_trial and checkpoint.iteration <= other.iteration
