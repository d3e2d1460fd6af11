"""Several cells at once: the same bytes as one after the other, and a process that dies costs its own cell only."""

import os
import signal
import subprocess
import sys
import time

import psutil
import pytest

from harness.config import load_config
from harness.files import folder_digests
from harness.launch.workers import _worker_config, choose_num_workers
from harness.store.process_identity import start_time
from tests.conftest import SMALL_RECIPE, run_cli, run_cli_in_process
from tests.helpers.run_contents import RUN, contents


def outputs(run):
    """Digest of every file that phases wrote, without what states times."""
    return {n: d for n, d in folder_digests(run).items() if n.endswith((".safetensors", "samples.jsonl", "scores.jsonl"))}


TOGETHER = ("--jobs", "2", "--set", "model.cores=6")
ALONE = [("--jobs", "1"), ("--jobs", "2"), ("--jobs", "1", "--set", "model.cores=3")]


@pytest.mark.parametrize("how", [TOGETHER, *(pytest.param(h, marks=pytest.mark.slow) for h in ALONE)])
def test_the_bytes_do_not_depend_on_how_many_cells_or_cores_are_at_work(played, tmp_path, how):
    run_cli("run", "--recipe", SMALL_RECIPE, "--name", "small", *how, cwd=tmp_path)
    assert len(outputs(played / RUN)) >= 17
    assert outputs(tmp_path / RUN) == outputs(played / RUN)
    assert contents(tmp_path / RUN) == contents(played / RUN)


def started(folder):
    """A run of two cells at once, when training has begun; the ids of its workers, which a server process forks."""
    command = ["run", "--recipe", str(SMALL_RECIPE), "--name", "small", "--jobs", "2", "--iters", "4"]
    process = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-m", "harness", *command],
        cwd=folder, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    wait_for(lambda: list((folder / RUN).glob("*/seed-0/iteration-0/train/manifest.json")), process=process)
    return process, [worker.pid for server in psutil.Process(process.pid).children() for worker in server.children()]


def wait_for(found, seconds=300, process=None):
    until = time.monotonic() + seconds
    while time.monotonic() < until and (process is None or process.poll() is None):
        if value := found():
            return value
        time.sleep(0.02)
    raise AssertionError("it never came to pass")


def test_a_worker_that_dies_costs_its_own_cell_and_the_next_command_makes_it_good(played, tmp_path):
    process, workers = started(tmp_path)
    os.kill(workers[0], signal.SIGKILL)
    _, said = process.communicate(timeout=300)
    assert process.returncode == 2 and said.count("failed: its process ended with exit code") == 1
    finished = [cell for cell in ("space", "spin") if (tmp_path / RUN / cell / "seed-0/iteration-3/evaluate").is_dir()]
    assert len(finished) == 1
    run_cli_in_process("run", "--recipe", SMALL_RECIPE, "--name", "small", cwd=tmp_path)
    once = outputs(played / RUN)
    assert {name: d for name, d in outputs(tmp_path / RUN).items() if name in once} == once


def test_workers_do_not_outlive_a_killed_parent(tmp_path):
    process, workers = started(tmp_path)
    assert len(workers) == 2
    process.kill()
    process.communicate(timeout=60)
    wait_for(lambda: all(start_time(worker) in (None, "ended") for worker in workers), seconds=20)


def test_as_many_cells_at_once_as_there_are_cores_and_never_more_than_cells_and_each_has_its_share_of_the_cores():
    config = load_config(str(SMALL_RECIPE), ["model.cores=3", "model.device=cpu"])
    assert [choose_num_workers(None, config, cells) for cells in (1, 2, 9)] == [1, 2, 3]
    assert [choose_num_workers(8, config, cells) for cells in (1, 2, 9)] == [1, 2, 8]
    config = load_config(str(SMALL_RECIPE), ["model.cores=5", "model.device=cpu"])
    assert [_worker_config(config, slot, 2).model.cores for slot in (0, 1)] == [2, 2]
    assert _worker_config(config, 0, 8).model.cores == 1
