"""What is played leaves `git status` empty, whatever its name; a run that is to be kept enters with its small files alone."""

import shutil
import subprocess

import pytest

from tests.conftest import ROOT

IGNORING = (".gitignore", "results/.gitignore", "reports/.gitignore")


@pytest.fixture
def clone(tmp_path):
    """A repository that ignores what this one does."""
    for name in IGNORING:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    git(tmp_path, "init", "--quiet")
    git(tmp_path, "add", "--all")
    git(tmp_path, "-c", "user.name=a", "-c", "user.email=a@example.org", "commit", "--quiet", "--message", "begin")
    return tmp_path


def git(folder, *arguments):
    return subprocess.run(["git", *arguments], cwd=folder, check=True, capture_output=True, text=True).stdout.splitlines()


def play(played, clone, name):
    """As if `name` had been played in the clone."""
    shutil.copytree(played / "results" / "small", clone / "results" / name)
    shutil.copytree(played / "reports" / "small", clone / "reports" / name)
    for suffix in (".pdf", ".html"):
        shutil.copy(played / "reports" / f"small{suffix}", clone / "reports" / f"{name}{suffix}")


@pytest.mark.parametrize("name", ["lab", "smoke", "study-mu", "study-mine"])
def test_a_run_leaves_git_status_empty(name, played, clone):
    play(played, clone, name)
    for file in (".venv/installed", ".site/index.html", "harness/__pycache__/cli.pyc", "selfplay_harness.egg-info/PKG-INFO"):
        (clone / file).parent.mkdir(parents=True, exist_ok=True)
        (clone / file).touch()
    assert git(clone, "status", "--porcelain") == []


def test_a_run_that_is_kept_enters_with_its_small_files_alone(played, clone):
    play(played, clone, "mine-reference")
    for file, lines in (("results", "!/mine-reference/\n"), ("reports", "!/mine-reference.pdf\n!/mine-reference/\n")):
        path = clone / file / ".gitignore"  # where CONTRIBUTING.md says, "Keep a run"
        path.write_text(path.read_text().replace("!/lab-reference/\n", f"!/lab-reference/\n{lines}"))
    git(clone, "add", "results/mine-reference", "reports/mine-reference.pdf", "reports/mine-reference")
    kept = set(git(clone, "diff", "--cached", "--name-only"))
    run = {name.removeprefix("results/mine-reference/") for name in kept if name.startswith("results/")}
    assert {"run.json", "scores.csv", "facts/space/seed-0.jsonl.xz", "tables/leaderboard.csv"} <= run
    assert {name.split("/")[0] for name in run} <= {
        "run.json", "failed.json", "scores.csv", "training.csv", "dynamics.csv", "facts", "objectives", "tables", "plots",
    }  # fmt: skip
    assert "reports/mine-reference.pdf" in kept


def test_of_a_study_that_ships_the_small_files_alone_are_kept(played, clone):
    play(played, clone, "reference/study-mu")
    (clone / "reports/reference/index.html").touch()
    kept = {line[3:] for line in git(clone, "status", "--porcelain", "--untracked-files=all")}
    run = {name.removeprefix("results/reference/study-mu/") for name in kept if name.startswith("results/")}
    assert {"run.json", "scores.csv", "facts/space/seed-0.jsonl.xz", "plots/stability_curves.png"} <= run
    assert {name.split("/")[0] for name in run} <= {
        "run.json", "failed.json", "scores.csv", "dynamics.csv", "facts", "objectives", "tables", "plots",
    }  # fmt: skip
    assert [name for name in run if name.startswith("plots/")] == ["plots/stability_curves.png"]
    reports = {name for name in kept if name.startswith("reports/")}
    assert {name.rpartition(".")[2] for name in reports} == {"pdf", "html", "csv", "json", "md", "tex", "bib"}
    assert "reports/reference/index.html" not in reports


def test_what_is_committed_here_is_ignored_nowhere():
    """So that a rule does not hide what a change of it should show."""
    if not (ROOT / ".git").exists():
        pytest.skip("not a checkout")
    assert git(ROOT, "ls-files", "--ignored", "--cached", "--exclude-standard") == []
