"""The first file of an objective: it passes the check as written, is never written over, and says what to type next."""

import re

import pytest

from harness.discovery.variants import list_objectives, load_objective
from tests.conftest import run_cli_in_process


def new_objective(name, folder, check=True):
    return run_cli_in_process("new-objective", name, cwd=folder, check=check)


def test_it_passes_the_check_as_it_is_written_and_says_what_to_type(tmp_path):
    done = new_objective("my_loss", tmp_path)
    typed = re.findall(r"^  harness (objectives check .*)$", done.stdout, re.MULTILINE)
    assert typed == ["objectives check ./my_loss.py"]
    said = run_cli_in_process(*typed[0].split(), cwd=tmp_path).stdout
    assert said.count("\npass  ") > 20 and "FAIL" not in said and "warning" not in said
    objective = load_objective(tmp_path / "my_loss.py")
    assert objective.__name__ == "MyLoss" and "emplate" not in (tmp_path / "my_loss.py").read_text()


def test_nothing_is_written_over(tmp_path):
    (tmp_path / "mine.py").write_text("my work")
    done = new_objective("mine", tmp_path, check=False)
    assert done.returncode == 1 and "mine.py exists and is not overwritten" in done.stderr
    assert (tmp_path / "mine.py").read_text() == "my work"


@pytest.mark.parametrize("name", ["spin", "2mine", "a-b", "", "initial", "nowhere/mine"])
def test_a_name_that_no_objective_can_have_is_refused(name, tmp_path):
    done = new_objective(name, tmp_path, check=False)
    assert done.returncode == 1 and done.stderr.startswith(f"harness: new-objective {name}") and done.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["needs", "none", "objective", "batch", "space2"])
def test_a_name_that_the_file_uses_itself_gives_an_objective_too(name, tmp_path):
    new_objective(name, tmp_path)
    assert load_objective(tmp_path / f"{name}.py")().needs.synthetic == 1


def test_the_template_is_no_objective_of_the_program():
    assert not any("template" in name for name in list_objectives())
