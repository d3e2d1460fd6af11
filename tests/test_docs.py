"""The papers are current: generated blocks, commands, tree, walks, every link and every test that they name; the site builds."""

import re
import subprocess
import sys

import pytest

from harness import __version__
from harness.cli import app
from harness.commands.reference import command_reference
from harness.reporting.generated_docs import objective_index, objective_table, replace_block
from tests.conftest import ROOT
from tests.helpers.worked_example import PAGE, worked_example

CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
TREE = CONTRIBUTING.partition("```tree\n")[2].partition("```")[0]
PAPERS = [*ROOT.glob("*.md"), *(ROOT / "harness" / "docs").glob("*.md"), *ROOT.glob("*/README.md")]


def test_the_objective_index_is_current():
    text = (ROOT / "objectives" / "README.md").read_text()
    assert replace_block(text, "objectives", objective_index()) == text, "run: python -m harness.reporting.generated_docs"


def command_names():
    groups = [group.typer_instance.info.name for group in app.registered_groups]
    return [command.name or command.callback.__name__ for command in app.registered_commands] + groups


def test_the_reference_of_the_commands_is_current_and_holds_every_command_with_its_options():
    reference = (ROOT / "harness" / "docs" / "commands.md").read_text()
    assert command_reference(app) == reference, "run: python -m harness.reporting.generated_docs"
    assert len(command_names()) > 10
    assert [n for n in command_names() if f"## `harness {n}`" not in reference] == []
    assert "- `--iters N`: Iterations to train; more than before extends the run. [default: the recipe's]" in reference
    assert "- `--results PATH`: Folder that holds the run folders. [env var: HARNESS_RESULTS; default: results]" in reference


def test_the_readme_is_a_page_and_its_table_of_objectives_is_current():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert replace_block(text, "objective table", objective_table()) == text, "run: python -m harness.reporting.generated_docs"
    assert len(text.splitlines()) < 120


def test_the_worked_example_is_what_the_objectives_give():
    text = PAGE.read_text(encoding="utf-8")
    assert replace_block(text, "worked example", worked_example()) == text, "run: python -m tests.helpers.worked_example"


def test_the_version_is_one():
    assert re.findall(r"^version: (.*)$", (ROOT / "CITATION.cff").read_text(), re.MULTILINE) == [__version__]
    assert re.findall(r"^## (.*)$", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)[0] == __version__


def test_the_site_builds_and_every_reference_in_it_leads_somewhere(tmp_path):
    pytest.importorskip("myst_parser", reason="needs the extra docs")
    build = [sys.executable, "-m", "sphinx", "--fail-on-warning", "--keep-going", "--quiet", "--conf-dir", "harness/docs"]
    done = subprocess.run([*build, "--doctree-dir", tmp_path / "doctrees", ".", tmp_path / "site"], cwd=ROOT, capture_output=True, text=True, timeout=600, check=False)  # fmt: skip # noqa: E501
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "site" / "harness" / "docs" / "tutorial.html").is_file()


def test_every_command_is_in_the_papers():
    papers = "".join(path.read_text(encoding="utf-8") for path in PAPERS)
    assert [name for name in command_names() if f"harness {name}" not in papers] == []


def test_every_file_of_the_tree_exists_and_no_wing_is_missing_from_it():
    places, folder = [], ""
    for line in TREE.splitlines():
        name = line.split()[0]
        folder = folder if line.startswith("  ") else name if name.endswith("/") else ""
        places.append(folder + name if line.startswith("  ") else name)
    assert len(places) > 20
    assert [p for p in places if not (ROOT / p).exists()] == []
    modules = [p for p in (ROOT / "harness").iterdir() if p.suffix == ".py" or (p / "__init__.py").is_file()]
    wings = {f"harness/{p.name}{'/' * p.is_dir()}" for p in modules if p.name not in ("__init__.py", "__main__.py")}
    assert wings - set(places) == set()


@pytest.mark.parametrize("paper", PAPERS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_link_to_a_file_leads_to_one(paper):
    links = re.findall(r"\]\(([^)#\s]+)[^)]*\)", paper.read_text(encoding="utf-8"))
    assert [link for link in links if "://" not in link and not (paper.parent / link).exists()] == []


@pytest.mark.parametrize(("file", "start", "end"), [("SECURITY.md", "## Promised", "\n## "), ("RELIABILITY.md", "\n", "\x00")])
def test_every_test_that_a_promise_names_exists(file, start, end):
    text = (ROOT / file).read_text()
    named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", text)
    assert len(named) > 25
    assert [f"{path}::{name}" for path, name in named if f"def {name}(" not in (ROOT / path).read_text(encoding="utf-8")] == []
    for promise in re.findall(r"^- .*(?:\n  .*)*", text.partition(start)[2].partition(end)[0], re.MULTILINE):
        assert "::" in promise, promise


def test_the_walks_pass_files_that_exist():
    named = re.findall(r"`([\w/]+\.py)`", CONTRIBUTING.partition("Three walks")[2].partition("\n## ")[0])
    assert len(named) > 15
    assert [name for name in named if not (ROOT / "harness" / name).is_file()] == []
