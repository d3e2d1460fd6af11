"""Weights & Biases: a run per trial, grouped by the run; offline unless WANDB_MODE=online is set.

Offline, `wandb sync` sends the folders later; wandb cannot go on with a run offline, so a trial is logged at the end of a command
and what a later command adds is a folder more, with the same id. Online, a run goes on while the trial does.
"""

from __future__ import annotations

import os
import uuid
from pathlib import Path
from typing import Any

from harness.reporting.trackers.publish import keep_default
from harness.reporting.trackers.series import TrialSeries
from harness.store.provenance import PROGRAM

MODES = ("online", "offline", "disabled", "shared")


def _mode() -> Any:
    mode = os.environ.get("WANDB_MODE", "")
    return mode if mode in MODES else "offline"


def is_live() -> bool:
    return _mode() in ("online", "shared")


def place(folder: Path, run: str) -> str:
    pattern = folder / run / "wandb" / "offline-run-*"
    return f"wandb sync {pattern}" if _mode() == "offline" else f"project {os.environ.get('WANDB_PROJECT', PROGRAM)}"


def log_trial(folder: Path, run: str, trial: TrialSeries, run_id: str | None) -> str:
    if not is_live():
        keep_default("WANDB_ERROR_REPORTING", "false")  # its measurements of itself go to its server, offline too
    import wandb  # pyright: ignore

    run_id = run_id or uuid.uuid4().hex
    (folder / run).mkdir(parents=True, exist_ok=True)
    tracker_run = wandb.init(
        project=os.environ.get("WANDB_PROJECT", PROGRAM), group=run, name=trial.name, id=run_id, dir=str(folder / run),
        config=trial.settings, mode=_mode(), resume="allow", reinit="create_new",
        settings=wandb.Settings(silent=True, console="off", save_code=False, disable_git=True, disable_job_creation=True,
                                x_disable_stats=True, x_disable_meta=True),
    )  # fmt: skip
    tracker_run.define_metric("iteration")
    tracker_run.define_metric("optimizer_step")
    tracker_run.define_metric("*", step_metric="iteration")
    tracker_run.define_metric("training/*", step_metric="optimizer_step")
    number = trial.num_logged  # wandb's own step, which must go on where an earlier command ended
    for chunk in trial.chunks:
        for step, values in chunk.by_step().items():
            tracker_run.log({chunk.axis: step, **values}, step=number)
            number += 1
    tracker_run.finish()
    return run_id
