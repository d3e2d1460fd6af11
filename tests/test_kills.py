"""Kill and resume: whatever ends a run, at any moment of any phase, the same command ends with the unbroken run's bytes."""

import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time

import pytest

from harness.store.lease import LEASE
from tests.conftest import GUARD_FOLDER, OFTEN, ROOT, SMALL_RECIPE, run_cli, run_cli_in_process, run_once
from tests.helpers.run_contents import RUN, assert_same_run

ARGUMENTS = ("run", "--recipe", str(SMALL_RECIPE), "--name", "small")

# ---------------------------------------------------------------- every kind of phase, every moment

KINDS = ("data", "two", "probe", "adapter", "k-0", "score", "train", "generate")  # in the order in which they are first run
MOMENTS = ("middle", "before-manifest", "before-rename")
ONE_EACH = [f"{MOMENTS[n % 3]} {kind}" for n, kind in enumerate(KINDS)]
MATRIX = [f"{moment} {kind}" for kind in KINDS for moment in MOMENTS]

# Forks the program for every line of its input, a moment and a kind of phase, and kills it there.
KILLER = """
import os, signal, sys
from pathlib import Path
# the libraries, loaded once for all attempts
import harness.launch.workers, harness.language.benchmark.lm, harness.language.model.lora, lm_eval.evaluator
from harness.cli import main

def arm(moment, kind):
    def kill_at(method, is_moment, half=b""):
        original = getattr(Path, method)
        def armed(self, *arguments, **named):
            if f"{kind}.partial" in self.parts and is_moment(self, *arguments, **named):
                if half:
                    os.write(os.open(self, os.O_WRONLY | os.O_CREAT | os.O_APPEND), half)
                os.kill(os.getpid(), signal.SIGKILL)
            return original(self, *arguments, **named)
        setattr(Path, method, armed)

    if moment == "middle":
        is_output = lambda path: path.suffix in (".jsonl", ".gz") or path.name == "adapter_config.json"
        kill_at("open", lambda path, mode="r", *_, **__: mode[0] in "wa" and is_output(path), b'{"half": tr')
    elif moment == "before-manifest":
        kill_at("replace", lambda path, target: target.name == "manifest.json")
    else:
        kill_at("rename", lambda path, target: path.name == f"{kind}.partial")

for line in sys.stdin:
    child = os.fork()
    if not child:
        arm(*line.split())
        sys.argv = ["harness", *sys.argv[1:]]
        main()
    print(*line.split(), os.waitpid(child, 0)[1], flush=True)
"""


@pytest.mark.parametrize("moments", [ONE_EACH, pytest.param(MATRIX, marks=pytest.mark.slow)], ids=["one each", "all"])
def test_killed_in_every_phase_and_repeated_it_ends_with_the_same_bytes(played, tmp_path, moments):
    """SIGKILL in the middle of the work, before the manifest or before the rename; then once in full."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", KILLER, *ARGUMENTS, "--jobs", "1"],
        cwd=tmp_path, input="\n".join(moments), capture_output=True, text=True, timeout=1500, check=False,
    )  # fmt: skip
    killed = [line for line in done.stdout.splitlines() if line.rsplit(" ", 1)[0] in moments]
    assert killed == [f"{moment} {int(signal.SIGKILL)}" for moment in moments], done.stderr[-2000:]
    run_cli_in_process(*ARGUMENTS, cwd=tmp_path)
    assert_same_run(tmp_path / RUN, played / RUN)


# ---------------------------------------------------------------- the command and its workers, from outside


def started(folder, *more, stdout=subprocess.PIPE):
    path = os.pathsep.join([str(GUARD_FOLDER), os.environ.get("PYTHONPATH", "")])
    return subprocess.Popen(
        [sys.executable, "-W", "ignore", "-m", "harness", *ARGUMENTS, *more], cwd=folder, stdout=stdout,
        stderr=subprocess.PIPE, text=True, start_new_session=True, env={**os.environ, "PYTHONPATH": path},
    )  # fmt: skip


def wait_for(found, process):
    while process.poll() is None:
        with contextlib.suppress(FileNotFoundError):  # a folder committed while it is looked through
            if found():
                return
        time.sleep(0.005)
    raise AssertionError(f"it ended first: {process.communicate()}")


def wait_for_training(folder, process):
    wait_for(lambda: list((folder / RUN).rglob("train.partial/unfinished/steps.jsonl")), process)


@pytest.mark.slow
def test_killed_at_random_moments_it_ends_with_the_same_bytes(tmp_path_factory, tmp_path):
    """The whole group, with two trials at work, at random moments after the run has begun to move."""
    whole = run_once(tmp_path_factory, "played-often", *OFTEN)
    rng, hit, phases = random.Random(1), 0, set()
    journal = tmp_path / RUN / "journal.jsonl"
    for _ in range(8):
        process = started(tmp_path, *OFTEN, "--jobs", "2")
        size = journal.stat().st_size if journal.is_file() else 0
        with contextlib.suppress(AssertionError):  # it may have been finished before
            wait_for(lambda at=size: journal.is_file() and journal.stat().st_size > at, process)
            time.sleep(rng.uniform(0, 1.5))
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        _, errors = process.communicate()
        assert process.returncode in (0, -signal.SIGKILL), errors
        hit += process.returncode == -signal.SIGKILL
        phases |= {path.name for path in (tmp_path / RUN).rglob("*.partial")}
        if process.returncode == 0:  # start again from nothing, so that every kill meets work to do
            assert_same_run(tmp_path / RUN, whole / RUN)
            shutil.rmtree(tmp_path / RUN)
    assert hit >= 4 and phases
    run_cli(*ARGUMENTS, *OFTEN, "--jobs", "1", cwd=tmp_path)
    assert_same_run(tmp_path / RUN, whole / RUN)


@pytest.mark.slow
@pytest.mark.loopback
def test_kills_with_flipped_bits_lose_nothing(tmp_path):
    """The bench with a tenth of its kills: python -m tests.bench kills --count 200."""
    program = "import json, sys; from tests.bench import kills; print(json.dumps(vars(kills.run(21, False))))"
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
    command = [sys.executable, "-W", "ignore", "-c", program]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, env=env)
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["wrong"] == [] and found["killed"] >= 15 and sum(found["flipped"].values()) >= 5


@pytest.mark.parametrize(
    ("sent", "code", "said", "jobs"),
    [pytest.param(signal.SIGINT, 130, "interrupted", "1", marks=pytest.mark.slow), (signal.SIGTERM, 143, "terminated", "2")],
)
def test_a_signal_ends_it_cleanly_with_how_to_go_on(tmp_path_factory, tmp_path, sent, code, said, jobs):
    """To the whole group, as a terminal or a scheduler sends it, in the middle of training, with states and chunks to resume."""
    whole = run_once(tmp_path_factory, "played-often", *OFTEN)
    process = started(tmp_path, *OFTEN, "--jobs", jobs)
    wait_for_training(tmp_path, process)
    os.killpg(process.pid, sent)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == code, errors
    assert f"{said}; what is finished is kept, repeat the same command to go on" in errors
    assert "Traceback" not in errors and not (tmp_path / RUN / LEASE).exists()
    if sent == signal.SIGTERM:
        run_cli_in_process(*ARGUMENTS, *OFTEN, cwd=tmp_path)
        assert_same_run(tmp_path / RUN, whole / RUN)


def trials_begin(folder):
    """What they share is there, and the worker processes are being started."""
    return (folder / RUN / "initial" / "score" / "manifest.json").exists()


def tables_are_written(folder):
    return (folder / RUN / "tables" / "comparisons.csv").exists()


MOMENTS_OF_A_COMMAND = {
    "importing": lambda folder: (folder / "out").stat().st_size > 0,  # its first line, before torch is loaded
    "loading the model": lambda folder: (folder / RUN / "run.log").exists(),
    "starting workers": trials_begin,
    "writing the report": tables_are_written,
}
IN_DEFAULT_TIER = ("importing", "starting workers")


@pytest.mark.parametrize(
    "moment", [pytest.param(m, marks=[] if m in IN_DEFAULT_TIER else pytest.mark.slow) for m in MOMENTS_OF_A_COMMAND]
)
def test_ctrl_c_is_one_line_whatever_the_command_is_at(tmp_path, moment):
    """To the whole group, as a terminal sends it: neither workers nor the process that forks them say anything."""
    with (tmp_path / "out").open("w") as out:
        process = started(tmp_path, "--jobs", "2", stdout=out)
    wait_for(lambda: MOMENTS_OF_A_COMMAND[moment](tmp_path), process)
    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert [line for line in errors.splitlines() if "harness: " in line] == [
        "harness: interrupted; what is finished is kept, repeat the same command to go on"
    ]
    assert "Traceback" not in errors and "KeyboardInterrupt" not in errors


@pytest.mark.slow
@pytest.mark.parametrize("tenths", range(1, 31, 2))
def test_ctrl_c_in_the_first_seconds_is_one_line(tmp_path, tenths):
    """Nothing is open yet. Before Python has read the program's first line, it ends by the signal and says nothing."""
    process = started(tmp_path, "--jobs", "2")
    time.sleep(tenths / 10)
    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    if "init_import_site" in errors:
        return  # Python itself was starting: no line of a program has been read
    assert process.returncode in (130, -signal.SIGINT), errors
    assert "Traceback" not in errors, errors


@pytest.mark.slow
@pytest.mark.parametrize("jobs", ["1", "2"])
@pytest.mark.parametrize("replaced", [False, True])
def test_a_run_folder_that_is_renamed_while_cells_are_played_is_one_line(played, tmp_path, jobs, replaced):
    """In the middle of training; where it was moved to, the same command goes on to the same bytes."""
    process = started(tmp_path, "--jobs", jobs)
    wait_for_training(tmp_path, process)
    (tmp_path / RUN).rename(tmp_path / "moved")
    if replaced:
        (tmp_path / RUN).mkdir()
        (tmp_path / RUN / "mine.txt").write_text("mine")
    errors = process.communicate(timeout=300)[1]
    said = [line for line in errors.splitlines() if line.startswith("harness: ")]
    assert (process.returncode, len(said)) == (1, 1), errors
    assert f"{RUN}: it was renamed, removed or replaced while this command worked in it" in said[0]
    assert "Traceback" not in errors
    left = sorted(path.name for path in (tmp_path / RUN).rglob("*")) if replaced else (tmp_path / RUN).exists()
    assert left == (["mine.txt"] if replaced else False), "nothing is written where it was"
    shutil.rmtree(tmp_path / RUN, ignore_errors=True)
    (tmp_path / "moved").rename(tmp_path / RUN)
    run_cli(*ARGUMENTS, "--jobs", "1", cwd=tmp_path)
    assert_same_run(tmp_path / RUN, played / RUN)
