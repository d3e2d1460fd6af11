"""The command line as a user meets it: quick help without torch, what it prints (wrong input: test_bad_input.py)."""

import json
import resource
import subprocess
import sys

import pytest

from harness.store.lease import folder_lock
from tests.conftest import SMALL_RECIPE, run_cli_in_process
from tests.helpers.damage import refused

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
    with folder_lock(played_copy / "results/small"):
        line = refused(played_copy, "run", "--recipe", SMALL_RECIPE)
    assert "is working on this run; wait for it, or use --name OTHER" in line
