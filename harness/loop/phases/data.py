"""Data: the examples of a run, committed to its folder once, compared by every later command."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from harness.errors import UserError
from harness.files import file_digest, read_jsonl, write_jsonl
from harness.loop.context import Iteration
from harness.loop.phase_runner import PhaseRunner
from harness.loop.phases.phase import Phase
from harness.store.phase_writer import PhaseWriter
from harness.world import Dataset


@dataclass
class Data(Phase):
    """The annotated examples. date: the one that chat templates which write a date are given."""

    date: datetime
    kind, may_be_linked = "data", False

    @property
    def folder(self) -> str:
        return self.kind

    @property
    def settings(self) -> dict[str, Any]:
        context = self.context
        world_settings = context.world.data_settings(context.policy, self.date)
        data = context.config.recorded()["data"]
        if (manifest := context.run.manifest_of(self.folder)) is not None:  # where they lie may change; the rows are compared
            data |= {key: value for key, value in manifest.settings["data"].items() if key in ("source", "heldout")}
        return {"data": data, "base": context.policy.base_digest, **world_settings}

    def run(self, draft: PhaseWriter) -> None:
        _write_examples(draft.path, self.context.data)
        draft.counts.update(self.context.data.counts)


def commit_data(runner: PhaseRunner, date: datetime, rewrite: bool = True) -> None:
    """Commit the examples to `data/`, or check that the run's own are these. Raises UserError when the source has changed.

    rewrite: where only the small files of the run hold the phase, commit it anew; without, compare the examples with its digests.
    """
    context, phase = runner.context, Data(Iteration(runner.context), date)
    data, recorded = context.data, context.run.small_file_manifest(phase.folder)
    if recorded is not None and not rewrite:
        runner.lookup(phase)
        with tempfile.TemporaryDirectory() as scratch:
            unchanged = _write_examples(Path(scratch), data) == recorded.outputs
    else:
        result = runner.ensure(phase)
        assert result is not None
        stored = (read_jsonl(result.path / f"{name}.jsonl", context.world.example_type) for name in ("train", "heldout"))
        unchanged = tuple(stored) == (data.train, data.heldout)
    if not unchanged:
        source = context.config.data.source
        raise UserError(f"{context.run.root}: the rows of {source} have changed since the run began; use --name OTHER")


def _write_examples(folder: Path, data: Dataset) -> dict[str, str]:
    """Write the files of the phase; returns their digests by name."""
    digests = {}
    for name, rows in (("train.jsonl", data.train), ("heldout.jsonl", data.heldout)):
        write_jsonl(folder / name, rows)
        digests[name] = file_digest(folder / name)
    return digests
