"""Every command that the papers print runs as it stands, in a fresh copy beside the files that they show; what would play, dry.

What a reader has besides (a model, pairs, runs) are stand-ins. A command is run here or stands in NOT_RUN with its reason.
"""

import io
import json
import shutil
import subprocess
from unittest import mock

import pytest

from harness.errors import UserError
from tests.conftest import ROOT, run_cli_in_process
from tests.helpers.fenced_commands import Command, commands_of, files_of, write_files

NAMES = (
    "README.md", "CONTRIBUTING.md", "RELIABILITY.md", "SECURITY.md", "objectives/README.md", "results/README.md",
    "reports/README.md", "harness/lab/README.md", "harness/recipes/README.md",
)  # fmt: skip
PAPERS = [*(ROOT / name for name in NAMES), *sorted((ROOT / "harness" / "docs").glob("*.md"))]
TEXTS = {str(path.relative_to(ROOT)): path.read_text(encoding="utf-8") for path in PAPERS}
COMMANDS = {command.text: command for paper, text in TEXTS.items() for command in commands_of(paper, text)}  # each once
SHOWN_FILES = {name: contents for text in TEXTS.values() for name, contents in files_of(text).items()}

INSTALLS = "makes an environment: a network and minutes; CI does it"
SHELL = "changes the reader's shell"
HUB = "fetches from the hub; tests/sources/test_fetch.py fetches from a stand-in of it"
MIRROR = "plays what fetch brings, on a GPU; tests/sources/test_fetch.py plays from a mirror"
LAB_BUILD = "a quarter of an hour; tests/lab/test_base.py builds a small one"
TRACKERS = "needs the trackers' packages; tests/reporting/test_trackers.py logs to each that is installed"
BENCH = "measures for minutes to hours; tests/test_bench.py has it in small"
NOT_RUN = {
    "source .venv/bin/activate": SHELL,
    "python3 -m venv .venv": INSTALLS,
    "pip install --constraint constraints.txt --editable .": INSTALLS,
    "uv venv --python 3.11": INSTALLS,
    "uv pip install --constraint constraints.txt --editable .": INSTALLS,
    "uv run --no-sync harness run --objectives sft,space,spin --iters 5": "needs uv; the command behind it is run by itself",
    "harness fetch --recipe qwen-small --to ./mirror": HUB,
    "harness fetch --recipe qwen-small --to ./mirror --check": HUB,
    "harness run --recipe qwen-small --mirror ./mirror": MIRROR,
    "harness run --recipe qwen-small --mirror ./mirror --seeds $SLURM_ARRAY_TASK_ID --name seed-$SLURM_ARRAY_TASK_ID": MIRROR,
    "harness run --report-to tensorboard,wandb,trackio,mlflow": TRACKERS,
    "harness report lab --report-to mlflow": TRACKERS,
    "python -m harness.lab.build --seed 0 --out ./lab-again": LAB_BUILD,
    "python -m tests.bench table train-lab": BENCH,
    "python -m tests.bench table --tiny --mirror ./mirror": BENCH,
    "python -m tests.bench growth --repeats 5": BENCH,
    "python -m tests.bench gpu --save": BENCH,
}
EXIT_CODES = {"harness prune lab": 1}  # where it is not 0, as the paper says beside it
HUB_RECIPES = ("qwen-small",)  # played from the hub: their requests are checked, nothing of them is loaded
ENOUGH = "all that was typed has been read"
RUN = [command for text, command in COMMANDS.items() if text not in NOT_RUN]
PLAYED = [command for command in RUN if command.words[:2] in (["harness", "run"], ["harness", "study"])]


def test_commands_are_found_and_what_is_not_run_is_printed_somewhere():
    assert len(COMMANDS) > 50 and len(PLAYED) > 15
    assert NOT_RUN.keys() - COMMANDS.keys() == set(), "printed nowhere any more"
    assert {"mine.py", "my-suite.toml", "my-recipe.toml", "my-tasks/capitals.yaml"} <= SHOWN_FILES.keys()


def test_a_command_of_any_kind_of_block_is_found():
    indented, shell = "    harness status  # all\n    loss = 1\n", "```sh\n# a comment\nnew-tool \\\n  --now\n```\n"
    text = f"Say:\n\n{indented}\n{shell}\n```toml\n# a.toml\nb = 1\n```\n"
    assert [command.text for command in commands_of("x", text)] == ["new-tool    --now", "harness status"]
    assert files_of(text) == {"a.toml": "# a.toml\nb = 1\n"}


@pytest.fixture(scope="module")
def fresh_copy(tmp_path_factory):
    """What a clone holds and these commands read, with a model, pairs and items of the reader's."""
    folder = tmp_path_factory.mktemp("fresh")
    for name in ("objectives", "harness/studies", "results/lab-reference", "reports"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, folder / name)
    shutil.copytree(ROOT / "harness" / "lab" / "base", folder / "my-model")
    pairs = [{"prompt": f"What is {n} and 1?", "response": f"It is {n + 1}."} for n in range(60)]
    items = [{"question": f"The capital number {n} is", "choices": list("ABCD"), "answer": n % 4} for n in range(8)]
    (folder / "my-tasks").mkdir()
    for name, rows in (("pairs.jsonl", pairs), ("my-tasks/capitals.jsonl", items)):
        (folder / name).write_text("".join(json.dumps(row) + "\n" for row in rows))
    shutil.copy(ROOT / "harness" / "studies" / "mu.toml", folder / "my-study.toml")
    return folder


@pytest.fixture
def copy_with_runs(fresh_copy, played, tmp_path):
    """The same, in which the lab has been played, at its smallest: one for each command, since some delete."""
    folder = tmp_path / "clone"
    shutil.copytree(fresh_copy, folder)
    for run in ("lab", "lab-seed-0", "lab-seed-1", "lab-all"):
        shutil.copytree(played / "results" / "small", folder / "results" / run)
    write_files(folder, SHOWN_FILES)
    return folder


def dry(command: Command, folder, stop):
    """The request is in order: the command comes to where `stop` ends it, or to its own end."""
    write_files(folder, SHOWN_FILES)
    flags = [] if "--dry-run" in command.words or command.text == "harness study" else ["--dry-run"]
    hub = mock.patch("harness.language.local_sources.check_hub_items")  # tests/sources/test_unreachable.py has it answer or not
    with hub, mock.patch(stop, side_effect=UserError(ENOUGH)):
        done = run_cli_in_process(*command.words[1:], *flags, cwd=folder, check=False)
    assert done.stderr == f"harness: {ENOUGH}\n" or done.returncode == 0, done.stderr


@pytest.mark.parametrize("command", PLAYED, ids=str)
def test_what_would_play_is_in_order_as_far_as_can_be_told_before_anything_is_loaded(command, fresh_copy):
    dry(command, fresh_copy, "harness.planning.prepare.build_loop")


@pytest.mark.slow
@pytest.mark.parametrize("command", [c for c in PLAYED if not set(HUB_RECIPES) & set(c.words)], ids=str)
def test_what_would_play_loads_its_model_data_and_tasks(command, fresh_copy):
    dry(command, fresh_copy, "harness.language.world.World.measure_throughput")


def slow_where_it_takes_long(command: Command):
    takes_long = (
        command.words[:2] in (["harness", "theory"], ["harness", "merge"]) or command.text == "harness report lab-reference"
    )
    return pytest.param(command, marks=[pytest.mark.slow] if takes_long else [])


@pytest.mark.parametrize("command", [slow_where_it_takes_long(c) for c in RUN if c not in PLAYED], ids=str)
def test_what_does_not_play_runs_as_it_stands(command, copy_with_runs, monkeypatch):
    """make without its recipes' commands."""
    words = command.words
    if "|" in words:
        before = words[: words.index("|")]
        typed = subprocess.run(before, cwd=copy_with_runs, check=True, capture_output=True, text=True, timeout=60).stdout
        monkeypatch.setattr("sys.stdin", io.StringIO(typed))
        words = words[len(before) + 1 :]
    if words[0] == "harness":
        done = run_cli_in_process(*words[1:], cwd=copy_with_runs, check=False)
        assert done.returncode == EXIT_CODES.get(command.text, 0), done.stdout + done.stderr
    else:
        words = ["make", "--dry-run", *words[1:]] if words[0] == "make" else words
        subprocess.run(words, cwd=copy_with_runs, check=True, capture_output=True, timeout=60)
