"""The commands that a run ends with are those one would have to type."""

import json

import pytest
import typer

from harness.cli import app
from harness.commands.next_steps import next_commands

SUITES = {"suite": "two", "suites": {"two": {"version": "1"}}}


def record(seeds, iterations):
    return {"seeds": seeds, "iterations": iterations, **SUITES}


@pytest.mark.parametrize(
    ("typed", "seeds", "iterations", "more_seeds", "more_iterations"),
    [
        ("run", [0], 1, "run --seeds 0,1,2", "run --iters 5"),
        (
            "run --objectives sft --iters 1",
            [0],
            1,
            "run --objectives sft --iters 1 --seeds 0,1,2",
            "run --objectives sft --iters 5",
        ),
        ("run --seeds=1 --iters=3", [1], 3, "run --iters=3 --seeds 1,0,2", "run --seeds=1 --iters 6"),
        ("run --seeds 0,1,2", [0, 1, 2], 4, "run --seeds 0,1,2,3,4", "run --seeds 0,1,2 --iters 8"),
        ("study mu --jobs 2", [0], 2, "study mu --jobs 2 --seeds 0,1,2", "study mu --jobs 2 --iters 4"),
    ],
)
def test_the_typed_command_with_more(tmp_path, typed, seeds, iterations, more_seeds, more_iterations):
    commands = next_commands(typed.split(), tmp_path / "mine", record(seeds, iterations))
    assert [" ".join(commands[name]) for name in ("more seeds", "more iterations")] == [f"harness {more_seeds}", f"harness {more_iterations}"]  # fmt: skip # noqa: E501


def test_another_programs_arguments_are_no_command(tmp_path):
    assert next_commands(["-c"], tmp_path, record([0], 1)) == next_commands([], tmp_path, record([0], 1)) == {}


def test_a_run_on_the_same_suite_is_named_to_compare_with(tmp_path):
    other_suite = {"suite": "ten", "suites": {"ten": {"version": "1"}}}
    for name, content in (("other", SUITES), ("mine", SUITES), ("elsewhere", other_suite), ("damaged", None)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "run.json").write_text("{" if content is None else json.dumps(content))
    typed = ["run", "--results", str(tmp_path)]
    assert next_commands(typed, tmp_path / "mine", record([0], 1))["compare"] == [
        "harness", "compare", "mine", "other", "--results", str(tmp_path)
    ]  # fmt: skip


def test_every_command_is_one_of_this_program(tmp_path):
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "run.json").write_text(json.dumps(SUITES))
    known = typer.main.get_command(app).commands
    for words in next_commands(["run"], tmp_path / "mine", record([0], 1)).values():
        context = known[words[1]].make_context(words[1], words[2:])
        assert context.params
