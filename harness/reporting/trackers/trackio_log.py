"""trackio: a run per trial, grouped by the run, in a local database; looked at with `trackio show`.

The database lies beside the run folders unless TRACKIO_DIR is set. TRACKIO_SPACE_ID and TRACKIO_SERVER_URL are trackio's own.
"""

from __future__ import annotations

import os
import uuid
from pathlib import Path

from harness.reporting.trackers.publish import keep_default
from harness.reporting.trackers.series import TrialSeries
from harness.store.provenance import PROGRAM


def is_live() -> bool:
    return True


def place(folder: Path, run: str) -> str:
    return f"TRACKIO_DIR={os.environ.get('TRACKIO_DIR', folder)} trackio show --project {PROGRAM}"


def log_trial(folder: Path, run: str, trial: TrialSeries, run_id: str | None) -> str:
    """run_id: the name of trackio's run, which has to be unique in its project."""
    keep_default("TRACKIO_DIR", str(folder))
    import trackio  # pyright: ignore

    run_id = run_id or f"{run}, {trial.name} ({uuid.uuid4().hex[:6]})"
    tracker_run = trackio.init(
        project=PROGRAM, name=run_id, group=run, config=trial.settings, resume="allow", embed=False, auto_log_gpu=False,
        auto_log_cpu=False,
    )  # fmt: skip
    for chunk in trial.chunks:
        for step, values in chunk.by_step().items():
            tracker_run.log({chunk.axis: step, **values}, step=step)
    trackio.finish()
    return run_id
