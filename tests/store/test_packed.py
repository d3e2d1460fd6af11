"""Samples packed with gzip: the same phases as plain ones, the same bytes every time, and nothing damaged is read."""

import gzip
import json
import os
import shutil
import stat
import time

import pytest

from harness.errors import DamagedError
from harness.files import (
    bytes_digest,
    commit_folder,
    folder_digests,
    read_jsonl,
    stored_path,
    write_atomic,
    write_jsonl,
    write_packed_jsonl,
)
from tests.conftest import SMALL_RECIPE, run_cli_in_process
from tests.helpers.damage import refused

ROWS = [{"id": f"{n:04x}", "text": "the cat sat on the mat " * 3, "logp": -n / 7} for n in range(200)]
PACKED = ("samples.jsonl.gz", "samples_lab_arithmetic.jsonl.gz", "scores.jsonl.gz")


def unpack(run):
    """The run as an earlier version left it: every packed file plain, under the name in its manifest."""
    paths = sorted(run.rglob("*.jsonl.gz"))
    for path in paths:
        if "facts" not in path.relative_to(run).parts:
            path.with_suffix("").write_bytes(gzip.decompress(path.read_bytes()))
            path.unlink()
    return paths


def test_packed_rows_are_the_same_bytes_at_any_time_under_any_name_and_read_as_written(tmp_path, monkeypatch):
    write_packed_jsonl(tmp_path / "one.jsonl", ROWS)
    monkeypatch.setattr(time, "time", lambda: 1e9)
    assert write_packed_jsonl(tmp_path / "another.jsonl", iter(ROWS)) == len(ROWS)
    one, another = ((tmp_path / f"{name}.jsonl.gz").read_bytes() for name in ("one", "another"))
    assert one == another and one[3] == 0 and one[4:8] == bytes(4), "neither a name nor a time in it"
    assert read_jsonl(tmp_path / "one.jsonl") == read_jsonl(tmp_path / "one.jsonl.gz") == ROWS
    assert not (tmp_path / "one.jsonl").exists()


def test_a_digest_is_of_the_content_however_it_is_stored(tmp_path):
    """So it does not depend on the version of zlib, whose bytes differ at the same level."""
    for name, write in (("plain", write_jsonl), ("packed", write_packed_jsonl)):
        (tmp_path / name).mkdir()
        write(tmp_path / name / "samples.jsonl", ROWS)
    content = (tmp_path / "plain/samples.jsonl").read_bytes()
    (tmp_path / "other").mkdir()
    (tmp_path / "other/samples.jsonl.gz").write_bytes(gzip.compress(content, 1))
    expected = {"samples.jsonl": bytes_digest(content)}
    assert all(folder_digests(tmp_path / name) == expected for name in ("plain", "packed", "other"))
    assert stored_path(tmp_path / "plain/samples.jsonl").name == "samples.jsonl"
    assert stored_path(tmp_path / "none.jsonl").name == "none.jsonl"


def test_drawn_evaluated_and_scored_rows_are_packed_and_data_and_logs_are_plain(played):
    run = played / "results" / "small"
    packed = {path.name for path in run.rglob("*.jsonl.gz")}
    assert {*PACKED} <= packed
    plain = {path.relative_to(run).as_posix() for path in run.rglob("*.jsonl") if path.name != "steps.jsonl"}
    assert plain == {"data/train.jsonl", "data/heldout.jsonl", "journal.jsonl"}
    size = sum(path.stat().st_size for path in run.rglob("*.jsonl.gz"))
    assert 3 * size < sum(len(gzip.decompress(path.read_bytes())) for path in run.rglob("*.jsonl.gz"))


def test_a_run_of_an_earlier_version_with_plain_samples_goes_on_and_is_reported_and_traced(played, played_copy):
    run = played_copy / "results" / "small"
    paths = unpack(run)
    assert len(paths) > 20
    example = read_jsonl(run / "data/train.jsonl")[0]["id"]
    trace = run_cli_in_process("trace", "small", example, cwd=played_copy).stdout
    assert trace == run_cli_in_process("trace", "small", example, cwd=played).stdout.replace(".jsonl.gz", ".jsonl")
    out = ("report", "small", "--out", "r.pdf")
    tables = {path: path.read_bytes() for path in run.rglob("*.csv")}
    run_cli_in_process(*out, cwd=played_copy)
    assert {path: path.read_bytes() for path in tables} == tables
    done = run_cli_in_process("run", "--recipe", SMALL_RECIPE, "--objectives", "spin", "--iters", "3", cwd=played_copy)
    assert "plan: 5 phases to do" in done.stdout, "what is plain is finished, and later phases read it"
    assert (run / "spin/seed-0/iteration-2/generate/samples.jsonl.gz").is_file()
    assert not (run / "spin/seed-0/iteration-1/generate/samples.jsonl.gz").exists()


@pytest.mark.parametrize("how", ["cut", "a bit", "no gzip", "more behind it", "other rows"])
def test_a_damaged_packed_file_is_named_and_not_read(played_copy, how):
    path = played_copy / "results/small/initial/seed-0/generate/k-0/samples.jsonl.gz"
    raw = path.read_bytes()
    middle = len(raw) // 2
    path.write_bytes(
        {
            "cut": raw[:-9],
            "a bit": raw[:middle] + bytes([raw[middle] ^ 1]) + raw[middle + 1 :],
            "no gzip": b"[]\n",
            "more behind it": raw + gzip.compress(b"{}\n"),
            "other rows": gzip.compress(gzip.decompress(raw).replace(b"a", b"b")),
        }[how]
    )
    assert "k-0/samples.jsonl.gz: damaged" in refused(played_copy, "trace", "small", "7")
    again = ("run", "--recipe", SMALL_RECIPE, "--jobs", "1")
    assert "k-0/samples.jsonl.gz: damaged" in refused(played_copy, *again, after_progress=True)


def test_a_file_that_unpacks_without_end_is_refused_and_not_read(tmp_path, monkeypatch):
    monkeypatch.setattr("harness.files.MAX_UNPACKED_BYTES", 1 << 16)
    for name, content in (("line", b" " * (1 << 24)), ("lines", b"{}\n" * (1 << 22))):
        (tmp_path / f"{name}.jsonl.gz").write_bytes(gzip.compress(content))
        with pytest.raises(DamagedError, match=rf"{name}\.jsonl\.gz: damaged \(unpacks to over 500 times"):
            read_jsonl(tmp_path / f"{name}.jsonl")
    write_packed_jsonl(tmp_path / "honest.jsonl", [{"text": "again " * 400}] * 50)
    assert len(read_jsonl(tmp_path / "honest.jsonl")) == 50


# ---------------------------------------------------------------- permissions


@pytest.mark.parametrize(("umask", "expected"), [(0o022, 0o644), (0o027, 0o640), (0o002, 0o664), (0o077, 0o600)])
def test_committed_files_have_the_permissions_that_the_umask_gives(tmp_path, umask, expected):
    """Also where a library wrote them through a private temporary file, as safetensors does."""
    before = os.umask(umask)
    try:
        folder = tmp_path / "train.partial"
        folder.mkdir()
        os.close(os.open(folder / "weights", os.O_CREAT | os.O_WRONLY, 0o600))
        commit_folder(folder, tmp_path / "train")
        with write_atomic(tmp_path / "state") as temporary:
            os.close(os.open(temporary, os.O_CREAT | os.O_WRONLY, 0o600))
    finally:
        os.umask(before)
    assert sorted(path.name for path in (tmp_path / "train").iterdir()) == ["weights"]
    for path in (tmp_path / "train/weights", tmp_path / "state"):
        assert stat.S_IMODE(path.stat().st_mode) == expected


def test_every_file_of_a_run_and_its_report_is_readable_by_others_as_the_umask_says(played, tmp_path):
    probe = tmp_path / "probe"
    probe.touch()
    expected = stat.S_IMODE(probe.stat().st_mode)
    files = [path for top in ("results", "reports") for path in (played / top).rglob("*") if path.is_file()]
    assert any(path.suffix == ".safetensors" for path in files)
    assert {path: oct(path.stat().st_mode) for path in files if stat.S_IMODE(path.stat().st_mode) != expected} == {}


def test_a_linked_file_keeps_its_content_when_it_is_shared(tmp_path):
    """A phase taken over from another run is the same file; what its owner had closed is opened by the umask, not copied."""
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    (theirs / "w").write_text(json.dumps(ROWS[:1]))
    (theirs / "w").chmod(0o600)
    shutil.copytree(theirs, tmp_path / "p.partial", copy_function=os.link)
    commit_folder(tmp_path / "p.partial", tmp_path / "p")
    assert (tmp_path / "p/w").samefile(theirs / "w")
