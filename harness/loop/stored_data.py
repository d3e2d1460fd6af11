"""The examples of a run as it keeps them: committed once, compared ever after."""

from __future__ import annotations

import tempfile
from datetime import datetime
from pathlib import Path

from harness.config import RunConfig
from harness.errors import UserError
from harness.files import file_digest, read_jsonl, write_jsonl
from harness.store.run_folder import RunFolder
from harness.world import Dataset, Policy, World


def stored_data(
    run: RunFolder, config: RunConfig, world: World, policy: Policy, data: Dataset, date: datetime, again: bool = True
) -> tuple[Dataset, dict[str, str]]:
    """Commit the examples to `data/`, or check that the run's own are these. Raises UserError when the source has changed.

    again: where only the small files of the run hold the phase, commit it anew; else the examples are compared with its digests.
    """
    settings = {"data": config.data.model_dump(), "base": policy.base_digest, **world.data_settings(policy, date)}
    done, before = run.reusable("data", {}, settings), run.recorded("data")
    if before is not None and not again:
        with tempfile.TemporaryDirectory() as scratch:
            written = _write_data(Path(scratch), data)
        if written != before.outputs:
            raise UserError(_changed_rows(run, config))
        return data, written
    if done is None:
        with run.open("data", {}, settings) as draft:
            _write_data(draft.path, data)
            draft.counts.update(data.counts)
        done = run.finished("data")
        assert done is not None
    train, heldout = (read_jsonl(done.path / f"{name}.jsonl", world.example_type) for name in ("train", "heldout"))
    if (train, heldout) != (data.train, data.heldout):
        raise UserError(_changed_rows(run, config))
    return data, dict(done.manifest.outputs)


def _write_data(folder: Path, data: Dataset) -> dict[str, str]:
    """The examples as the phase `data` keeps them; returns their digests by file."""
    found = {}
    for name, rows in (("train.jsonl", data.train), ("heldout.jsonl", data.heldout)):
        write_jsonl(folder / name, rows)
        found[name] = file_digest(folder / name)
    return found


def _changed_rows(run: RunFolder, config: RunConfig) -> str:
    return f"{run.root}: the rows of {config.data.source} have changed since the run began; use --name OTHER"
