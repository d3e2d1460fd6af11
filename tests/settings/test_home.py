"""`~` at the beginning of a path is the home folder, wherever the path is typed; where there is none, one line says so."""

import os
import pwd
from pathlib import Path

import pytest

from harness.commands.options import parse_path
from harness.discovery.variants import find_objective, parse_variants
from harness.errors import UserError
from harness.settings.paths import expand_user, resolve_path
from harness.settings.toml_files import find_toml
from harness.sources.mirror import resolve_model
from tests.conftest import run_cli_in_process
from tests.helpers.broken import OBJECTIVE, RECIPE
from tests.helpers.damage import refused


@pytest.fixture
def home(tmp_path, monkeypatch):
    (tmp_path / "home").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def test_the_home_folder_is_opened_at_the_beginning_alone(home, tmp_path):
    assert expand_user("~") == home and expand_user("~/a/b") == home / "a" / "b"
    for text in ("a/~", "./~", "./~/a", "a~b", "/~"):
        assert expand_user(text) == Path(text)
    assert resolve_path("~/x", tmp_path) == home / "x" and parse_path("~/runs") == home / "runs"
    me = pwd.getpwuid(os.getuid())
    assert expand_user(f"~{me.pw_name}/x") == Path(me.pw_dir, "x")


@pytest.mark.parametrize("home", [None, ""])
def test_without_a_home_in_the_environment_the_list_of_users_has_it(monkeypatch, home):
    monkeypatch.setenv("HOME", home or "")
    if home is None:
        monkeypatch.delenv("HOME")
    assert expand_user("~/x") == Path(pwd.getpwuid(os.getuid()).pw_dir, "x")
    monkeypatch.setattr(pwd, "getpwuid", lambda uid: {}[uid])
    with pytest.raises(UserError, match=r"^~/x: HOME is not set.* write the path in full"):
        expand_user("~/x")
    assert expand_user("./~/x") == Path("./~/x")


@pytest.mark.parametrize("text", ["~nobody-of-this-name", "~nobody-of-this-name/x", "~\x7f/x"])
def test_an_unknown_user_is_one_line(text):
    for find in (expand_user, lambda text: find_objective(f"{text}/mine.py")):
        with pytest.raises(UserError, match="there is no user"):
            find(text)
    with pytest.raises(UserError, match="NUL"):
        expand_user("a\0b")


def test_recipes_objectives_models_and_runs_are_found_there(home, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (home / "r.toml").write_text(RECIPE)
    (home / "mine.py").write_text(OBJECTIVE)
    (home / "m").mkdir()
    assert find_toml("recipes", "~/r.toml") == home / "r.toml"
    assert [v.path for v in parse_variants("sft,~/mine.py")][1] == home / "mine.py"
    assert resolve_model("~/m", None) == str(home / "m")
    for option in ("--model", "--mirror"):
        command = ("run", option, "~/nowhere", "--results=~/runs", "--reports=~/reports")
        assert "no such f" in refused(tmp_path, *command, after_progress=True)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["home"]  # and no folder called ~


def test_a_run_is_named_by_its_folder_in_the_home(home, tmp_path, played):
    (home / "runs").symlink_to(played / "results")
    said = run_cli_in_process("status", "~/runs/small", cwd=tmp_path).stdout
    assert "space/seed-0" in said and "gstep" in said and "none, complete" in said
