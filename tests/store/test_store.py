"""The run folder: a phase is there whole or not at all, finished work is never overwritten, changed inputs are refused."""

import json

import pytest

from harness.errors import UserError
from harness.files import read_json, write_json, write_jsonl
from harness.store.run_folder import RunFolder

INPUTS, SETTINGS = {"player": "abc"}, {"training": {"lr": 0.1}, "iteration": 0}


@pytest.fixture
def run(tmp_path):
    folder = RunFolder(tmp_path / "run")
    folder.root.mkdir()
    return folder


def make(run, where="a/train"):
    with run.write_phase(where, INPUTS, SETTINGS) as writer:
        write_jsonl(writer.path / "rows.jsonl", [{"x": 1}])
        writer.counts["rows"] = 1


def test_a_committed_phase_has_its_manifest_with_digests_and_counts(run):
    make(run)
    done = run.lookup("a/train", INPUTS, SETTINGS)
    assert done.manifest.counts == {"rows": 1}
    assert list(done.manifest.outputs) == ["rows.jsonl"]
    assert len(done.digest_of("rows.jsonl")) == 16
    assert not (run.root / "a/train.partial").exists()


def test_a_failing_phase_is_not_there_and_its_remains_are_set_aside(run):
    def fail():
        with run.write_phase("a/train", INPUTS, SETTINGS) as writer:
            (writer.path / "half").write_text("half")
            raise RuntimeError("boom")

    with pytest.raises(RuntimeError):
        fail()
    assert run.find_phase("a/train") is None
    make(run)
    assert (run.root / "a/train.abandoned/half").exists()
    assert run.find_phase("a/train") is not None
    events = [json.loads(line)["event"] for line in (run.root / "journal.jsonl").read_text().splitlines()]
    assert events == ["started", "failed", "started", "committed"]


def test_nothing_finished_is_overwritten(run):
    make(run)
    with pytest.raises(OSError, match=r"not empty|exists"):
        make(run)
    assert run.find_phase("a/train").manifest.counts == {"rows": 1}


@pytest.mark.parametrize(
    ("inputs", "settings", "named"),
    [
        ({"player": "xyz"}, SETTINGS, "player='abc', now asked for 'xyz'"),
        (INPUTS, {"training": {"lr": 0.2}, "iteration": 0}, "training.lr=0.1, now asked for 0.2"),
        (INPUTS, {"training": {"lr": 0.1}}, "iteration=0, now asked for None"),
    ],
)
def test_other_inputs_or_settings_are_refused_by_name(run, inputs, settings, named):
    make(run)
    with pytest.raises(UserError, match=named):
        run.lookup("a/train", inputs, settings)


def test_another_format_version_is_refused(run):
    make(run)
    manifest = run.root / "a/train/manifest.json"
    write_json(manifest, {**read_json(manifest), "format_version": 99})
    with pytest.raises(UserError, match="format version 99"):
        run.find_phase("a/train")


def test_a_missing_number_is_never_written_as_nan(tmp_path):
    with pytest.raises(ValueError, match="Out of range float values"):
        write_json(tmp_path / "x.json", {"value": float("nan")})
    with pytest.raises(ValueError, match="Out of range float values"):
        write_jsonl(tmp_path / "x.jsonl", [{"value": float("inf")}])


def test_a_damaged_file_is_named(tmp_path):
    (tmp_path / "run.json").write_text("{")
    with pytest.raises(UserError, match="run.json: damaged"):
        read_json(tmp_path / "run.json")
