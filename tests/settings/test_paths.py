"""Paths that cannot be: too long, through a file, in a circle, of nobody; and what the system refuses of those that can."""

import errno
import json
import os
import shutil
import socket
import subprocess
from pathlib import Path

import pytest

from harness import errors
from harness.cli import main
from harness.commands.study import tuned_variants
from harness.config import DataConfig, load_config
from harness.discovery.variants import load_objective
from harness.errors import DamagedError, UserError, objective_location, system_error_line, unexpected_error_line
from harness.files import folder_digests, make_folder, read_json, read_jsonl, walk
from harness.loop.study import load_study
from harness.records import PhaseManifest
from harness.sources.rows import read_rows
from harness.store.phase_cache import PhaseCache
from harness.store.provenance import package_versions
from harness.store.run_folder import RunFolder
from tests.conftest import SMALL_RECIPE
from tests.helpers.broken import objective
from tests.helpers.damage import refused

LONG, NOBODY = "a" * 300, "~nobody_of_that_name"
REFUSED = [
    "EACCES", "EPERM", "ESTALE", "ETIMEDOUT", "EMFILE", "ENFILE", "ENOMEM", "EBUSY", "ENAMETOOLONG", "ELOOP", "ENOSPC", "EROFS",
]  # fmt: skip


@pytest.fixture
def places(tmp_path):
    """A folder with everything that is no plain file under a name of its own."""
    for ending in ("", ".toml", ".py", ".jsonl"):
        os.mkfifo(tmp_path / f"fifo{ending}")
        (tmp_path / f"loop{ending}").symlink_to(f"loop{ending}")
        (tmp_path / f"dangling{ending}").symlink_to("nowhere")
    (tmp_path / "file").write_text("x")
    (tmp_path / "results").mkdir()
    return tmp_path


ODD = [LONG, f"{NOBODY}/x", "fifo", "loop", "dangling", "file/below", "d/" * 2500, "a\0b"]
TAKES_A_PATH = (
    "status {}", "trace {} x", "push {} spin", "study ./{}.toml", "suites show {}/s.toml", "objectives show {}/o.py",
    "run --recipe {}/r.toml", "run --recipe smoke --suite {}/s.toml", "run --recipe smoke --results {}",
    "run --recipe smoke --reports {}", "fetch --check --to {}",
)  # fmt: skip


@pytest.mark.parametrize("odd", ODD, ids=lambda odd: repr(odd[:12]))
def test_whatever_a_command_is_given_for_a_path_is_one_line_and_nothing_is_written(places, odd):
    before = sorted(path.name for path in places.iterdir())
    for command in TAKES_A_PATH:
        assert len(refused(places, *(word.replace("{}", odd) for word in command.split()), after_progress=True)) < 520, command
    assert sorted(path.name for path in places.iterdir()) == before
    assert list((places / "results").iterdir()) == []


@pytest.mark.parametrize("what", ["fifo", "loop", "dangling"])
def test_a_recipe_or_objective_that_is_no_file_is_not_waited_for(places, what):
    for kind, command in (("toml", "run --recipe"), ("py", "objectives check")):
        assert f"{what}.{kind}: no such file" in refused(places, *command.split(), f"./{what}.{kind}")


@pytest.mark.parametrize("name", ["fifo", "fifo.jsonl", "loop", "loop.jsonl", "dangling", "socket", "socket.jsonl"])
def test_data_that_is_neither_file_nor_folder_is_refused_and_asked_of_no_hub(places, monkeypatch, name):
    monkeypatch.chdir(places)
    with socket.socket(socket.AF_UNIX) as there, socket.socket(socket.AF_UNIX) as other:
        there.bind("socket")
        other.bind("socket.jsonl")
        with pytest.raises(UserError, match=f"data {name}: neither a file nor a folder"):
            read_rows(DataConfig(source=name), name, None)


def test_data_of_nobodys_home_or_too_long_a_name_is_one_line():
    for source in (f"{NOBODY}/x.jsonl", f"{NOBODY}/x"):
        with pytest.raises(UserError, match=NOBODY):
            read_rows(DataConfig(source=source), source, None)
    with pytest.raises(OSError, match="File name too long") as told:
        read_rows(DataConfig(source=LONG), LONG, None)
    assert unexpected_error_line(told.value) == f"{LONG[:125]} … {LONG[-125:]}: File name too long; name another path"


@pytest.fixture
def depths(tmp_path):
    """A folder for folders in folders: what tidies up after tests calls itself for each of them, `rm` does not."""
    yield tmp_path
    subprocess.run(["rm", "-rf", tmp_path / "d"], check=True)


def test_a_folder_a_thousand_deep_is_made_walked_and_counted(depths):
    """Deeper than Python calls itself, and than one path may be long: from folder to folder."""
    deep = depths / "/".join("d" * 1050)
    make_folder(deep)
    make_folder(deep)
    (deep / "train.jsonl").write_text('{"prompt": "p", "response": "r"}\n')
    assert [path for path in walk(depths) if path.is_file()] == [deep / "train.jsonl"]
    assert list(folder_digests(depths)) == [(deep / "train.jsonl").relative_to(depths).as_posix()]
    found = read_rows(DataConfig(source=str(depths)), str(depths), None)
    assert [row for _, row in found] == [{"prompt": "p", "response": "r"}]
    with pytest.raises(OSError, match="File name too long") as told:
        make_folder(depths / "/".join("d" * 2500))
    assert system_error_line(told.value).endswith("File name too long; name another path")


def test_a_run_in_a_folder_that_is_too_deep_for_its_files_is_refused_before_any_work(tmp_path):
    line = refused(tmp_path, "run", "--recipe", "smoke", "--results", "d/" * 1800)
    assert "leaves no room for names below it" in line
    assert list(tmp_path.iterdir()) == []


# ---------------------------------------------------------------- what the system refuses


def refuse(monkeypatch, number, file, method):
    """This method of Path gives the error for files of that name."""
    original = getattr(Path, method)

    def refusing(self, *arguments, **options):
        if self.name == file:
            raise OSError(number, os.strerror(number), str(self))
        return original(self, *arguments, **options)

    monkeypatch.setattr(Path, method, refusing)


@pytest.mark.parametrize("name", REFUSED)
def test_a_refused_file_is_named_in_one_line_and_not_called_damaged(tmp_path, monkeypatch, name):
    number = getattr(errno, name)
    (tmp_path / "results" / "a").mkdir(parents=True)
    (tmp_path / "results" / "a" / "run.json").write_text("{}")
    refuse(monkeypatch, number, "run.json", "read_text")
    with pytest.raises(OSError, match=r"run\.json"):
        read_json(tmp_path / "results" / "a" / "run.json")
    line = refused(tmp_path, "status", "a")
    assert line.startswith(f"harness: results/a/run.json: {os.strerror(number)}; ")
    assert not any(word in line for word in ("damaged", "--recompute", "remove"))


@pytest.mark.parametrize("name", REFUSED)
def test_a_phase_that_cannot_be_written_or_read_stops_with_one_line_that_says_how_to_go_on(tmp_path, name):
    number = getattr(errno, name)
    run = RunFolder(tmp_path)
    for file in (str(tmp_path / "a" / "train.partial" / "x"), None):  # writing knows no name, opening does
        with pytest.raises(UserError, match=os.strerror(number)) as said, run.write_phase("a/train", {}, {}):
            raise OSError(number, os.strerror(number), file)
        assert str(said.value).startswith(str(tmp_path / "a" / "train"))
    rust = RuntimeError(f"Error while deserializing header: I/O error: refused (os error {number})")
    with pytest.raises(UserError, match=os.strerror(number)), run.write_phase("a/train", {}, {}):
        raise rust


@pytest.mark.parametrize("name", ["EMFILE", "ENOMEM", "ESTALE", "EACCES"])
def test_a_sound_phase_that_cannot_be_read_now_is_never_set_aside(tmp_path, monkeypatch, name):
    run = RunFolder(tmp_path)
    with run.write_phase("data", {}, {}) as draft:
        (draft.path / "train.jsonl").write_text("{}\n")
    refuse(monkeypatch, getattr(errno, name), "train.jsonl", "open")
    for recompute in (False, True):
        with pytest.raises(OSError, match=r"train\.jsonl") as told:
            run.verify_phases(["data"], recompute)
        assert not isinstance(told.value, DamagedError)
    monkeypatch.undo()
    assert isinstance(run.find_phase("data").manifest, PhaseManifest)
    assert not list(tmp_path.glob("*.damaged"))


def test_what_an_objectives_file_raises_is_that_files_and_not_the_disks(tmp_path):
    path = tmp_path / "reads.py"
    path.write_text(objective(before='raise PermissionError(13, "Permission denied", "/secret")'))
    run = RunFolder(tmp_path / "run")
    reads = load_objective(path)()
    with pytest.raises(PermissionError) as raised, run.write_phase("reads/train", {}, {}):
        reads.loss(None)
    line = next(n for n, text in enumerate(path.read_text().splitlines(), 1) if "raise" in text)
    assert objective_location(raised.value) == f"{path}, line {line}"
    assert unexpected_error_line(raised.value).startswith(f"{path}, line {line}: PermissionError: ")
    assert system_error_line(raised.value) is None


def test_errors_that_are_no_files_stay_what_they_are():
    assert unexpected_error_line(ValueError("a bug")) is None
    assert unexpected_error_line(ConnectionResetError(errno.ECONNRESET, "reset")) is None
    assert unexpected_error_line(MemoryError()).startswith("out of memory; ")
    line = unexpected_error_line(FileNotFoundError(errno.ENOENT, "gone", b"/a/b"))
    assert line.startswith("/a/b: No such file or directory; was it moved")
    assert errors.system_errno(OSError(errno.ENOENT, "gone", "x")) is None


def test_a_run_folder_that_goes_away_under_a_command_is_one_line(tmp_path, monkeypatch, capsys):
    """Found by nobody else, it is the last resort's."""

    def gone(*_, **__):
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), "results/a/journal.jsonl")

    monkeypatch.setattr("harness.cli._run_app", gone)
    with pytest.raises(SystemExit) as ended:
        main()
    said = capsys.readouterr().err
    assert (ended.value.code, said.count("\n")) == (1, 1)
    assert said.startswith("harness: results/a/journal.jsonl: No such file or directory; was it moved")


# ---------------------------------------------------------------- neighbours

NEIGHBOUR = json.dumps({"base_digest": "b", "identity": {"model": {"path": "m"}}, "format_version": 3})


def test_no_damage_to_a_neighbour_stops_the_search_and_the_sound_one_is_still_found(tmp_path):
    """Empty, foreign, of other shapes, unreadable, endless: beside each of them the phase is found that is whole."""
    mine = RunFolder(tmp_path / "mine")
    for name in ("sound", "mine"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "run.json").write_text(NEIGHBOUR)
    with RunFolder(tmp_path / "sound").write_phase("initial/probe", {"player": "p"}, {"n": 1}) as draft:
        (draft.path / "measurements.json").write_text("{}")
    manifest = (tmp_path / "sound" / "initial" / "probe" / "manifest.json").read_text()
    records = ("", "[]", "null", '"x"', "[" * 50_000, '{"identity": []}', '{"identity": {"model": 3}}')
    for number, text in enumerate(records):
        (tmp_path / f"a{number}").mkdir()
        (tmp_path / f"a{number}" / "run.json").write_text(text)
    shapes = ('{"format_version": 3}', '{"format_version": 3, "inputs": 1, "settings": 2, "versions": 3}')
    others = (manifest.replace('"measurements.json"', '"other.json"'), manifest.replace('"p"', '"q"'))
    for number, text in enumerate(("", "[]", *shapes, "\0", *others)):
        phase = tmp_path / f"b{number}" / "initial" / "probe"
        phase.mkdir(parents=True)
        (tmp_path / f"b{number}" / "run.json").write_text(NEIGHBOUR)
        (phase / "manifest.json").write_text(text)
    for name in ("c-fifo", "c-folder", "c-loop"):
        (tmp_path / name).mkdir()
    os.mkfifo(tmp_path / "c-fifo" / "run.json")
    (tmp_path / "c-folder" / "run.json").mkdir()
    (tmp_path / "c-loop" / "run.json").symlink_to("run.json")
    (tmp_path / "loop").symlink_to("loop")
    found = PhaseCache(mine).find("initial/probe", {"player": "p"}, {"n": 1})
    assert found.path == tmp_path / "sound" / "initial" / "probe"
    assert found.manifest.versions == package_versions()
    passed_over = read_jsonl(tmp_path / "mine" / "journal.jsonl")
    assert {row["event"] for row in passed_over} == {"neighbour passed over"}
    folders = {Path(row["where"]).parts[1] for row in passed_over}
    assert folders >= {"a0", "a1", "b0", "b1", "b2", "b3", "c-fifo", "c-folder", "c-loop"}


def test_a_neighbour_that_goes_away_or_cannot_be_copied_is_made_instead(tmp_path, monkeypatch):
    mine = RunFolder(tmp_path / "mine")
    for name in ("other", "mine"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "run.json").write_text(NEIGHBOUR)
    with RunFolder(tmp_path / "other").write_phase("initial/probe", {}, {}) as draft:
        (draft.path / "measurements.json").write_text("{}")

    def fail(error):
        def copy(*_, **__):
            raise error

        monkeypatch.setattr(shutil, "copytree", copy)

    theirs = str(tmp_path / "other" / "initial" / "probe" / "measurements.json")
    fail(OSError(errno.EACCES, "Permission denied", theirs))
    assert PhaseCache(mine).link_into_run("initial/probe", {}, {}) is False
    fail(shutil.Error([(theirs, "there", "[Errno 2] No such file or directory")]))
    assert PhaseCache(mine).link_into_run("initial/probe", {}, {}) is False
    fail(OSError(errno.ENOSPC, "No space left on device"))
    with pytest.raises(UserError, match="initial/probe: No space left on device; what is finished is kept: make room"):
        PhaseCache(mine).link_into_run("initial/probe", {}, {})
    monkeypatch.undo()
    assert PhaseCache(mine).link_into_run("initial/probe", {}, {}) is True
    assert (tmp_path / "mine" / "initial" / "probe" / "measurements.json").read_text() == "{}"


def test_a_study_whose_tuning_run_is_damaged_is_played_at_the_common_setting(tmp_path, capsys):
    study, config = load_study("stability"), load_config(str(SMALL_RECIPE))
    root = tmp_path / study.tuned_by
    root.mkdir()
    for text in ("", "[]", "{}", json.dumps({"study": {"grid": []}})):
        (root / "run.json").write_text(text)
        assert tuned_variants(study, config, tmp_path) == {}, text
        assert "cannot be used" in capsys.readouterr().out, text
        with pytest.raises((UserError, LookupError, TypeError, AttributeError, ValueError)):
            tuned_variants(study, config, tmp_path, named_by_user=True)
