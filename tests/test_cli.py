"""The command line as a user meets it: quick help without torch, what it prints (wrong input: test_bad_input.py)."""

import json
import os
import resource
import shutil
import subprocess
import sys

import pytest

from harness.settings.paths import PACKAGE
from harness.store.lease import folder_lock
from tests.conftest import SMALL_RECIPE, run_cli_in_process
from tests.helpers.damage import refused

HEAVY = ("torch", "transformers", "lm_eval", "datasets", "peft", "pandas", "matplotlib", "scipy", "numpy")


WITHOUT_CONFIG = ("--help", "run --help", "--version", "settings")  # they need not wait for its classes either


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


@pytest.mark.parametrize(
    "command",
    ["--help", "run --help", "--version", "objectives", "suites show lab-ten", "recipes show lab", "settings", "status", "study"],
)
def test_light_commands_load_no_heavy_library(command, tmp_path):
    harness_in_python(
        command.split(),
        tmp_path,
        unwanted=(
            *HEAVY,
            *(["harness.config"] if command in WITHOUT_CONFIG else []),
            *(["pydantic"] if "--help" in command else []),
        ),
    )


# A mistake in a request -> a part of the line that is said.
MISTAKES = {
    "run --recipe nope": "unknown recipe",
    "run --recipe ./bad.toml": "bad.toml: line 3: unknown setting",
    "run --recipe ./section.toml": "section.toml: line 3: [objective.spin] spin: unknown parameter",
    "run --suite nope": "unknown suite",
    "run --suite ./suite.toml": 'suite.toml: has no "title"',
    "run --nope": "no such option",
    "run --jobs 0": "--jobs",
    "run --name .x": "--name .x",
    "run --mirror nope": "--mirror nope: no such folder",
    "run --set training.learning_rat=1": "unknown setting",
    "run --set training.lr=fast": "--set training.lr",
    "run --set generation.backend=nope": "unknown backend",
    "run --set world=nope": "unknown world",
    "run --set data.distribution=nope": "unknown distribution",
    "run --set model.adapter=./nope": "model.adapter=./nope: no such folder",
    "run --set objective.spin.bet=1": "--set objective.spin.bet: [objective.spin] spin: unknown parameter",
    "run --set objective.spn.beta=1": "unknown objective",
    "run --model ./nope": "model.path=./nope: no such folder",
    "run --data ./nope.jsonl": "data ./nope.jsonl: no such file",
    "run --objectives spn": 'unknown objective "spn" (did you mean "spin"?)',
    "run --objectives ./nope.py": "no such file",
    "run --objectives spin:bet=1": 'spin-bet1: unknown parameter "bet" (did you mean "beta"?)',
    "run --objectives spin:beta=-1": "spin-beta-1: beta=-1.0 is not above 0; see: harness objectives show spin",
    "run --objectives spin:beta=0.1|0": "beta=0.0 is not above 0",
    "run --objectives spin:form=nope": "is not one of logistic, hinge, exponential",
    "run --objectives spin:history=0.5": "history=0.5 is not of type int",
    "run --objectives spin:training.lrr=1": 'unknown setting "lrr"',
    "run --name other --set training.lr=0.5": "was made with training.lr=0.0003, now asked for 0.5",
    "study nope": "unknown study",
    "study stabilty": 'unknown study "stabilty" (did you mean "stability"?)',
    "run --recipe labb": 'unknown recipe "labb" (did you mean "lab"?)',
    "run --suite lab-tenn": 'unknown suite "lab-tenn" (did you mean "lab-ten"?)',
    "run --set trainin.lr=1": 'unknown setting "trainin" (did you mean "training"?)',
    "run --set training.optimizer=adam": "training.optimizer='adam': input should be 'rmsprop' or 'adamw'",
    "run --objectivs spin": "no such option: --objectivs",
    "recipes show labb": 'recipes show: unknown recipe "labb" (did you mean "lab"?)',
    "settings lrr": 'no setting has "lrr" in its key or its meaning (did you mean "lr"?)',
    "statu": "no such command 'statu'",
    "study mu --objectives spn": "unknown objective",
    "report nope": 'no run "nope"',
    "status nope": 'no run "nope"',
    "push other spn": 'no objective "spn"',
    "merge joined nope": 'no run "nope"',
    "theory --objectives spin:bet=1": "unknown parameter",
    "objectives check spn": "unknown objective",
    "suites check nope": "unknown suite",
}  # fmt: skip


@pytest.fixture(scope="module")
def answers_to_mistakes(tmp_path_factory):
    """What one process says to every mistake, and the heavy libraries that it has loaded by then."""
    folder = tmp_path_factory.mktemp("mistakes")
    (folder / "bad.toml").write_text('objectives = "spin"\n[training]\nlearning_rat = 1\n')
    (folder / "section.toml").write_text('objectives = "spin"\n[objective.spin]\nbet = 1\n')
    (folder / "suite.toml").write_text('version = "1"\n')
    shutil.copytree(PACKAGE.parent / "results" / "lab-reference", folder / "results" / "other")
    code = f"""
import contextlib, io, json, sys
from harness.cli import main
answers = {{}}
for command in {list(MISTAKES)!r}:
    sys.argv = ["harness", *command.split()]
    said = io.StringIO()
    with contextlib.redirect_stderr(said):
        try: main()
        except SystemExit as e: code = e.code
    answers[command] = code, said.getvalue(), sorted(set({HEAVY!r}) & set(sys.modules))
print(json.dumps(answers))
"""
    environment = {**os.environ, "HARNESS_MIRROR": ""}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], cwd=folder, check=True, capture_output=True, text=True, env=environment,
        timeout=300,
    )  # fmt: skip
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("command", MISTAKES)
def test_a_mistake_in_a_request_is_found_before_a_heavy_library_is_loaded(command, answers_to_mistakes):
    code, said, loaded = answers_to_mistakes[command]
    assert (code, loaded) == (1, []), (code, said, loaded)
    assert MISTAKES[command] in said and said.count("\n") == 1


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


@pytest.mark.parametrize(
    "command", ["run --objectives spn", "run --recipe labb", "run --set training.lrr=1", "run --set training.lr=x"]
)
def test_a_mistake_takes_less_than_half_a_second_of_processor_time(command, tmp_path):
    """Best of three. A machine on which Python with typer, pydantic and rich alone takes above a tenth of a second, busy or
    without bytecode kept, may take five times that; torch alone takes ten times that."""
    program = "import sys; from harness.cli import main; sys.argv = ['harness', *sys.argv[1:]]; main()"

    def seconds(code, *arguments):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, "-c", code, *arguments], cwd=tmp_path, capture_output=True, timeout=300, check=False)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    libraries = min(seconds("import typer, pydantic, rich.console; typer.Typer") for _ in range(3))
    assert min(seconds(program, *command.split()) for _ in range(3)) < max(0.5, 5 * libraries)


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
