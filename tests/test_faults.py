"""What machines do to a run: kills at random moments, signals, full and read-only disks, damaged files, clocks, two processes."""

import contextlib
import errno
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from harness.errors import UserError, disk_error
from harness.store.lease import LEASE
from harness.store.run_folder import RunFolder
from tests.conftest import GUARD_FOLDER, SMALL_RECIPE, run_cli, run_cli_in_process, run_once
from tests.run_contents import RUN, contents

# A state after every step, a shard after every few answers: as many moments to be killed at as there can be.
OFTEN = ("--set", "training.save_seconds=0", "--set", "generation.shard=5", "--set", "evaluation.shard=4")


ARGUMENTS = ("run", "--recipe", str(SMALL_RECIPE), "--name", "small", *OFTEN)


def command(*more):
    return [sys.executable, "-W", "ignore", "-m", "harness", *ARGUMENTS, *more]


def environment(**more):
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(GUARD_FOLDER), os.environ.get("PYTHONPATH", "")]), **more}


def started(folder, *more):
    return subprocess.Popen(
        command(*more), cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
        env=environment(),
    )  # fmt: skip


def wait_for(found, process):
    while process.poll() is None:
        with contextlib.suppress(FileNotFoundError):  # a folder committed while it is looked through
            if found():
                return
        time.sleep(0.005)
    raise AssertionError(f"it ended first: {process.communicate()}")


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The same run, never interrupted."""
    return run_once(tmp_path_factory, "played-often", *OFTEN)


def same_bytes(folder, whole):
    assert contents(folder / RUN) == contents(whole / RUN)
    for name in ("samples.jsonl", "scores.jsonl", "adapter_model.safetensors"):
        for path in sorted((whole / RUN).rglob(name)):
            assert (folder / RUN / path.relative_to(whole / RUN)).read_bytes() == path.read_bytes()


# ---------------------------------------------------------------- kills and signals


def killed_at_random(folder, kills, seed, jobs):
    """`kills` SIGKILLs of the whole group, each at a random moment after the run has begun to move; returns how many hit it."""
    rng, hit = random.Random(seed), 0
    journal = folder / RUN / "journal.jsonl"
    for _ in range(kills):
        process = started(folder, "--jobs", str(jobs))
        size = journal.stat().st_size if journal.is_file() else 0
        with contextlib.suppress(AssertionError):  # it may have been finished before
            wait_for(lambda at=size: journal.is_file() and journal.stat().st_size > at, process)
            time.sleep(rng.uniform(0, 1.5))
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        hit += process.returncode == -signal.SIGKILL
        if process.returncode == 0:  # start again from nothing, so that every kill meets work to do
            shutil.rmtree(folder / RUN)
    return hit


@pytest.mark.slow
def test_killed_at_random_moments_it_ends_with_the_same_bytes(whole, tmp_path):
    """Of the real command and its workers, beside the dozen at chosen moments in test_end_to_end."""
    assert killed_at_random(tmp_path, 4, seed=1, jobs=2)
    run_cli(*ARGUMENTS, "--jobs", "1", cwd=tmp_path)
    same_bytes(tmp_path, whole)


ATTEMPTS = """
import os, signal, sys, time
# the libraries, loaded once for all attempts
import harness.launch.workers, harness.language.benchmark.lm, harness.language.model.lora, lm_eval.evaluator
from harness.cli import main
for line in sys.stdin:
    after, jobs = line.split()
    child = os.fork()
    if not child:
        os.setpgid(0, 0)
        os.dup2(2, 1)  # what it says goes beside the answers below
        sys.argv = [*sys.argv, "--jobs", jobs]
        main()
    until = time.monotonic() + float(after)
    ended = (0, 0)
    while time.monotonic() < until and not ended[0]:
        ended = os.waitpid(child, os.WNOHANG)
        time.sleep(0.01)
    if not ended[0]:
        os.killpg(child, signal.SIGKILL)
        ended = os.waitpid(child, 0)
    print(ended[1], flush=True)
"""


@pytest.mark.slow
def test_two_hundred_kills_lose_nothing(whole, tmp_path):
    """SIGKILL of the group at random moments of a short run; whenever it comes to its end, its bytes are those of `whole`."""
    rng, hit, kills, ends = random.Random(0), set(), 0, 0
    attempts = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", ATTEMPTS, *ARGUMENTS],
        cwd=tmp_path, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment(),
    )  # fmt: skip
    with attempts as process:

        def attempt(seconds, jobs):
            process.stdin.write(f"{seconds} {jobs}\n")
            process.stdin.flush()
            return int(process.stdout.readline())

        began = time.monotonic()
        assert attempt(600, 1) == 0
        whole_run = time.monotonic() - began
        shutil.rmtree(tmp_path / RUN)
        while kills < 200:
            status = attempt(rng.uniform(0.1, 0.8) * whole_run, 1 + (kills % 4 == 3))
            assert status in (0, signal.SIGKILL), f"it broke by itself after {kills} kills"
            if status:
                kills += 1
                hit |= {p.name for p in (tmp_path / RUN).rglob("*.partial")}
                continue
            ends += 1
            same_bytes(tmp_path, whole)
            shutil.rmtree(tmp_path / RUN)
        process.stdin.close()
    assert ends >= 5
    assert {"train.partial", "two.partial", "probe.partial"} <= hit, hit


@pytest.mark.slow
@pytest.mark.loopback
def test_kills_with_flipped_bits_lose_nothing(tmp_path):
    """The bench with a few kills; the same with 200: python -m tests.bench kills --count 200."""
    program = "import json, sys; from tests.bench import kills; print(json.dumps(vars(kills.run(21, False))))"
    path = os.pathsep.join([str(Path(__file__).parent.parent), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONPATH": path},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["wrong"] == []
    assert found["killed"] >= 15
    assert sum(found["flipped"].values()) >= 5


@pytest.mark.parametrize(
    ("sent", "code", "said", "jobs"),
    [
        pytest.param(signal.SIGINT, 130, "interrupted", "1", marks=pytest.mark.slow),
        (signal.SIGTERM, 143, "terminated", "2"),
    ],
)
def test_a_signal_ends_it_cleanly_with_how_to_go_on(whole, tmp_path, sent, code, said, jobs):
    """To the whole group, as a terminal or a scheduler sends it, in the middle of training."""
    process = started(tmp_path, "--jobs", jobs)
    wait_for(lambda: list((tmp_path / RUN).rglob("train.partial/unfinished/steps.jsonl")), process)
    os.killpg(process.pid, sent)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == code, errors
    assert f"{said}; what is finished is kept, repeat the same command to go on" in errors
    assert "Traceback" not in errors
    assert not (tmp_path / RUN / LEASE).exists()
    if sent == signal.SIGTERM:
        run_cli_in_process(*ARGUMENTS, cwd=tmp_path)
        same_bytes(tmp_path, whole)


# ---------------------------------------------------------------- disks


@pytest.fixture
def small_disk(tmp_path):
    """A file system of its own that can be filled; needs the right to mount one."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", place], capture_output=True, check=False)
    if mounted.returncode != 0:
        pytest.skip("no right to mount a file system here")
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", place], check=False)


def fill(place, leave):
    """Ballast until about `leave` bytes are free."""
    free = shutil.disk_usage(place).free
    (place / "ballast").write_bytes(b"\0" * max(0, free - leave))


@pytest.fixture
def typed():
    """The command line in this process: exit code, what it said, what it complained of."""

    def run(folder, *arguments):
        done = run_cli_in_process(*arguments, cwd=folder, check=False)
        return done.returncode, done.stdout, done.stderr

    return run


def test_a_full_disk_in_any_phase_is_one_line_and_the_run_goes_on_when_there_is_room(whole, small_disk, typed, monkeypatch):
    """The disk is filled to the last block as soon as a phase has begun, in one kind of phase after the other."""
    from harness.store import run_folder as store

    begin = store.start_attempt
    for phase in ("evaluate", "probe", "generate", "score", "train", "data"):

        def full_now(draft, made_from, phase=phase):
            begin(draft, made_from)
            if phase in str(draft.path).replace(".partial", "").split("/"):
                fill(small_disk, 0)

        monkeypatch.setattr(store, "start_attempt", full_now)
        if phase == "data":
            shutil.rmtree(small_disk / RUN)
        code, _, errors = typed(small_disk, *ARGUMENTS, "--jobs", "1")
        (small_disk / "ballast").unlink()
        last = errors.strip().splitlines()[-1]
        assert code == 1, (phase, errors)
        assert "Traceback" not in errors
        assert f"/{phase}" in last
        assert "No space left on device; what is finished is kept: make room, then repeat the same command to go on" in last
    monkeypatch.setattr(store, "start_attempt", begin)
    code, _, errors = typed(small_disk, *ARGUMENTS, "--jobs", "1")
    assert code == 0, errors
    same_bytes(small_disk, whole)


def test_a_full_disk_is_told_apart_from_a_failing_cell(tmp_path):
    """Whoever noticed: the system's error, or a library that wraps it."""
    run = RunFolder(tmp_path / "run")
    run.root.mkdir()
    for error in (
        OSError(errno.ENOSPC, "No space left on device"),
        RuntimeError("Error while serializing: I/O error: No space left on device (os error 28)"),
    ):
        expected = "a/train: No space left on device; what is finished is kept: make room"
        with pytest.raises(UserError, match=expected), run.write_phase("a/train", {}, {}):
            raise error
    assert disk_error(ValueError("no such thing")) is None
    wrapped = RuntimeError("while writing")
    wrapped.__cause__ = OSError(errno.EDQUOT, "quota")
    assert disk_error(wrapped) == "Disk quota exceeded"


def test_a_read_only_results_folder_is_one_line(small_disk, typed):
    (small_disk / "results").mkdir()
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    code, _, errors = typed(small_disk.parent, *ARGUMENTS, "--results", small_disk / "results")
    assert code == 1
    assert "may not be written to; name another with --results DIR" in errors
    assert "Traceback" not in errors


# ---------------------------------------------------------------- damage


def flip(path):
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2] ^= 1
    path.write_bytes(raw)


HARM = {"cut": lambda p: p.write_bytes(p.read_bytes()[:-1]), "flipped": flip, "gone": Path.unlink}


@pytest.mark.parametrize(
    ("harm", "file"),
    [
        ("flipped", "initial/seed-0/generate/k-0/samples.jsonl"),
        ("cut", "space/seed-0/iteration-0/train/adapter/adapter_model.safetensors"),
        ("gone", "spin/seed-0/iteration-1/evaluate/two/scores.json"),
        ("flipped", "spin/seed-0/iteration-0/score/manifest.json"),
        ("cut", "data/train.jsonl"),
    ],
)
def test_damage_is_named_never_used_and_made_good_on_request(whole, tmp_path, typed, harm, file):
    shutil.copytree(whole, tmp_path / "w")
    folder = tmp_path / "w"
    HARM[harm](folder / RUN / file)
    before = contents(folder / RUN, ("initial", "space", "spin"))
    code, _, errors = typed(folder, *ARGUMENTS, "--jobs", "1")
    assert code == 1
    assert file in errors
    assert "--recompute" in errors
    assert contents(folder / RUN, ("initial", "space", "spin")) == before, "nothing was changed"
    code, _, errors = typed(folder, *ARGUMENTS, "--jobs", "1", "--recompute")
    assert code == 0, errors
    same_bytes(folder, whole)
    phase = next(p for p in (folder / RUN / file).parents if (p / "manifest.json").is_file())
    assert phase.with_name(phase.name + ".damaged").is_dir(), "the damaged one is kept aside"


@pytest.mark.parametrize(
    "file", ["evaluate/two/scores.json", "evaluate/two/items.json", "train/steps.jsonl", "probe/measurements.json"]
)
def test_a_report_refuses_a_damaged_file(whole, tmp_path, typed, file):
    shutil.copytree(whole, tmp_path / "w")
    flip(tmp_path / "w" / RUN / "space/seed-0/iteration-1" / file)
    code, _, errors = typed(tmp_path / "w", "report", "small")
    assert code == 1
    assert file in errors
    assert "damaged" in errors


# ---------------------------------------------------------------- two processes, and clocks


@pytest.mark.slow
@pytest.mark.parametrize("jobs", ["1", "2"])
@pytest.mark.parametrize("replaced", [False, True])
def test_a_run_folder_that_is_renamed_while_cells_are_played_is_one_line(whole, tmp_path, jobs, replaced):
    """In the middle of training; where it was moved to, the same command goes on to the same bytes."""
    process = started(tmp_path, "--jobs", jobs)
    wait_for(lambda: list((tmp_path / RUN).rglob("train.partial/unfinished/steps.jsonl")), process)
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
    same_bytes(tmp_path, whole)


def test_a_clock_that_goes_backwards_changes_nothing(whole, tmp_path, typed, monkeypatch):
    now = [2e9]

    def back():
        now[0] -= 86400.0
        return now[0]

    monkeypatch.setattr(time, "time", back)
    code, _, errors = typed(tmp_path, *ARGUMENTS, "--jobs", "1")
    assert code == 0, errors
    same_bytes(tmp_path, whole)


def test_a_run_of_another_format_is_refused_and_left_as_it_is(whole, tmp_path, typed):
    shutil.copytree(whole, tmp_path / "w")
    record = tmp_path / "w" / RUN / "run.json"
    record.write_text(json.dumps({**json.loads(record.read_text()), "format_version": 2}))
    before = record.read_bytes()
    code, _, errors = typed(tmp_path / "w", *ARGUMENTS)
    assert code == 1
    assert "format version 2, this program writes 3; use --name OTHER" in errors
    assert record.read_bytes() == before
