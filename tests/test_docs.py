"""Generated blocks are current, every command is documented, and the README's tree is the tree."""

import re

import pytest

from harness.reporting.generated_docs import objective_index, replace_block
from tests.conftest import ROOT


def test_the_objective_index_is_current():
    text = (ROOT / "objectives" / "README.md").read_text()
    assert replace_block(text, "objectives", objective_index()) == text, "run: python -m harness.reporting.generated_docs"


def test_every_command_is_in_the_readme():
    from harness.cli import app

    readme = (ROOT / "README.md").read_text()
    names = [c.name or c.callback.__name__ for c in app.registered_commands] + [g.name for g in app.registered_groups]
    known = ["fetch", "merge", "objectives", "push", "report", "run", "status", "study", "suites", "theory", "trace"]
    assert sorted(names) == known
    assert [n for n in names if f"harness {n}" not in readme] == []


def test_every_file_of_the_readmes_tree_exists():
    readme = (ROOT / "README.md").read_text()
    tree = readme.partition("```tree\n")[2].partition("```")[0]
    places, folder = [], ""
    for line in tree.splitlines():
        name = line.split()[0]
        if line.startswith("  "):
            places.append(folder + name)
        else:
            places.append(name)
            folder = name if name.endswith("/") else ""
    assert len(places) > 20
    assert [p for p in places if not (ROOT / p).exists()] == []


@pytest.mark.parametrize(("file", "start", "end"), [("SECURITY.md", "## Promised", "\n## "), ("RELIABILITY.md", "\n", "\x00")])
def test_every_test_that_a_promise_names_exists(file, start, end):
    text = (ROOT / file).read_text()
    named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", text)
    assert len(named) > 25
    assert [f"{path}::{name}" for path, name in named if f"def {name}(" not in (ROOT / path).read_text(encoding="utf-8")] == []
    for promise in re.findall(r"^- .*(?:\n  .*)*", text.partition(start)[2].partition(end)[0], re.MULTILINE):
        assert "::" in promise, promise


def test_no_wing_is_missing_from_the_readmes_tree():
    tree = (ROOT / "README.md").read_text().partition("```tree\n")[2].partition("```")[0]
    wings = {
        p.name + "/" * p.is_dir() for p in (ROOT / "harness").iterdir() if p.suffix == ".py" or (p / "__init__.py").is_file()
    }
    assert {w for w in wings - {"__init__.py", "__main__.py"} if not re.search(rf"^  {w}\s", tree, re.MULTILINE)} == set()


def test_the_walks_pass_files_that_exist():
    walks = (ROOT / "CONTRIBUTING.md").read_text().partition("Three walks")[2].partition("\n## ")[0]
    named = re.findall(r"`([\w/]+\.py)`", walks)
    assert len(named) > 15
    assert [name for name in named if not (ROOT / "harness" / name).is_file()] == []
