"""What machines do to a run: full and read-only disks, damaged files, clocks. Kills are in test_kills.py."""

import errno
import itertools
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from harness.errors import UserError, disk_error
from harness.store import run_folder as store
from harness.store.run_folder import RunFolder
from tests.conftest import OFTEN, SMALL_RECIPE, run_cli_in_process, run_once
from tests.helpers.damage import flip, refused
from tests.helpers.run_contents import RUN, assert_same_run, contents

ARGUMENTS = ("run", "--recipe", str(SMALL_RECIPE), "--name", "small")


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


def test_a_full_disk_in_any_phase_is_one_line_and_the_run_goes_on_when_there_is_room(tmp_path_factory, small_disk, monkeypatch):
    """The disk is filled to the last block as soon as a phase has begun, in one kind of phase after the other."""
    whole, begin = run_once(tmp_path_factory, "played-often", *OFTEN), store.start_attempt
    for phase in ("evaluate", "probe", "generate", "score", "train", "data"):

        def full_now(draft, made_from, phase=phase):
            begin(draft, made_from)
            if phase in str(draft.path).replace(".partial", "").split("/"):
                (small_disk / "ballast").write_bytes(b"\0" * shutil.disk_usage(small_disk).free)

        monkeypatch.setattr(store, "start_attempt", full_now)
        if phase == "data":
            shutil.rmtree(small_disk / RUN)
        last = refused(small_disk, *ARGUMENTS, *OFTEN, after_progress=True)
        (small_disk / "ballast").unlink()
        assert f"/{phase}" in last
        assert "No space left on device; what is finished is kept: make room, then repeat the same command to go on" in last
    monkeypatch.setattr(store, "start_attempt", begin)
    run_cli_in_process(*ARGUMENTS, *OFTEN, cwd=small_disk)
    assert_same_run(small_disk / RUN, whole / RUN)


def test_a_full_disk_is_told_apart_from_a_failing_cell(tmp_path):
    """Whoever noticed: the system's error, or a library that wraps it."""
    run = RunFolder(tmp_path / "run")
    run.root.mkdir()
    wrapped = RuntimeError("Error while serializing: I/O error: No space left on device (os error 28)")
    expected = "a/train: No space left on device; what is finished is kept: make room"
    for error in (OSError(errno.ENOSPC, "No space left on device"), wrapped):
        with pytest.raises(UserError, match=expected), run.write_phase("a/train", {}, {}):
            raise error
    assert disk_error(ValueError("no such thing")) is None
    wrapped = RuntimeError("while writing")
    wrapped.__cause__ = OSError(errno.EDQUOT, "quota")
    assert disk_error(wrapped) == "Disk quota exceeded"


def test_a_read_only_results_folder_is_one_line(small_disk):
    (small_disk / "results").mkdir()
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    errors = refused(small_disk.parent, *ARGUMENTS, "--results", small_disk / "results")
    assert "may not be written to; name another with --results DIR" in errors


# ---------------------------------------------------------------- damage


def cut(path):
    path.write_bytes(path.read_bytes()[:-1])


HARM = {
    "initial/seed-0/generate/k-0/samples.jsonl.gz": flip, "space/seed-0/iteration-0/train/adapter/adapter_model.safetensors": cut,
    "spin/seed-0/iteration-1/evaluate/two/scores.json": Path.unlink, "spin/seed-0/iteration-0/score/manifest.json": flip,
    "data/train.jsonl": cut,
}  # fmt: skip


@pytest.mark.parametrize("file", HARM)
def test_damage_is_named_never_used_and_made_good_on_request(played, played_copy, file):
    run = played_copy / RUN
    HARM[file](run / file)
    before = contents(run, ("initial", "space", "spin"))
    errors = refused(played_copy, *ARGUMENTS, after_progress=True)
    assert file in errors and "--recompute" in errors
    assert contents(run, ("initial", "space", "spin")) == before, "nothing was changed"
    run_cli_in_process(*ARGUMENTS, "--recompute", cwd=played_copy)
    assert_same_run(run, played / RUN)
    phase = next(p for p in (run / file).parents if (p / "manifest.json").is_file())
    assert phase.with_name(phase.name + ".damaged").is_dir(), "the damaged one is kept aside"


def test_a_clock_that_goes_backwards_changes_nothing(played, tmp_path, monkeypatch):
    days = itertools.count(1)
    monkeypatch.setattr(time, "time", lambda: 2e9 - 86400.0 * next(days))
    run_cli_in_process(*ARGUMENTS, cwd=tmp_path)
    assert_same_run(tmp_path / RUN, played / RUN)
