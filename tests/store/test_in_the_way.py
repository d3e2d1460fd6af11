"""What stands in a run folder under the name of something else: folders for files, files for folders, FIFOs; here and beside."""

import json
import os

import pytest

from harness.errors import DamagedError, UserError
from harness.files import write_json
from harness.store.phase_cache import PhaseCache
from harness.store.run_folder import RunFolder
from harness.store.untrusted import check_files, make_way, remove_special_files
from tests.helpers.damage import refused


def aside(root):
    return sorted(path.relative_to(root).as_posix() for path in root.rglob("*.damaged"))


def test_what_has_the_name_of_a_view_is_set_aside_and_nothing_else(tmp_path):
    run = RunFolder(tmp_path)
    for name in ("training.csv", "journal.jsonl", "tables/leaderboard.csv", "space/seed-1/iteration-0/train"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "kept").write_text("x")
    for name in ("plots", "facts", "initial", "scores.csv", "spin", "space/seed-0", "space/seed-1/iteration-1", "space/notes"):
        (tmp_path / name).write_text("x")
    make_way(run, ["space", "spin"])
    expected = ["facts", "initial", "journal.jsonl", "plots", "space/seed-0", "space/seed-1/iteration-1", "spin",
                "tables/leaderboard.csv", "training.csv"]  # fmt: skip
    assert aside(tmp_path) == [f"{name}.damaged" for name in expected]
    assert (tmp_path / "training.csv.damaged/kept").read_text() == "x"
    make_way(run, ["space", "spin"])
    assert len(aside(tmp_path)) == len(expected)
    (tmp_path / "facts").mkdir()
    for name in ("facts/space", "facts/initial.jsonl.xz"):
        (tmp_path / name).write_text("x")
    make_way(run)
    assert sorted(path.name for path in (tmp_path / "facts").iterdir()) == ["initial.jsonl.xz", "space.damaged"]


def test_a_fifo_is_removed_on_request(tmp_path):
    (tmp_path / "a").mkdir()
    os.mkfifo(tmp_path / "a/scores.json")
    with pytest.raises(UserError, match="neither a file nor a folder"):
        check_files(tmp_path)
    check_files(tmp_path, mending=True)
    remove_special_files(RunFolder(tmp_path))
    check_files(tmp_path)
    assert list((tmp_path / "a").iterdir()) == []


def test_several_things_at_once_are_mended_with_recompute(tmp_path):
    """A file in the way is taken out of the small files, which are damaged too, as is the journal all of it is written to."""
    run = RunFolder(tmp_path)
    for name in ("journal.jsonl", "space", "facts/space"):
        (tmp_path / name).mkdir(parents=True)
    for name in ("run.json", "initial", "facts/initial.jsonl.xz", "space/seed-0", "facts/space/seed-0.jsonl.xz"):
        (tmp_path / name).write_text("x")
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(DamagedError, match="--recompute"):
        make_way(run, ["space"])
    make_way(run, ["space"], recompute=True)
    left = sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*"))
    assert [name for name in left if "damaged" not in name] == ["facts", "facts/space", "journal.jsonl", "space"]


def test_commands_say_what_stands_in_the_way_or_set_it_aside(played_copy):
    root = played_copy / "results/small"
    (root / ".lease").mkdir()
    line = refused(played_copy, "report", "small")
    assert ".lease: a folder" in line and "remove it" in line
    (root / "run.json").unlink()
    (root / "run.json").mkdir()
    line = refused(played_copy, "status", "small")
    assert "run.json: damaged" in line and "did you mean" not in line


@pytest.mark.parametrize("odd", ["fifo", "link"])
def test_a_neighbours_phase_with_what_is_no_file_in_it_is_passed_over(tmp_path, odd):
    mine, other = RunFolder(tmp_path / "mine"), RunFolder(tmp_path / "other")
    for run in (mine, other):
        run.root.mkdir()
        write_json(run.root / "run.json", {"base_digest": "b", "identity": {"model": {}}, "format_version": 3})
    with other.write_phase("a/train", {"player": "p"}, {"lr": 0.1}) as writer:
        write_json(writer.path / "out.json", {"x": 1})
    assert PhaseCache(mine).find("a/train", {"player": "p"}, {"lr": 0.1}) is not None
    if odd == "fifo":
        os.mkfifo(other.root / "a/train/more")
    else:
        (other.root / "a/train/out.json").rename(tmp_path / "elsewhere.json")
        (other.root / "a/train/out.json").symlink_to(tmp_path / "elsewhere.json")
    assert not PhaseCache(mine).link_into_run("a/train", {"player": "p"}, {"lr": 0.1})
    assert json.loads((mine.root / "journal.jsonl").read_text().splitlines()[-1])["event"] == "neighbour passed over"
