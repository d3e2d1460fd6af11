"""Trackers, each against its real library in its local mode: they hold what the csv files say, once, after a resume too."""

import importlib.util
import json
import math
import shutil
import struct
import subprocess
import sys
from collections import defaultdict
from dataclasses import replace

import pytest

from harness.commands.track import parse_trackers
from harness.config import load_config
from harness.errors import UserError
from harness.reporting.trackers import publish as publishing
from harness.reporting.trackers.series import read_series
from tests.conftest import ROOT, SMALL_RECIPE, read_csv_rows, run_cli_in_process

TRACKERS = ("tensorboard", "wandb", "trackio", "mlflow")
INSTALLED = [name for name in TRACKERS if importlib.util.find_spec(name) is not None]
SETTINGS = ("WANDB_MODE", "WANDB_PROJECT", "TRACKIO_DIR", "MLFLOW_TRACKING_URI", "MLFLOW_ALLOW_FILE_STORE",
            "WANDB_ERROR_REPORTING")  # fmt: skip


@pytest.fixture(autouse=True)
def no_settings_of_the_user(monkeypatch):
    for name in SETTINGS:
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)


def read_tensorboard(folder):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    for trial in {path.parent for path in folder.rglob("events.out.tfevents.*")}:
        events = EventAccumulator(str(trial), size_guidance={"scalars": 0})
        events.Reload()
        for name in events.Tags()["scalars"]:
            for event in events.Scalars(name):
                yield f"{trial.parent.name}, seed {trial.name.removeprefix('seed-')}", name, event.step, event.value


def read_wandb(folder):
    """wandb's records on disk: LevelDB's log format behind seven bytes, 32 KiB to a block."""
    from wandb.proto.wandb_internal_pb2 import Record

    for path in sorted(folder.rglob("*.wandb")):
        data, at, part, trial = path.read_bytes(), 7, b"", None
        while at + 7 <= len(data):
            if (left := 32768 - at % 32768) < 7:
                at += left
                continue
            _, size, kind = struct.unpack("<IHB", data[at : at + 7])
            part += data[at + 7 : at + 7 + size]
            at += 7 + size
            if kind not in (1, 4):  # a record's first or middle part
                continue
            record, part = Record.FromString(part), b""
            if record.HasField("run"):
                trial, group = record.run.display_name, record.run.run_group
                assert group == "small"
            if record.HasField("history"):
                row = {item.key or "/".join(item.nested_key): json.loads(item.value_json) for item in record.history.item}
                axis = "optimizer_step" if "training/loss" in row else "iteration"
                yield from ((trial, name, row[axis], value) for name, value in row.items() if "/" in name)


def read_trackio(folder):
    from trackio.sqlite_storage import SQLiteStorage

    for name in SQLiteStorage.get_runs("selfplay-harness"):
        trial = name.removeprefix("small, ").rpartition(" (")[0]
        for row in SQLiteStorage.get_logs("selfplay-harness", name):
            yield from ((trial, key, row["step"], value) for key, value in row.items() if "/" in key)


def read_mlflow(folder):
    from mlflow.tracking import MlflowClient

    client = MlflowClient(folder.as_uri())
    experiment = client.get_experiment_by_name("small")
    for run in client.search_runs([experiment.experiment_id]):
        assert run.data.params["objective"] in ("space", "spin")
        for name in run.data.metrics:
            for metric in client.get_metric_history(run.info.run_id, name):
                yield run.info.run_name, name, metric.step, metric.value


def as_curves(points):
    """(trial, name) -> [(step, value)], ascending; a point that is there twice stands in it twice."""
    curves = defaultdict(list)
    for trial, name, step, value in points:
        curves[trial, name].append((step, value))
    return {key: sorted(curve) for key, curve in curves.items()}


def expected(run):
    return as_curves((t.name, p.name, p.step, p.value) for t in read_series(run) for chunk in t.chunks for p in chunk.points)


def test_what_is_logged_are_the_numbers_of_the_csv_files(run):
    curves = expected(run)
    scores = {(r["objective"], r["iteration"], r["task"]): float(r["value"]) for r in read_csv_rows(run / "scores.csv")}
    tasks = sorted({task for _, _, task in scores})
    for objective in ("space", "spin"):
        trial = f"{objective}, seed 0"
        for task in tasks:
            initial = ("initial", "-1", task)
            keys = [initial, *((objective, str(t), task) for t in range(2))]
            assert curves[trial, f"two/{task}"] == [(t, scores[key]) for t, key in enumerate(keys, start=-1)]
        board = [r for r in read_csv_rows(run / "tables" / "leaderboard.csv") if r["objective"] in ("initial", objective)]
        for name, column in (("two/mean", "mean"), ("two/mean_stderr", "item_stderr")):
            assert [value for _, value in curves[trial, name]] == pytest.approx([float(r[column]) for r in board])
        losses = [float(r["loss"]) for r in read_csv_rows(run / "training.csv") if r["objective"] == objective]
        assert curves[trial, "training/loss"] == list(enumerate(losses)), "steps are counted through all iterations"


@pytest.mark.parametrize("tracker", TRACKERS)
@pytest.mark.filterwarnings("default")  # the libraries' own
def test_a_run_that_goes_on_is_logged_once_to_the_same_runs(tracker, run, monkeypatch):
    """First a run with one iteration, then with both, then again: as the trackers' own readers find it."""
    if tracker not in INSTALLED:
        pytest.skip(f"{tracker} is not installed")
    everything = expected(run)
    whole = list(read_series(run))
    first = [replace(t, chunks=tuple(c for c in t.chunks if not c.key.startswith("iteration-1"))) for t in whole]
    monkeypatch.setattr(publishing, "read_series", lambda root: first)
    files = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    publishing.publish(run, [tracker])
    monkeypatch.setattr(publishing, "read_series", read_series)
    for _ in range(2):
        (place,) = publishing.publish(run, [tracker]).values()
        assert tracker in place
    folder = run.parent / "trackers" / tracker
    found = as_curves(globals()[f"read_{tracker}"](folder))
    assert found.keys() == everything.keys()
    for key, curve in everything.items():
        assert [step for step, _ in found[key]] == [step for step, _ in curve], key
        assert [value for _, value in found[key]] == pytest.approx([value for _, value in curve], rel=1e-6), key
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == files, "nothing of the run has changed"

    shutil.rmtree(folder)  # what is deleted is logged anew
    if tracker == "tensorboard":
        publishing.publish(run, [tracker])
        assert as_curves(read_tensorboard(folder)).keys() == everything.keys()


@pytest.mark.skipif("tensorboard" not in INSTALLED, reason="not installed")
@pytest.mark.filterwarnings("default")
def test_run_and_report_log_and_numbers_are_as_without(played, played_copy):
    run = played_copy / "results" / "small"
    said = run_cli_in_process("report", "small", "--report-to", "tensorboard", cwd=played_copy)
    assert "tensorboard --logdir" in said.stdout and (run.parent / "trackers" / "tensorboard" / "small" / "spin").is_dir()
    shutil.rmtree(run)
    shutil.rmtree(run.parent / "trackers")
    run_cli_in_process("run", "--recipe", SMALL_RECIPE, "--report-to", "tensorboard", cwd=played_copy)
    curves = as_curves(read_tensorboard(run.parent / "trackers" / "tensorboard"))
    assert curves.keys() == expected(run).keys() and all(len(dict(curve)) == len(curve) for curve in curves.values())
    for name in ("scores.csv", "tables/leaderboard.csv", "tables/stability.csv"):
        assert (run / name).read_bytes() == (played / "results" / "small" / name).read_bytes()
    record = json.loads((run / "run.json").read_text())
    assert "report_to" not in json.dumps(record["identity"]) and record["config"]["report_to"] == ["tensorboard"]


@pytest.mark.skipif("wandb" not in INSTALLED, reason="wandb is not installed")
def test_wandb_offline_tells_its_maker_nothing(run, tmp_path):
    """Its measurements of itself, which it sends every few seconds where they are on."""
    code = (
        "import pathlib, sys\nfrom harness.reporting.trackers import wandb_log\n"
        "from harness.reporting.trackers.series import read_series\n"
        "wandb_log.log_trial(pathlib.Path(sys.argv[2]), 'small', next(iter(read_series(pathlib.Path(sys.argv[1])))), None)\n"
        "import wandb.env\nassert not wandb.env.error_reporting_enabled()\n"
    )
    words = [sys.executable, "-c", code, str(run), str(tmp_path / "trackers")]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_tracker_that_fails_stops_nothing_and_is_said_with_what_to_type(run, monkeypatch, played_copy):
    monkeypatch.setitem(sys.modules, "harness.reporting.trackers.mlflow_log", Broken)
    monkeypatch.setattr("harness.reporting.trackers.libraries.check_trackers", lambda *_: None)
    failed = run_cli_in_process("report", "small", "--report-to", "mlflow", cwd=played_copy, check=False)
    assert failed.returncode == 1 and (played_copy / "reports" / "small.pdf").is_file()
    advice = "what is finished is kept: harness report small --report-to mlflow"
    assert f"not logged to mlflow: the server is gone; {advice}" in failed.stderr
    again = run_cli_in_process("run", "--recipe", SMALL_RECIPE, "--report-to", "mlflow", cwd=played_copy, check=False)
    assert again.returncode == 2 and "the server is gone" in again.stdout


class Broken:
    @staticmethod
    def is_live():
        return True

    @staticmethod
    def log_trial(*_):
        raise ConnectionError("the server is gone")


def test_what_is_not_installed_or_unknown_is_one_line_before_work(tmp_path, monkeypatch):
    find_spec = importlib.util.find_spec
    monkeypatch.setattr("importlib.util.find_spec", lambda name, *a: None if name == "wandb" else find_spec(name, *a))
    refused = run_cli_in_process("run", "--recipe", SMALL_RECIPE, "--report-to", "wandb", cwd=tmp_path, check=False)
    assert refused.returncode == 1 and list(tmp_path.iterdir()) == []
    assert (
        refused.stderr == "harness: --report-to wandb: the package wandb is not installed; install it with: pip install wandb\n"
    )
    with pytest.raises(UserError, match="wandb is not installed"):
        parse_trackers("wandb")
    with pytest.raises(UserError, match=r'unknown tracker "wandbb" \(did you mean "wandb"\?\)'):
        parse_trackers("wandbb")
    with pytest.raises(UserError, match="--report-to: report_to.0='tensorbord'"):
        load_config("lab", [], {"report_to": "tensorbord"})
    assert load_config("lab", ["report_to=mlflow, tensorboard,mlflow"]).report_to == ["mlflow", "tensorboard"]


def test_nothing_is_imported_that_is_not_asked_for(tmp_path):
    program = "import sys; from harness.reporting.trackers import publish; print(sorted(set(sys.argv[1:]) & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program, *TRACKERS], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert done.stdout.strip() == "[]", done.stdout


def test_a_number_that_is_missing_or_not_finite_is_not_logged():
    from harness.reporting.trackers.series import _points

    values = {"a": 1.0, "b": math.nan, "c": math.inf, "d": None, "e": "text", "f g": 2}
    assert [(p.name, p.value) for p in _points("s", 0, values)] == [("s/a", 1.0), ("s/f_g", 2.0)]
