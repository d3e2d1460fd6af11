"""MLflow: an experiment per run and a run per trial; files beside the run folders unless MLFLOW_TRACKING_URI is set.

The client's own calls, without MLflow's global state; a run is opened again by its id.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

from harness.reporting.trackers.publish import keep_default
from harness.reporting.trackers.series import TrialSeries

MAX_METRICS = 1000  # in one call, MLflow's own limit
MAX_PARAMS = 100
MAX_PARAM_CHARS = 500


def is_live() -> bool:
    return True


def _address(folder: Path) -> str:
    return os.environ.get("MLFLOW_TRACKING_URI") or folder.as_uri()


def place(folder: Path, run: str) -> str:
    allowed = "MLFLOW_ALLOW_FILE_STORE=true " if _address(folder).startswith("file:") else ""
    return f"{allowed}mlflow ui --backend-store-uri {_address(folder)}"


def log_trial(folder: Path, run: str, trial: TrialSeries, run_id: str | None) -> str:
    keep_default("MLFLOW_ALLOW_FILE_STORE", "true")
    from mlflow.entities import Metric, Param  # pyright: ignore
    from mlflow.tracking import MlflowClient  # pyright: ignore

    client = MlflowClient(tracking_uri=_address(folder))
    if run_id is None:
        experiment = client.get_experiment_by_name(run)
        experiment_id = experiment.experiment_id if experiment else client.create_experiment(run)
        run_id = client.create_run(experiment_id, run_name=trial.name, tags={"harness.trial": trial.id}).info.run_id
        params = [Param(key, str(value)[:MAX_PARAM_CHARS]) for key, value in trial.settings.items()]
        for start in range(0, len(params), MAX_PARAMS):
            client.log_batch(run_id, params=params[start : start + MAX_PARAMS])
    now = int(1000 * time.time())
    metrics = [Metric(point.name, point.value, now, point.step) for chunk in trial.chunks for point in chunk.points]
    for start in range(0, len(metrics), MAX_METRICS):
        client.log_batch(run_id, metrics=metrics[start : start + MAX_METRICS])
    client.set_terminated(run_id)
    return run_id
