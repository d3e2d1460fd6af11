"""What a suite asks for, read from the task files alone: metrics, filters, data sets, packages. Nothing is loaded or downloaded.

A task file is lm-eval's YAML, already read: its kind, its settings, its tags. Python files that it names are read as text for
what they import, so that a missing package is known before a data set is fetched or a model trained.
"""

from __future__ import annotations

import ast
import importlib.util
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.errors import did_you_mean
from harness.language.benchmark.row_check import against_direction, against_group, against_shots, against_tag, lacks
from harness.language.benchmark.task_check import unsupported
from harness.language.benchmark.task_file import TaskFile, leaves
from harness.loop.suite import Suite, SuiteTask

GATED = {"Idavidrein/gpqa"}  # data sets whose hub page asks for an account and a click
EVERYWHERE = {"harness", "datasets", "numpy", "packaging"}  # the harness itself and what lm-eval cannot do without
INSTALL = {"antlr4": "antlr4-python3-runtime==4.11.*", "math_verify": "math-verify", "sklearn": "scikit-learn"}
HIDDEN = {"sympy.parsing.latex": "antlr4"}  # what a module needs only when it is used


@dataclass
class RowNeeds:
    """What one row of the suite needs. problems: one line each, naming the thing and what to do; notes:
    what one should know of a row that is well."""

    row: SuiteTask
    tasks: list[str] = field(default_factory=list)
    data: set[str] = field(default_factory=set)
    packages: set[str] = field(default_factory=set)
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def all_problems(self) -> list[str]:
        """Problems, then one line per package that is not installed."""
        missing = sorted(name for name in self.packages if importlib.util.find_spec(name) is None)
        return self.problems + [
            f'task {self.row.name}: needs the package {name}; install it with: pip install "{INSTALL.get(name, name)}"'
            for name in missing
        ]


def needs_of(suite: Suite, files: Mapping[str, TaskFile], allow_unsafe_code: bool = False) -> list[RowNeeds]:
    """Every row against the task files at hand. files: by name, all that are installed or in the suite's folders."""
    return [_row_needs(suite, row, files, allow_unsafe_code) for row in suite.task]


def _row_needs(suite: Suite, row: SuiteTask, files: Mapping[str, TaskFile], allow_unsafe_code: bool) -> RowNeeds:
    found = RowNeeds(row)
    where = f"suite {suite.name}, task {row.name}"
    if row.name not in files:
        more = "" if suite.include_defaults else "; lm-eval's own tasks need include_defaults = true in the suite"
        near = [name for name in files if name[:1] == row.name[:1]]
        if (file := _unread(suite, row.name)) is not None:
            found.problems.append(
                f"{where}: lm-eval leaves out {file}, which it cannot read: no YAML, or an `include` that is not there"
            )
            return found
        found.problems.append(f"{where}: no such task{did_you_mean(row.name, near) if len(near) < 200 else ''}{more}")
        return found
    here = files[row.name]
    if here.is_tag:
        found.problems.append(f"{where}: {against_tag(row, here)}")
    if here.is_group:
        found.problems += [f"{where}: {said}" for said in against_group(row, here)]
    tasks, without = [], []
    for task in leaves(row.name, files):
        if isinstance(task, str):
            found.problems.append(f"{where}: its group names {task}, which is not installed")
            continue
        found.tasks.append(task.name)
        tasks.append(task)
        found.problems += [f"{where}: {said}" for said in against_shots(row, task)]
        found.problems += [f"{where}: {task.name} {said}" for said in unsupported(task.settings, allow_unsafe_code)]
        without.append(list(lacks(row, task)))
        if path := task.settings.get("dataset_path"):
            found.data.add(str(path))
        try:
            found.packages |= packages_of(task)
        except (SyntaxError, ValueError) as error:  # no Python, no UTF-8
            found.problems.append(f"{where}: {task.name} names Python code that cannot be read: {' '.join(str(error).split())}")
    found.problems += [f"{where}: {said}" for said in against_direction(row, tasks)]
    lacking = [said for said in without if said]
    if len(lacking) == len(without):  # a group's score is over the tasks that report it
        first = "none of its tasks reports the row's metric and filter: " if len(lacking) > 1 else ""
        found.problems += [f"{where}: {first}{said}" for said in (lacking[0] if lacking else ())]
    elif lacking:
        have = len(without) - len(lacking)
        found.notes.append(
            f"{where}: {have} of its {len(without)} tasks report {row.metric}, {row.filter}; its score is over these"
        )
    return found


def _unread(suite: Suite, name: str) -> Path | None:
    """A file in the suite's folders that says it is the task or group; lm-eval skips what it cannot read."""
    said = re.compile(rf"^(task|group):\s*[\"']?{re.escape(name)}[\"']?\s*$", re.MULTILINE)
    files = (file for folder in suite.folders() for file in sorted(folder.rglob("*.yaml")))
    return next((file for file in files if said.search(file.read_text(encoding="utf-8", errors="replace"))), None)


def packages_of(task: TaskFile) -> set[str]:
    """Top-level names of the packages that the Python files behind a task import, but lm-eval's and the standard library's."""
    found: set[str] = set()
    seen: set[Path] = set()
    waiting = [path for text in _texts(task.settings) if (path := _python_file(text)) is not None]
    while waiting:
        path = waiting.pop()
        if path in seen:
            continue
        seen.add(path)
        for module in _imports(path):
            if module in HIDDEN:
                found.add(HIDDEN[module])
            top = module.partition(".")[0]
            if module.startswith("lm_eval.tasks."):
                spec = importlib.util.find_spec("lm_eval")
                base = Path(next(iter(spec.submodule_search_locations))) if spec and spec.submodule_search_locations else None
                inner = base / (module.removeprefix("lm_eval.").replace(".", "/") + ".py") if base else None
                waiting += [inner] if inner is not None and inner.is_file() else []
            elif top not in sys.stdlib_module_names and top != "lm_eval" and not (path.parent / f"{top}.py").is_file():
                found.add(top)
    return found - EVERYWHERE


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from _texts(inner)
    elif isinstance(value, (list, tuple)):
        for inner in value:
            yield from _texts(inner)


def _python_file(text: str) -> Path | None:
    """`/folder/utils.function` names /folder/utils.py."""
    if not text.startswith("/") or "\n" in text:
        return None
    path = Path(text.rpartition(".")[0] + ".py")
    return path if path.is_file() else None


def _imports(path: Path) -> Iterator[str]:
    """Every module a file imports, at any depth; of `from a import b` both a and a.b, for b may be a module."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"), str(path))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
