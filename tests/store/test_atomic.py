"""What is written under a temporary name is on the disk before it has its own: a power cut leaves the old file or the new one."""

import os
from pathlib import Path

import pytest

from harness.files import commit_folder, read_json, walk, write_atomic, write_json


@pytest.fixture
def events(monkeypatch):
    """("flush" or "rename", inode) in the order in which they happen."""
    log, fsync, rename, replace = [], os.fsync, Path.rename, Path.replace

    def flushed(descriptor):
        log.append(("flush", os.fstat(descriptor).st_ino))
        return fsync(descriptor)

    def moved(move):
        return lambda path, target: (log.append(("rename", path.stat().st_ino)), move(path, target))[1]

    monkeypatch.setattr(os, "fsync", flushed)
    monkeypatch.setattr(Path, "rename", moved(rename))
    monkeypatch.setattr(Path, "replace", moved(replace))
    return log


def test_a_file_is_flushed_and_then_renamed(events, tmp_path):
    write_json(tmp_path / "a.json", {"a": 1})
    with write_atomic(tmp_path / "b") as temporary:
        temporary.write_text("b")
    inodes = [(tmp_path / name).stat().st_ino for name in ("a.json", "b")]
    assert events == [(event, inode) for inode in inodes for event in ("flush", "rename")]


def test_a_folder_is_flushed_with_all_that_is_in_it_then_renamed_then_its_parent_is_flushed(events, tmp_path):
    partial = tmp_path / "phase.partial"
    (partial / "deep" / "er").mkdir(parents=True)
    for name in ("x", "deep/y", "deep/er/z"):
        (partial / name).write_text(name)
    commit_folder(partial, tmp_path / "phase")
    inside = {("flush", path.stat().st_ino) for path in (*walk(tmp_path / "phase"), tmp_path / "phase")}
    assert set(events[:-2]) == inside
    assert events[-2:] == [("rename", (tmp_path / "phase").stat().st_ino), ("flush", tmp_path.stat().st_ino)]


def test_an_interrupted_write_leaves_the_file_that_was_there(monkeypatch, tmp_path):
    write_json(tmp_path / "a.json", "old")
    monkeypatch.setattr(os, "fsync", lambda descriptor: os.close(-1))
    with pytest.raises(OSError, match="Bad file descriptor"):
        write_json(tmp_path / "a.json", "new")
    assert read_json(tmp_path / "a.json") == "old"
