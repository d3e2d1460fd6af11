"""The command line as a user meets it: quick help without torch, what it prints (wrong input: test_bad_input.py)."""

import json
import resource
import subprocess
import sys

import pytest

from harness.analysis.stats import minimum_detectable_effect
from tests.conftest import SMALL_RECIPE, run_cli_in_process

HEAVY = ("torch", "transformers", "lm_eval", "datasets", "peft")


def harness_in_python(arguments, cwd, unwanted=HEAVY):
    """The command in a process of its own, which fails where it has imported an unwanted library in the end."""
    code = f"""
import sys
sys.argv = ['harness', *{arguments!r}]
from harness.cli import main
try: main()
except SystemExit as e: assert not e.code, e.code
found = {set(unwanted)!r} & set(sys.modules)
assert not found, found
"""
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], cwd=cwd, check=True, capture_output=True, timeout=300)


@pytest.mark.parametrize("command", ["--help", "run --help", "objectives", "suites show lab-ten", "status", "study"])
def test_light_commands_do_not_import_torch(command, tmp_path):
    harness_in_python(command.split(), tmp_path)


def test_the_report_is_written_without_torch(played_copy):
    harness_in_python(["report", "small"], played_copy, unwanted=("torch", "lm_eval"))


def test_help_takes_less_than_half_a_second_of_processor_time(tmp_path):
    """Processor time of the child, best of three: what other programs do on the machine does not count."""
    spent = []
    for _ in range(3):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        harness_in_python(["--help"], tmp_path)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        spent.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    assert min(spent) < 0.5, spent


def test_dry_run_prints_the_plan_and_writes_nothing(tmp_path):
    done = run_cli_in_process("run", "--recipe", SMALL_RECIPE, "--dry-run", cwd=tmp_path)
    assert "24 phases to do, 0 to reuse" in done.stdout
    few, many = (100 * minimum_detectable_effect([4, 6], share) for share in (0.1, 0.3))
    assert "power: 10 items in 2 tasks" in done.stdout
    assert f"must differ by {few:.1f} points" in done.stdout
    assert f"to {many:.1f} points (30 %)" in done.stdout
    assert "cannot be seen below 3 seeds" in done.stdout
    assert not (tmp_path / "results").exists()


def test_status_shows_the_grid(played):
    done = run_cli_in_process("status", "small", cwd=played)
    assert "space/seed-0" in done.stdout
    assert "gstep" in done.stdout
    assert "none, complete" in done.stdout


def test_trace_follows_one_example_through_every_file(played):
    first = json.loads((played / "results/small/data/train.jsonl").read_text().splitlines()[0])
    done = run_cli_in_process("trace", "small", first["id"][:10], cwd=played)
    for expected in (
        f"data/train.jsonl  {first['id']}",
        "initial/seed-0/generate/k-0/samples.jsonl",
        "spin/seed-0/iteration-1/generate/samples.jsonl",
        "space/seed-0/iteration-0/score/scores.jsonl",
        "space/seed-0/iteration-0/train/steps.jsonl  step",
    ):
        assert expected in done.stdout


def test_a_second_process_on_the_same_run_is_refused(played_copy):
    from harness.store.lease import folder_lock

    with folder_lock(played_copy / "results/small"):
        done = run_cli_in_process("run", "--recipe", SMALL_RECIPE, cwd=played_copy, check=False)
    assert done.returncode == 1
    assert "is working on this run; wait for it, or use --name OTHER" in done.stderr
