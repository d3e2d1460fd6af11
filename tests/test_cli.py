"""The command line as a user meets it: quick help without torch, and one line with exit code 1 for wrong input."""

import json
import resource
import subprocess
import sys
import warnings

import pytest

from harness.stats import detectable_difference
from tests.conftest import ROOT, SMALL, harness


def python(code):
    return subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, timeout=120, check=True)


@pytest.mark.parametrize("command", ["[]", "['run', '--help']", "['objectives']", "['suites', 'show', 'lab-ten']", "['status']"])
def test_light_commands_do_not_import_torch(command, tmp_path):
    code = f"""
import sys
sys.argv = ['harness', *{command}] if {command} else ['harness', '--help']
from harness.cli import main
try: main()
except SystemExit as e: assert not e.code, e.code
heavy = {{'torch', 'transformers', 'lm_eval', 'datasets', 'peft'}} & set(sys.modules)
assert not heavy, heavy
"""
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True, capture_output=True, timeout=120)


def test_the_report_is_written_without_torch(played_copy):
    code = f"""
import sys, os
os.chdir({str(played_copy)!r})
sys.argv = ['harness', 'report', 'small']
from harness.cli import main
try: main()
except SystemExit as e: assert not e.code
assert 'torch' not in sys.modules and 'lm_eval' not in sys.modules
"""
    python(code)


def test_help_takes_less_than_half_a_second_of_processor_time():
    """Processor time of the child, best of three: what other programs do on the machine does not count."""
    spent = []
    for _ in range(3):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        python("import sys; sys.argv=['harness','--help']\nfrom harness.cli import main\ntry: main()\nexcept SystemExit: pass")
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        spent.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    assert min(spent) < 0.5, spent


CASES = {
    "unknown objective": (["run", "--objectives", "spce"], 'unknown objective "spce" (did you mean "space"?)'),
    "no objective": (["run", "--objectives", ","], "--objectives is empty"),
    "same objective twice": (["run", "--objectives", "space,space"], 'names "space" twice'),
    "unknown parameter": (["run", "--objectives", "spin:bta=1"], 'unknown parameter "bta" (did you mean "beta"?)'),
    "parameter out of bounds": (["run", "--objectives", "space:mu=-1"], "mu=-1.0 is not above 0"),
    "parameter of wrong type": (["run", "--objectives", "space:mu=big"], "mu='big' is not of type float"),
    "parameter without value": (["run", "--objectives", "space:mu"], '"mu" is not key=value'),
    "bad override": (["run", "--objectives", "space:training.lrr=1"], 'unknown setting "lrr" (did you mean "lr"?)'),
    "missing objective file": (["run", "--objectives", "./none.py"], "objective ./none.py: no such file"),
    "unknown recipe": (["run", "--recipe", "lob"], 'unknown recipe "lob" (did you mean "lab"?)'),
    "unknown suite": (["run", "--suite", "lab-tem"], 'unknown suite "lab-tem" (did you mean "lab-ten"?)'),
    "unknown setting": (["run", "--set", "trainin.lr=1"], 'unknown setting "trainin" (did you mean "training"?)'),
    "setting without value": (["run", "--set", "training.lr"], "expected key=value"),
    "negative rate": (["run", "--set", "training.lr=-1"], "every learning rate must be above 0"),
    "zero iterations": (["run", "--iters", "0"], "iterations=0: input should be greater than or equal to 1"),
    "seeds that are no numbers": (["run", "--seeds", "a,b"], "--seeds a,b: expected whole numbers"),
    "seed twice": (["run", "--seeds", "1,1"], "a seed is named twice"),
    "bad run name": (["run", "--name", "../x"], "--name ../x: letters, digits"),
    "unknown device": (["run", "--set", "model.device=tpu9"], "model.device=tpu9: not a device of this machine"),
    "missing model": (["run", "--model", "./nothing"], "model.path=./nothing: cannot be loaded"),
    "missing data": (["run", "--data", "none.jsonl"], "data none.jsonl: no such file"),
    "missing mirror": (["run", "--mirror", "nowhere"], "--mirror nowhere: no such folder"),
    "unknown distribution": (["run", "--set", "data.distribution=lob"], 'unknown distribution "lob" (did you mean "lab"?)'),
    "unknown study": (["study", "stabilty"], 'unknown study "stabilty" (did you mean "stability"?)'),
    "validation without a choice": (["study", "mu", "--validation", "lab-ten"], "study mu chooses no setting"),
    "study with an unknown objective": (["study", "stability", "--objectives", "spce"], 'unknown objective "spce"'),
    "theory of an unknown objective": (["theory", "--objectives", "spce"], 'unknown objective "spce" (did you mean "space"?)'),
    "theory of no objective": (["theory", "--objectives", ","], "--objectives is empty"),
    "no such run": (["report", "nothing"], 'no run "nothing"'),
    "fetch of an unknown recipe": (["fetch", "--recipe", "lob", "--to", "reports"], 'unknown recipe "lob" (did you mean "lab"?)'),
    "check of an empty mirror": (["fetch", "--to", "nowhere", "--check"], "--to nowhere: no mirror.json there"),
    "unknown suite to check": (["suites", "check", "lab-tem"], 'unknown suite "lab-tem" (did you mean "lab-ten"?)'),
}


@pytest.fixture
def typed(tmp_path, monkeypatch, capsys):
    """Type a command in this process, in an empty folder: (exit code, lines of stderr that are not progress)."""

    def type_(*arguments):
        from harness.cli import main

        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, "argv", ["harness", *map(str, arguments)])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with pytest.raises(SystemExit) as end:
                main()
        return end.value.code, [x for x in capsys.readouterr().err.splitlines() if not x.startswith("run ")]

    return type_


@pytest.mark.parametrize("case", CASES)
def test_wrong_input_is_one_line_and_writes_nothing(case, tmp_path, typed):
    arguments, expected = CASES[case]
    code, lines = typed(*arguments)
    assert (code, len(lines)) == (1, 1), lines
    assert lines[0].startswith("harness: ")
    assert expected in lines[0]
    assert not (tmp_path / "results").exists() or not any((tmp_path / "results").iterdir())
    assert not (tmp_path / "reports").exists()


DATA = {
    "not json": ('{"prompt": "a", "response": "b"}\n{"prompt"\n', "line 2: not a JSON object in UTF-8"),
    "empty file": ("", "no rows"),
    "wrong columns": ('{"a": "b"}\n', "cannot tell prompt from response among the columns a"),
    "number for text": ('{"prompt": "a", "response": 3}\n', "line 1: response=3 is int, expected text"),
    "row is a list": ('["a"]\n', "a row is list"),
    "only empty pairs": ('{"prompt": "", "response": "x"}\n', "0 pairs to train on"),
    "one pair": ('{"prompt": "a", "response": "x"}\n', "1 pairs to train on and 0 held out"),
    "prompt longer than the context": (
        json.dumps({"prompt": "é" * 3000, "response": "x"}) + "\n",
        "do not fit the context of 2048",
    ),
    "lone surrogate": ('{"prompt": "\\ud800", "response": "x"}\n', "text that cannot be encoded"),
}


@pytest.mark.parametrize("case", DATA)
def test_malformed_data_is_one_line_before_any_training(case, tmp_path, typed):
    text, expected = DATA[case]
    (tmp_path / "pairs.jsonl").write_text(text, encoding="utf-8")
    code, lines = typed("run", "--recipe", SMALL, "--data", "pairs.jsonl")
    assert (code, len(lines)) == (1, 1), lines
    assert expected in lines[0]
    assert not list((tmp_path / "results").rglob("*.safetensors"))


SUITES = {
    "unknown filter": ('filter = "strict"', 'no filter "strict" (it has flexible-extract, strict-match)'),
    "unknown task": ('name = "lab_arithmetik"', 'no such task (did you mean "lab_arithmetic"?)'),
    "unknown metric": ('metric = "exact_math"', 'no metric "exact_math" (did you mean "exact_match"?)'),
    "unknown key": ("shoots = 3", 'unknown key "task.0.shoots"'),
    "shots where the task has none": ("shots = -1", "task.0.shots=-1"),
}


@pytest.mark.parametrize("case", SUITES)
def test_a_wrong_suite_is_one_line(case, tmp_path, typed):
    line, expected = SUITES[case]
    good = (ROOT / "tests" / "data" / "two.toml").read_text()
    key = line.partition(" ")[0]
    text = good.replace("shots = 2", "shots = 2\n" + line)
    if key != "shoots":
        first = next(i for i, row in enumerate(good.splitlines()) if row.startswith(key + " ") and i > 6)
        text = "\n".join(line if i == first else row for i, row in enumerate(good.splitlines()))
    (tmp_path / "bad.toml").write_text(text)
    code, lines = typed("run", "--recipe", SMALL, "--suite", "bad.toml")
    assert (code, len(lines)) == (1, 1), lines
    assert expected in lines[0]


def test_a_broken_objective_file_shows_its_own_error_and_line(tmp_path):
    (tmp_path / "mine.py").write_text("from objectives import Objective\n\n1 / 0\n")
    done = harness("run", "--objectives", "./mine.py", cwd=tmp_path, check=False)
    assert done.returncode == 1
    assert "mine.py: line 3: ZeroDivisionError" in done.stderr


def test_dry_run_prints_the_plan_and_writes_nothing(tmp_path):
    done = harness("run", "--recipe", SMALL, "--dry-run", cwd=tmp_path)
    assert "24 phases to do, 0 to reuse" in done.stdout
    few, many = (100 * detectable_difference([4, 6], share) for share in (0.1, 0.3))
    assert "power: 10 items in 2 tasks" in done.stdout
    assert f"must differ by {few:.1f} points" in done.stdout
    assert f"to {many:.1f} points (30 %)" in done.stdout
    assert "cannot be seen below 3 seeds" in done.stdout
    assert not (tmp_path / "results").exists()


def test_status_shows_the_grid(played):
    done = harness("status", "small", cwd=played)
    assert "space/seed-0" in done.stdout
    assert "gstep" in done.stdout
    assert "none, complete" in done.stdout


def test_trace_follows_one_example_through_every_file(played):
    first = json.loads((played / "results/small/data/train.jsonl").read_text().splitlines()[0])
    done = harness("trace", "small", first["id"][:10], cwd=played)
    for expected in (
        f"data/train.jsonl  {first['id']}",
        "initial/seed-0/generate/k-0/samples.jsonl",
        "spin/seed-0/iteration-1/generate/samples.jsonl",
        "space/seed-0/iteration-0/score/scores.jsonl",
        "space/seed-0/iteration-0/train/steps.jsonl  step",
    ):
        assert expected in done.stdout


def test_a_second_process_on_the_same_run_is_refused(played_copy):
    from filelock import FileLock

    with FileLock(played_copy / "results/small/.lock"):
        done = harness("run", "--recipe", SMALL, cwd=played_copy, check=False)
    assert done.returncode == 1
    assert "another process is working on this run" in done.stderr
