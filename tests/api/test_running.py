"""`harness.run` does what the command does: the same files, the same refusals, a record that names the command."""

import json
import subprocess
import sys

import pytest

import harness
from tests.conftest import SMALL_RECIPE, run_cli_in_process
from tests.helpers.run_contents import assert_same_run

SCRIPT = """
import harness

print("the script is run")
run = harness.run(recipe={recipe!r}, settings={settings!r}, jobs=2)
print(run.scores["value"].mean(), run.root)
"""


def test_a_plain_script_plays_in_two_processes_what_the_command_plays(played, tmp_path):
    """Without a `__main__` guard: a worker process that imported the script would run it again."""
    settings = {"training": {"save_seconds": 0.0}, "generation.shard": 5000, "evaluation.shard": None}
    (tmp_path / "mine.py").write_text(SCRIPT.format(recipe=str(SMALL_RECIPE), settings=settings))
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "mine.py"], cwd=tmp_path, capture_output=True, text=True, timeout=600, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("the script is run") == 1
    assert done.stdout.splitlines()[-1].endswith("results/small")
    assert_same_run(tmp_path / "results" / "small", played / "results" / "small")
    record = json.loads((tmp_path / "results" / "small" / "run.json").read_text())
    assert record["command"] == ["harness", "run", "--recipe", str(SMALL_RECIPE), "--set", "training.save_seconds=0.0",
                                 "--set", "generation.shard=5000", "--jobs", "2"]  # fmt: skip
    assert record["config"]["generation"]["shard"] == 5000


@pytest.mark.parametrize(
    ("keywords", "arguments"),
    [
        ({"objectives": "spn"}, ("--objectives", "spn")),
        ({"objectives": ["space", "spin:beta=x"]}, ("--objectives", "space,spin:beta=x")),
        ({"iterations": 0}, ("--iters", "0")),
        ({"seeds": [0, 0]}, ("--seeds", "0,0")),
        ({"recipe": "lap"}, ("--recipe", "lap")),
        ({"settings": {"training.lrr": 1.0}}, ("--set", "training.lrr=1.0")),
        ({"settings": {"training": {"lr": -1.0}}}, ("--set", "training.lr=-1.0")),
        ({"suite": "lab-tenn"}, ("--suite", "lab-tenn")),
        ({"name": "../up"}, ("--name", "../up")),
    ],
)
def test_a_mistake_is_refused_in_the_commands_words(tmp_path, monkeypatch, keywords, arguments):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(harness.UserError) as error:
        harness.run(**keywords)
    done = run_cli_in_process("run", *arguments, cwd=tmp_path, check=False)
    assert done.stderr == f"harness: {error.value}\n"
    assert list(tmp_path.iterdir()) == []


def test_a_setting_that_cannot_be_written_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(harness.UserError, match=r"settings training\.lr: .* is a set; expected text, a number"):
        harness.run(settings={"training.lr": {1.0}})


def test_a_second_call_resumes_and_leaves_the_caller_as_it_was(played_copy, monkeypatch):
    monkeypatch.chdir(played_copy)
    main, arguments = sys.modules["__main__"], list(sys.argv)
    before = {name: getattr(main, name, None) for name in ("__file__", "__spec__")}
    journal = played_copy / "results" / "small" / "journal.jsonl"
    events = journal.read_text().count('"committed"')
    run = harness.run(recipe=SMALL_RECIPE, jobs=1)
    assert run.failed == {} and journal.read_text().count('"committed"') == events
    assert {name: getattr(main, name, None) for name in before} == before and sys.argv == arguments
    assert run.root.resolve() == (played_copy / "results" / "small").resolve()


def test_a_failed_trial_is_an_error_and_the_rest_is_kept(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    diverging = "spin:training.lr=1e30"
    with pytest.raises(harness.UserError, match=r"1 trial\(s\) of results/small-.* failed \(spin-.*; what is finished is kept"):
        harness.run(["space", diverging], iterations=1, recipe=SMALL_RECIPE, name="small-1", jobs=1)
    kept = harness.open_run("small-1")
    assert [trial.split("-")[0] for trial in kept.failed] == ["spin"]
    assert set(kept.scores["objective"]) == {"initial", "space"}
