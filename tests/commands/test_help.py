"""What the command line says about itself: help on 80 columns, versions, exit codes, the language of variants."""

import importlib.metadata
import re
import signal
import subprocess
import sys

import pytest
import typer

from harness import cli
from harness.commands import help as help_module
from harness.commands.help import EXIT_CODES, VARIANTS_HELP
from harness.discovery.variants import parse_variants
from harness.loop.study import load_study
from harness.settings.paths import PACKAGE
from harness.store.provenance import NUMBERS_VERSION
from tests.conftest import run_cli_in_process

COMMANDS = ["run", "study", "status", "fetch", "recipes", "recipes show", "objectives", "settings", "new-objective"]


@pytest.fixture(autouse=True)
def eighty_columns(monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")


def test_without_arguments_help_is_printed_and_nothing_has_failed(tmp_path):
    said = run_cli_in_process("--help", cwd=tmp_path).stdout
    assert said.startswith("Usage: harness [OPTIONS] COMMAND")
    done = run_cli_in_process(cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, said, "")


@pytest.mark.parametrize("command", COMMANDS)
def test_h_is_help_everywhere_and_80_columns_are_enough(command, tmp_path):
    long, short = (run_cli_in_process(*command.split(), option, cwd=tmp_path).stdout for option in ("--help", "-h"))
    assert long == short and long.startswith(f"Usage: harness {command} ")
    assert max(map(len, long.splitlines())) <= 80


def test_no_summary_of_a_command_is_cut(tmp_path):
    listed = run_cli_in_process("--help", cwd=tmp_path).stdout.partition("Commands:\n")[2].partition("\n\n")[0]
    joined = " ".join(listed.split())
    assert "..." not in listed and max(map(len, listed.splitlines())) <= 80
    for name, command in typer.main.get_command(cli.app).commands.items():
        assert f"{name} {help_module.first_sentence(command.help)}" in joined


def test_the_list_of_studies_fits_into_80_columns_word_for_word(tmp_path):
    said = run_cli_in_process("study", cwd=tmp_path).stdout
    assert max(map(len, said.splitlines())) <= 80
    for path in (PACKAGE / "studies").glob("*.toml"):
        study = load_study(path.stem)
        assert f"{study.name} {study.title} {study.question}" in " ".join(said.split())


def test_options_stand_in_groups_with_their_defaults(tmp_path):
    said = run_cli_in_process("run", "--help", cwd=tmp_path).stdout
    groups = re.findall(r"^(\S.*):\n  -", said, re.MULTILINE)
    assert groups[0] == "What is run" and len(groups) >= 5 and groups[-1] == "Other options"
    joined = " ".join(said.split())
    for expected in ("[default: lab]", "[default: the recipe's]", "[env var: HARNESS_RESULTS; default: results]", "1<=x<=1024]"):
        assert expected in joined
    assert "(the recipe's)" not in joined


def test_version_names_what_is_installed_and_the_numbers(tmp_path):
    lines = dict(line.split(maxsplit=1) for line in run_cli_in_process("--version", cwd=tmp_path).stdout.splitlines())
    assert f"version {NUMBERS_VERSION} of its numbers" in lines["harness"]
    for name in ("torch", "transformers", "peft", "lm-eval", "datasets"):
        assert lines[name] == importlib.metadata.version(name)
    assert {"python", "platform"} <= lines.keys()


SIGNALLED = """
import os, sys
import harness.commands.listings as listings
from harness.cli import main
number = int(sys.argv.pop())
listings.objectives_list_command = lambda *_: os.kill(os.getpid(), number)
main()
"""


def test_exit_codes_are_in_the_help_and_are_what_the_program_ends_with(tmp_path):
    """2, some trials failed, is tested where trials fail: tests/test_end_to_end.py."""
    said = run_cli_in_process("--help", cwd=tmp_path).stdout.partition("Exit codes:\n")[2]
    assert [line.split()[0] for line in said.splitlines()] == list(EXIT_CODES) == ["0", "1", "2", "130", "143"]
    assert run_cli_in_process("objectives", cwd=tmp_path, check=False).returncode == 0
    assert run_cli_in_process("run", "--objectives", "spn", cwd=tmp_path, check=False).returncode == 1
    for code, number in ((130, signal.SIGINT), (143, signal.SIGTERM)):  # in processes of their own, which a signal ends
        command = [sys.executable, "-c", SIGNALLED, "objectives", str(int(number))]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == code and done.stderr.count("\n") == 1, done.stderr


def test_every_example_of_a_variant_is_one(tmp_path, monkeypatch):
    """As it is typed in a shell; what gives it a label is read, too."""
    monkeypatch.chdir(tmp_path)
    run_cli_in_process("new-objective", "mine", cwd=tmp_path)
    examples = re.findall(r"^  (?:'([^']+)'|(\S+)) {2,}\S", VARIANTS_HELP, re.MULTILINE)
    texts = [quoted or plain for quoted, plain in examples]
    assert len(texts) >= 5
    schedule = parse_variants(next(text for text in texts if "|" in text))[0]
    assert schedule.params == {"beta": [0.1, 0.1, 5.0]}
    for text in texts:
        assert len(parse_variants(text)) == re.sub('".*"', "", text).count(",") + 1
    said = [" ".join(run_cli_in_process(*words, "-h", cwd=tmp_path).stdout.split()) for words in (["run"], ["objectives"])]
    assert all(" ".join(VARIANTS_HELP.split()) in text for text in said)
