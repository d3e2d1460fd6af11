"""The speed table: rounds survive a kill, machines and versions are not mixed, medians and ratios, README is what is printed."""

import argparse
import json
import subprocess
import sys

import pytest

from harness.files import write_json
from harness.reporting.generated_docs import replace_block
from tests.bench import speed_table, table
from tests.bench.limits import bound_seconds, unique_tokens
from tests.bench.measure import RESULTS
from tests.bench.registry import rows
from tests.bench.rounds import measure_row, timed
from tests.bench.row import BFLOAT16, Goal, Row, Situation
from tests.bench.row_file import CODE_FOLDERS, RowFile, code_digest, first_difference
from tests.conftest import ROOT
from tests.helpers.fake_rows import IDENTITY, RATES, FakeRow

FIRST = {"harness": [1.0, 1.0], "peer": [2.0, 2.0]}
KILLED = f"""
import os, signal
from pathlib import Path
from tests.bench.row import Situation
from tests.bench.row_file import RowFile
from tests.bench.rounds import measure_row
from tests.helpers.fake_rows import IDENTITY, RATES, FakeRow
row = FakeRow({FIRST}, 3, lambda: os.kill(os.getpid(), signal.SIGKILL))
measure_row(row, RowFile(Path("fake.json"), IDENTITY), Situation(), 3, lambda bfloat16: RATES)
"""


def measure(path, row, repeats=3, identity=IDENTITY):
    file = RowFile(path, identity)
    measure_row(row, file, Situation(), repeats, lambda bfloat16: RATES)
    return file


def seconds(content, name):
    return [r["contestants"][name]["seconds"] for r in content["rounds"]]


def test_a_killed_bench_goes_on_behind_its_last_whole_round(tmp_path):
    """Killed between the two runs of the second round: the first round is there, and the sizes tried; the second is run anew."""
    environment = {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "PATH": ""}
    done = subprocess.run([sys.executable, "-c", KILLED], cwd=tmp_path, env=environment, capture_output=True, check=False)
    assert done.returncode == -9, done.stderr
    path = tmp_path / "fake.json"
    kept = json.loads(path.read_text())
    assert (seconds(kept, "harness"), seconds(kept, "peer")) == ([1.0], [2.0])
    row = FakeRow({"harness": [3.0, 5.0], "peer": [12.0, 15.0]})
    file = measure(path, row)
    assert file.note is None
    assert row.script["tried"] == []
    assert row.script["order"] == ["peer", "harness", "harness", "peer"]  # reversed every other round, counted from the first
    assert json.loads(path.read_text()) == file.content
    assert (seconds(file.content, "harness"), seconds(file.content, "peer")) == ([1.0, 3.0, 5.0], [2.0, 12.0, 15.0])
    assert file.content["rounds"][0] == kept["rounds"][0]
    assert file.is_finished(3)
    assert not file.is_finished(4)


def test_finished_rows_are_left_alone_unless_asked_for(tmp_path, monkeypatch, capsys):
    """Of three rows the first is finished, the second begun, and the third needs a mirror, which there is not."""
    begun = []
    fakes = [Row(name, name, name, "peer", {"harness": Goal("times", 2)}, "", {}, name == "c") for name in "abc"]
    monkeypatch.setattr(table, "rows", lambda: fakes)
    monkeypatch.setattr(table, "current_identity", lambda: IDENTITY)
    monkeypatch.setattr(table, "in_a_process", lambda arguments: not begun.append(arguments))
    for name, count in (("a", 3), ("b", 1)):
        measure(tmp_path / f"{name}.json", FakeRow({"harness": [1.0] * count, "peer": [2.0] * count}), count)

    def run(*names, again=False):
        begun.clear()
        asked = argparse.Namespace(names=["table", *names], repeats=3, folder=tmp_path, tiny=False, mirror=None, again=again)
        assert table.run(argparse.ArgumentParser(), asked) == 0
        return [(arguments[0], "--again" in arguments) for arguments in begun]

    assert run() == [("b", False)]
    assert "a: finished\nc: left out" in capsys.readouterr().out
    assert run("a") == [("a", True)]
    assert run(again=True) == [("a", True), ("b", False)]


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"processor": "another"}, "processor a processor, now another"),
        ({"cores": 4}, "cores 2, now 4"),
        ({"code": "2"}, "code 1, now 2"),
        ({"packages": {"torch": "3"}}, "torch 2, now 3"),
    ],
)
def test_another_machine_or_version_starts_a_row_anew_and_says_so(tmp_path, change, named):
    path = tmp_path / "fake.json"
    measure(path, FakeRow({"harness": [1.0], "peer": [2.0]}), 1)
    before = path.read_bytes()
    file = RowFile(path, IDENTITY | change)
    assert file.note == f"was measured with {named}"
    assert not file.is_finished(1)
    assert path.read_bytes() == before  # until there is something to put in its place
    found = measure(path, FakeRow({"harness": [7.0], "peer": [8.0]}), 1, IDENTITY | change).content
    assert seconds(found, "harness") == [7.0]
    assert found["identity"] == IDENTITY | change


def test_work_of_other_sizes_starts_a_row_anew(tmp_path):
    path = tmp_path / "fake.json"
    content = measure(path, FakeRow({"harness": [1.0], "peer": [2.0]}), 1).content
    file = RowFile(path, IDENTITY)
    file.set_sizes({"pairs": 3})
    assert file.content == content
    file.set_sizes({"pairs": 4})
    assert file.note == "was measured with pairs 3, now 4"
    assert (file.content["rounds"], file.content["tried"]) == ([], content["tried"])


def test_the_code_version_is_that_of_the_files(tmp_path):
    folder = tmp_path / CODE_FOLDERS[0]
    folder.mkdir()
    (folder / "a.py").write_text("1")
    before = code_digest(tmp_path)
    (folder / "notes.md").write_text("not code")
    assert code_digest(tmp_path) == before
    (folder / "a.py").write_text("2")
    assert code_digest(tmp_path) != before
    assert first_difference({"a": {"b": 1}}, {"a": {"b": 1}}) is None


def fake_content(rounds):
    """A row's file of these contestants: (seconds, amount) by name, per round."""
    measured = [
        {
            "rates": RATES | {"bfloat16": 4e11},
            "load": [0.5, 1.0],
            "contestants": {name: {"seconds": s, "amount": a, "parts": {"b": s / 4}} for name, (s, a) in one.items()},
        }
        for one in rounds
    ]
    return {"identity": IDENTITY, "tried": {"rows": {"4": 2.0, "8": 1.0}}, "unit": "s", "bound": {}, "rounds": measured}


def test_ratios_are_of_rounds_and_their_middle_one_counts(tmp_path):
    """Peer 10, 6, 9 s for 20 tokens; harness 2, 3, 1 s for 10: per token 2.5, 1, 4.5 times as fast, and 2.5 is the median."""
    rounds = [
        {"harness": (h, 10.0), BFLOAT16: (h / 2, 10.0), "peer": (p, 20.0)} for h, p in ((2.0, 10.0), (3.0, 6.0), (1.0, 9.0))
    ]
    goals = {"harness": Goal("times", 2.6), BFLOAT16: Goal("times", 5.0)}
    row = Row("fake", "Fakes", "A fake", "peer", goals, "")
    write_json(tmp_path / "fake.json", fake_content(rounds))
    own, bfloat16 = speed_table.table_lines(row, tmp_path)
    assert own.values == [2.5, 1.0, 4.5]
    assert (own.measured, own.is_met) == (2.5, False)
    assert (bfloat16.values, bfloat16.is_met) == ([5.0, 2.0, 9.0], True)
    assert speed_table.spread(own.values) == "2.50 (1.00 to 4.50)"
    share = Row("fake", "Fakes", "A fake", "peer", {"harness": Goal("share", 0.4)}, "")
    assert speed_table.table_lines(share, tmp_path)[0].is_met
    alone = Row("fake", "Fakes", "A fake", "", {"harness": Goal("seconds", 2.0)}, "")
    assert speed_table.table_lines(alone, tmp_path)[0].values == [0.2, 0.3, 0.1]
    assert speed_table.sizes_chosen(own.content) == "; rows: 8"


def test_a_bound_is_the_larger_of_arithmetic_and_memory():
    """2e11 operations at 1e11 a second are 2 s (0.5 s at bfloat16's 4e11); 3e10 bytes at 1e10 a second are 3 s."""
    content = fake_content([{"harness": (4.0, 1.0), "peer": (8.0, 1.0)}])
    assert bound_seconds(content, "harness") is None
    content["bound"] = {"operations": 2e11}
    assert bound_seconds(content, "harness") == 2.0
    assert bound_seconds(content, BFLOAT16) == 0.5
    content["bound"]["weight_bytes"] = 3e10
    assert bound_seconds(content, "harness") == 3.0
    content["bound"] = {"contestant": "peer"}
    assert bound_seconds(content, "harness") == 8.0
    content["bound"] = {"of": "peer", "part": "b"}
    assert bound_seconds(content, "harness") == 2.0


def test_a_token_that_rows_share_from_their_start_is_counted_once():
    """abc, abd, ab and abc again: a, b, c, d; behind another beginning the same tokens count again."""
    assert unique_tokens(["abc", "abd", "ab", "abc"]) == 4
    assert unique_tokens(["abc", "xbc"]) == 6
    assert unique_tokens([]) == 0


def test_a_contestant_that_says_its_own_seconds_is_believed_and_one_that_does_not_is_timed():
    assert timed(lambda: None)["amount"] == 1.0
    assert 0 <= timed(lambda: None)["seconds"] < 60


def test_readme_shows_what_was_measured_and_nothing_else():
    for name, block in speed_table.blocks(RESULTS).items():
        text = speed_table.READMES[name].read_text(encoding="utf-8")
        assert replace_block(text, name, block) == text, "run: python -m tests.bench print"


def test_rows_without_a_file_are_shown_as_not_measured(tmp_path):
    text = speed_table.full_table(tmp_path)
    assert text.count(speed_table.NOT_MEASURED) == len(rows())
    assert speed_table.short_table(tmp_path).count(speed_table.NOT_MEASURED) == len({row.group for row in rows()})


def test_every_row_has_a_name_of_its_own_and_a_goal_for_the_harness():
    names = [row.name for row in rows()]
    assert len(names) == len(set(names)) == 26
    assert all("harness" in row.goals for row in rows())
