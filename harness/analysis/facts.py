"""Read a run's finished phases into plain tables. The only reader behind every csv, figure and report.

A phase is finished if and only if its manifest exists, in its folder or in the run's small files; what is not finished is
missing, never zero. Of runs made before there were small files a clone has the tables alone: they are read instead, see
earlier_tables.py.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pandas as pd

from harness.analysis.earlier_tables import COST_COLUMNS, DYNAMICS_COLUMNS, STEP_COLUMNS, EarlierTables
from harness.analysis.frames import KEY_COLUMNS, Frame, make_frame, with_integers
from harness.analysis.score_scale import ScoreScale, infer_scale
from harness.analysis.shown_names import with_shown_names
from harness.files import MANIFEST, read_json
from harness.records import INITIAL, INITIAL_ITERATION
from harness.settings.safe_paths import join_inside
from harness.store.finished_phases import FinishedPhases, failed_cells

PHASE_KINDS = ("generate", "score", "train", "evaluate", "probe")  # those of ours, in the order of the work
RESPONSE_ROLES = ("real", "synthetic", "proto")
RECORD_COLUMNS = ("task", "metric", "filter", "value", "stderr", "n", "shots", "chance", "task_version")
SCORE_COLUMNS = [*KEY_COLUMNS, "task", "label", "metric", "filter", "value", "stderr", "n", "clusters", "shots", "chance",
                 "task_version", "suite", "source"]  # fmt: skip
COUNT_COLUMNS = ("tokens", "responses", "truncated")
Key = tuple[str, int | None, int]  # objective, seed (None of the initial policy), iteration


@dataclass(frozen=True)
class CheckpointKey:
    """Folder of one checkpoint's results and its key in every table. The initial policy has no seed."""

    folder: Path
    objective: str
    seed: int | None
    iteration: int

    @property
    def key(self) -> Key:
        return self.objective, self.seed, self.iteration

    def as_columns(self) -> dict[str, Any]:
        return dict(zip(KEY_COLUMNS, self.key, strict=True))


@dataclass
class RunResults:
    """Everything finished in one run folder, in an order that does not depend on the file system."""

    root: Path
    suite_name: str | None = None  # None: the suite of the run's last command
    record: dict[str, Any] = field(init=False)

    def __post_init__(self) -> None:
        self.record = with_shown_names(read_json(self.root / "run.json"))

    @property
    def variants(self) -> list[str]:
        """The variants to show: all, or those that a study selects."""
        return list(self.study.get("shown") or self.record["variants"])

    @property
    def study(self) -> dict[str, Any]:
        """The record's entry on the study this run belongs to; empty for a run that belongs to none."""
        return self.record.get("study") or {}

    @property
    def panels(self) -> list[dict[str, Any]]:
        """Groups of variants that are shown and compared together, {title, labels}: the study's panels, or one of everything."""
        return self.study.get("panels") or [{"title": "", "labels": self.variants}]

    @property
    def suite(self) -> dict[str, Any]:
        return self.record["suites"][self.suite_name or self.record["suite"]]

    @property
    def judge_name(self) -> str | None:
        """The judge that rated the answers, as "MODEL at HOST"; None for a suite of lm-eval's tasks."""
        judge = self.suite.get("judge")
        return f"{judge['model']} at {urlsplit(judge['endpoint']).hostname}" if judge else None

    @cached_property
    def checkpoints(self) -> list[CheckpointKey]:
        """The initial policy, then all variants in the order of the command, seeds and iterations ascending."""
        return [
            CheckpointKey(self.root / "initial", INITIAL, None, INITIAL_ITERATION),
            *(
                CheckpointKey(self.root / entry["folder"] / f"seed-{seed}" / f"iteration-{iteration}", variant, seed, iteration)
                for variant, entry in self.record["variants"].items()
                for seed in self.record["seeds"]
                for iteration in range(self.record["iterations"])
            ),
        ]

    def iter_phases(self, phase: str) -> Iterator[tuple[CheckpointKey, Path, dict[str, Any]]]:
        """(checkpoint, folder, manifest) of every finished phase of that relative name."""
        for checkpoint in self.checkpoints:
            folder = checkpoint.folder / phase
            manifest = self.finished_phases.manifest(self.relative_path(folder))
            if manifest is not None:
                yield checkpoint, folder, manifest

    @cached_property
    def finished_phases(self) -> FinishedPhases:
        return FinishedPhases(self.root)

    @cached_property
    def earlier_tables(self) -> EarlierTables | None:
        """The tables of a run of which nothing else is left; None where there are phases, or the small files of some."""
        return EarlierTables(self.root) if self.finished_phases.is_empty() else None

    def read_text(self, folder: Path, manifest: dict[str, Any], name: str) -> str:
        """A file of a finished phase. Raises DamagedError when it is not what was committed."""
        return self.finished_phases.text(self.relative_path(folder), manifest, name)

    def _files(self, phase: str, name: str) -> Iterator[tuple[CheckpointKey, str, str]]:
        """(checkpoint, path in the run folder, text) of a file of every finished phase of that relative name."""
        for checkpoint, folder, manifest in self.iter_phases(phase):
            yield checkpoint, self.relative_path(folder / name), self.read_text(folder, manifest, name)

    def sample_sets(self) -> Iterator[tuple[dict[str, Any], Path, dict[str, Any]]]:
        """Key, folder and manifest of every finished phase that generated samples; those of the initial policy, which iteration 0
        of a seed shares, have a key of their own."""
        for seed in self.record["seeds"]:
            for phase in (phase for phase in self._phase_names if phase.startswith(f"{INITIAL}/seed-{seed}/generate/k-")):
                if (manifest := self.finished_phases.manifest(phase)) is not None:
                    yield {"objective": INITIAL, "seed": seed, "iteration": 0}, self.root / phase, manifest
        for checkpoint, folder, manifest in self.iter_phases("generate"):
            yield checkpoint.as_columns(), folder, manifest

    def relative_path(self, path: Path) -> str:
        return path.relative_to(self.root).as_posix()

    @cached_property
    def scores(self) -> Frame:
        """One row per checkpoint and task of the run's suite."""
        if self.earlier_tables is not None:
            return self.earlier_tables.scores(self.suite)
        labels = {row["name"]: row["label"] for row in self.suite["task"]}
        rows = [
            {
                **checkpoint.as_columns(),
                **{name: record[name] for name in RECORD_COLUMNS},
                "clusters": record.get("clusters"),
                "label": labels.get(record["task"], record["task"]),
                "suite": f"{record['suite']} v{record['suite_version']}",
                "source": source,
            }
            for checkpoint, source, text in self._files(f"evaluate/{self.suite['name']}", "scores.json")
            for record in json.loads(text)["records"]
        ]
        return with_integers(make_frame(rows, SCORE_COLUMNS), "clusters")

    @cached_property
    def item_scores(self) -> dict[Key, dict[str, dict[str, Any]]]:
        """(objective, seed, iteration) -> task -> {items: digest of items and prompts, values: each item's score, or None; parts:
        sizes of a group's tasks of equal weight; clusters: index of every item's, where items share one}."""
        files = self._files(f"evaluate/{self.suite['name']}", "items.json")
        return {checkpoint.key: json.loads(text) for checkpoint, _, text in files}

    @cached_property
    def scales(self) -> dict[str, ScoreScale]:
        """Range and direction of every row of the suite, by name: from the suite, and from every number of the run."""
        values: dict[str, list[float]] = {name: list(rows) for name, rows in self.scores.groupby("task")["value"]}
        return {
            row["name"]: infer_scale(row, values.get(row["name"], []), self._value_bounds(row["name"]))
            for row in self.suite["task"]
        }

    def _value_bounds(self, task: str) -> Iterator[float]:
        """The least and the highest item score of the row, for every checkpoint; none where a score is not a number."""
        for items_by_task in self.item_scores.values():
            numbers = items_by_task.get(task, {}).get("values") or []
            with contextlib.suppress(TypeError):  # an error where the items are compared (tables/paired_scores.py)
                yield from (min(numbers), max(numbers)) if numbers else ()

    @property
    def averaged_tasks(self) -> list[dict[str, Any]]:
        """The rows of the suite that the mean over tasks is taken over."""
        return [row for row in self.suite["task"] if self.scales[row["name"]].in_mean]

    @property
    def unaveraged_tasks(self) -> list[dict[str, Any]]:
        """The rows of the suite that are not in the mean, each in its own unit."""
        return [row for row in self.suite["task"] if not self.scales[row["name"]].in_mean]

    @property
    def unit_scores(self) -> Frame:
        """`scores` of the rows that the mean over tasks is taken over, each value a share of 1."""
        names = {row["name"] for row in self.averaged_tasks}
        table = self.scores[self.scores["task"].isin(names)].copy()
        table["value"] = [self.scales[t].to_unit(v) for t, v in zip(table["task"], table["value"], strict=True)]
        return table

    @cached_property
    def training(self) -> Frame:
        """One row per optimizer step; absent roles and metrics are empty."""
        if self.earlier_tables is not None:
            return self.earlier_tables.training()
        rows = [
            {
                **checkpoint.as_columns(),
                **{k: step[k] for k in ("step", "epoch", "loss", "grad_norm", "lr")},
                **{f"{kind}_{role}": step[kind].get(role) for kind in ("logp", "log_ratio") for role in RESPONSE_ROLES},
                **{f"metric_{name}": value for name, value in step["metrics"].items()},
                "tokens": step["tokens"],
                "seconds": step["seconds"],
            }
            for checkpoint, _, text in self._files("train", "steps.jsonl")
            for step in map(json.loads, text.splitlines())
        ]
        if not rows:
            return pd.DataFrame(columns=STEP_COLUMNS)
        table = make_frame(rows)
        metrics = sorted(c for c in table if str(c).startswith("metric_"))
        leading = [c for c in table if c not in metrics and c not in ("tokens", "seconds")]
        return table[[*leading, *metrics, "tokens", "seconds"]]

    @cached_property
    def dynamics(self) -> Frame:
        """One row per checkpoint and measurement."""
        if self.earlier_tables is not None:
            return self.earlier_tables.dynamics()
        rows = [
            {**checkpoint.as_columns(), **measurement, "source": source}
            for checkpoint, source, text in self._files("probe", "measurements.json")
            for measurement in json.loads(text)["measurements"]
        ]
        return make_frame(rows, DYNAMICS_COLUMNS)

    @cached_property
    def costs(self) -> Frame:
        """One row per checkpoint and phase: tokens, seconds and peak memory.

        Shared samples of iteration 0 were generated once per seed; a row marked `shared` has the cost of its own part of them, so
        that rows of one objective add up to its cost, and rows that are not shared to the run's (with objective `initial`).
        """
        if self.earlier_tables is not None:
            return with_integers(self.earlier_tables.costs(), *COUNT_COLUMNS)
        rows = []
        for phase in self._costed_phases():
            for checkpoint, folder, manifest in self.iter_phases(phase):
                counts, seconds, is_shared = manifest["counts"], manifest["seconds"], "shared" in manifest["counts"]
                if is_shared:
                    sources = self._source_manifests(manifest)
                    if None in sources:
                        continue  # its source was set aside, and is not yet made again
                    counts, seconds = self._shared_cost(checkpoint, sources)
                memory = counts.get("peak_device_memory_bytes") or manifest["peak_memory_bytes"]
                rows.append(
                    {
                        **checkpoint.as_columns(),
                        "phase": phase.partition("/")[0],
                        "tokens": counts.get("tokens"),
                        "responses": counts.get("samples", counts.get("responses")),
                        "truncated": counts.get("truncated"),
                        "shared": is_shared,
                        "step0": counts.get("step0_max_abs_log_ratio_per_token"),
                        "seconds": round(seconds, 3),
                        "peak_memory_gib": round(memory / 2**30, 3),
                        "source": self.relative_path(folder / MANIFEST),
                    }
                )
        return with_integers(make_frame(rows, COST_COLUMNS), *COUNT_COLUMNS)

    def _costed_phases(self) -> list[str]:
        """The phases of an iteration in the order of the work, the benchmark's of this suite alone; then any other kind."""
        parts = [phase.split("/", 3) for phase in self._phase_names]
        in_iterations = {p[3] for p in parts if len(p) == 4 and p[2].startswith("iteration-")}
        others = sorted(name for name in in_iterations if name.partition("/")[0] not in PHASE_KINDS)
        return [f"evaluate/{self.suite['name']}" if kind == "evaluate" else kind for kind in PHASE_KINDS] + others

    @cached_property
    def _phase_names(self) -> list[str]:
        return self.finished_phases.phases()

    def _source_manifests(self, manifest: dict[str, Any]) -> list[Any]:
        folders = [join_inside(self.root, folder, "a manifest") for folder in manifest["inputs"]]
        return [self.finished_phases.manifest(self.relative_path(folder)) for folder in folders]

    def _shared_cost(self, checkpoint: CheckpointKey, sources: list[dict[str, Any]]) -> tuple[dict[str, Any], float]:
        """Counts and seconds of a trial's part of the initial policy's samples, by its share of the prompts."""
        num_samples = sources[0]["counts"]["samples"] if sources else 1
        fraction = (self.record["variants"][checkpoint.objective].get("examples") or num_samples) / num_samples
        counts = {k: round(fraction * sum(s["counts"][k] for s in sources)) for k in ("samples", "tokens", "truncated")}
        return counts, fraction * sum(s["seconds"] for s in sources)

    @cached_property
    def held_out_samples(self) -> dict[Key, list[dict[str, Any]]]:
        """Each checkpoint's responses to the same held-out prompts; to the first of them where its folder is gone."""
        files = self._files("probe", "samples.jsonl")
        return {checkpoint.key: [json.loads(line) for line in text.splitlines()] for checkpoint, _, text in files}

    @cached_property
    def failed_trials(self) -> dict[str, str]:
        """Trials that failed in the last run, with their error in one line."""
        return failed_cells(self.root)
