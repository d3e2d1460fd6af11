"""The shell's completion, asked as the shell asks: by environment variables, before anything is parsed."""

import contextlib
import io
import os
import shlex
import subprocess
import sys

import pytest

from harness import cli
from harness.discovery.variants import list_objectives
from harness.settings.listing import SettingDescription, describe_settings
from harness.settings.paths import PACKAGE
from tests.conftest import ROOT, run_cli

HEAVY = ("torch", "transformers", "lm_eval", "datasets", "peft", "pandas", "matplotlib", "scipy", "numpy")


def names_in(kind):
    return sorted(path.stem for path in (PACKAGE / kind).glob("*.toml"))


def complete(line, monkeypatch):
    """The words that bash is given for the last word of the line; an empty one behind a space."""
    words = shlex.split(line)
    monkeypatch.setenv("_HARNESS_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", line)
    monkeypatch.setenv("COMP_CWORD", str(len(words) - (not line.endswith(" "))))
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        assert cli._run_app() == 0
    return out.getvalue().split()


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with runs in two places."""
    for place in ("results/alpha", "results/beta", "elsewhere/gamma"):
        (tmp_path / place).mkdir(parents=True)
        (tmp_path / place / "run.json").write_text("{}")
    (tmp_path / "results" / "no-run").mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_names_of_every_kind_are_completed(folder, monkeypatch):
    objectives = list(list_objectives())
    assert complete("harness run --recipe ", monkeypatch) == names_in("recipes")
    assert complete("harness recipes show lab-", monkeypatch) == [n for n in names_in("recipes") if n.startswith("lab-")]
    assert complete("harness run --suite space", monkeypatch) == ["space-ten"]
    assert complete("harness suites show ", monkeypatch) == names_in("suites")
    assert complete("harness study ", monkeypatch) == names_in("studies")
    assert complete("harness objectives show ", monkeypatch) == objectives
    assert complete("harness run --objectives t", monkeypatch) == ["tspin"]
    assert complete("harness sta", monkeypatch) == ["status"]
    assert "--objectives" in complete("harness run --obj", monkeypatch)


def test_objectives_are_completed_behind_a_comma_and_none_twice(folder, monkeypatch):
    others = [name for name in list_objectives() if name != "space"]
    assert complete("harness run --objectives space,", monkeypatch) == [f"space,{name}" for name in others]
    assert complete("harness study mu --objectives space,tspin,sp", monkeypatch) == ["space,tspin,spin"]


def test_keys_of_settings_are_completed(folder, monkeypatch):
    keys = [line.key for line in describe_settings() if isinstance(line, SettingDescription) and line.key != "recipe"]
    assert complete("harness run --set ", monkeypatch) == [f"{key}=" for key in keys]
    assert complete("harness run --set training.sched", monkeypatch) == ["training.schedule="]
    assert complete("harness settings training.sched", monkeypatch) == ["training.schedule"]


def test_runs_are_completed_where_the_results_are(folder, monkeypatch):
    assert complete("harness status ", monkeypatch) == ["alpha", "beta"]
    assert complete("harness report --results elsewhere ", monkeypatch) == ["gamma"]
    monkeypatch.setenv("HARNESS_RESULTS", "elsewhere")
    assert complete("harness trace ", monkeypatch) == ["gamma"]


def test_nothing_is_said_into_the_line_that_is_being_typed(folder, monkeypatch, capfd):
    (folder / "harness").mkdir()
    (folder / "harness" / "config.toml").write_text("not TOML")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(folder))
    assert complete("harness status ", monkeypatch) == ["alpha", "beta"]
    assert complete("harness run --recipe labb", monkeypatch) == []
    assert capfd.readouterr() == ("", "")


def test_zsh_and_fish_are_answered_too(folder):
    zsh = run_cli(cwd=folder, _HARNESS_COMPLETE="complete_zsh", _TYPER_COMPLETE_ARGS="harness run --objectives space,sp")
    assert zsh.stdout.split('"')[1::2] == ["space,spin"]
    asked = {"_HARNESS_COMPLETE": "complete_fish", "_TYPER_COMPLETE_ARGS": "harness status a"}
    assert run_cli(cwd=folder, _TYPER_COMPLETE_FISH_ACTION="get-args", **asked).stdout.split() == ["alpha"]
    assert run_cli(cwd=folder, _TYPER_COMPLETE_FISH_ACTION="is-args", **asked).returncode == 0
    none = {**asked, "_TYPER_COMPLETE_ARGS": "harness status zz"}
    done = run_cli(cwd=folder, check=False, _TYPER_COMPLETE_FISH_ACTION="is-args", **none)
    assert (done.returncode, done.stdout, done.stderr) == (1, "", "")


def test_the_script_for_a_shell_is_printed_and_installed_for_the_command_harness(tmp_path):
    """`_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION` lets a test name the shell that typer otherwise finds."""
    named = {"_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1", "HOME": str(tmp_path)}
    for shell, expected in (("bash", "complete -o default"), ("zsh", "#compdef harness"), ("fish", "complete --command harness")):
        done = run_cli("--show-completion", shell, cwd=tmp_path, **named)
        assert expected in done.stdout and "_HARNESS_COMPLETE=complete_" in done.stdout and done.stderr == ""
        run_cli("--install-completion", shell, cwd=tmp_path, **named)
    assert "_HARNESS_COMPLETE" in (tmp_path / ".config" / "fish" / "completions" / "harness.fish").read_text()
    assert "harness.sh" in (tmp_path / ".bashrc").read_text()


@pytest.mark.parametrize("line", ["harness run --objectives s", "harness run --set tr", "harness status "])
def test_a_key_press_waits_for_no_heavy_library(line, tmp_path):
    code = f"""
import sys
from harness.cli import main
sys.argv = ["harness"]
try: main()
except SystemExit as e: assert not e.code, e.code
assert not set({HEAVY!r}) & set(sys.modules)
"""
    environment = {
        **os.environ, "_HARNESS_COMPLETE": "complete_bash", "COMP_WORDS": line, "PYTHONPATH": str(ROOT),
        "COMP_CWORD": str(len(line.split()) - (not line.endswith(" "))),
    }  # fmt: skip
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, check=True, capture_output=True, timeout=60)
