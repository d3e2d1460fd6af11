"""The examples of a run: committed to its folder once, compared by every later command."""

from __future__ import annotations

import tempfile
from datetime import datetime
from pathlib import Path

from harness.config import RunConfig
from harness.errors import UserError
from harness.files import file_digest, read_jsonl, write_jsonl
from harness.store.run_folder import RunFolder
from harness.world import Dataset, Policy, World


def commit_data(
    run: RunFolder, config: RunConfig, world: World, policy: Policy, data: Dataset, date: datetime, rewrite: bool = True
) -> tuple[Dataset, dict[str, str]]:
    """Commit the examples to `data/`, or check that the run's own are these. Raises UserError when the source has changed.

    rewrite: where only the small files of the run hold the phase, commit it anew; without, compare the examples with its digests.
    """
    settings = {"data": config.data.model_dump(), "base": policy.base_digest, **world.data_settings(policy, date)}
    result, recorded = run.lookup("data", {}, settings), run.small_file_manifest("data")
    if recorded is not None and not rewrite:
        with tempfile.TemporaryDirectory() as scratch:
            digests = _write_data(Path(scratch), data)
        if digests != recorded.outputs:
            raise UserError(_changed_rows_message(run, config))
        return data, digests
    if result is None:
        with run.write_phase("data", {}, settings) as writer:
            _write_data(writer.path, data)
            writer.counts.update(data.counts)
        result = run.find_phase("data")
        assert result is not None
    train, heldout = (read_jsonl(result.path / f"{name}.jsonl", world.example_type) for name in ("train", "heldout"))
    if (train, heldout) != (data.train, data.heldout):
        raise UserError(_changed_rows_message(run, config))
    return data, dict(result.manifest.outputs)


def _write_data(folder: Path, data: Dataset) -> dict[str, str]:
    """Write the examples as the phase `data` stores them; returns their digests by file."""
    digests = {}
    for name, rows in (("train.jsonl", data.train), ("heldout.jsonl", data.heldout)):
        write_jsonl(folder / name, rows)
        digests[name] = file_digest(folder / name)
    return digests


def _changed_rows_message(run: RunFolder, config: RunConfig) -> str:
    return f"{run.root}: the rows of {config.data.source} have changed since the run began; use --name OTHER"
