"""What a suite requires, read from the task files alone: metrics, filters, data sets, packages. Nothing is loaded or downloaded.

A task file is lm-eval's YAML, already read: its kind, its settings, its tags. Python files that it names are parsed for their
imports, so that a missing package is known before a data set is fetched or a model trained.
"""

from __future__ import annotations

import ast
import importlib.util
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from harness.errors import did_you_mean, error_line
from harness.language.benchmark import row_check
from harness.language.benchmark.task_file import TaskFile, subtasks
from harness.loop.suite import Suite, SuiteTask
from harness.settings.numbers import iter_text

GATED_DATASETS = {"Idavidrein/gpqa"}  # data sets whose hub page asks for an account and a click
ALWAYS_INSTALLED = {"harness", "datasets", "numpy", "packaging"}  # the harness itself and what lm-eval cannot do without
PIP_NAMES = {"antlr4": "antlr4-python3-runtime==4.11.*", "math_verify": "math-verify", "sklearn": "scikit-learn"}
LAZY_DEPENDENCIES = {"sympy.parsing.latex": "antlr4"}  # what a module needs only when it is used


@dataclass
class TaskRequirements:
    """What one row of the suite needs. problems: one line each, naming the thing and what to do; notes: on a row without them."""

    row: SuiteTask
    tasks: list[str] = field(default_factory=list)
    datasets: set[str] = field(default_factory=set)
    packages: set[str] = field(default_factory=set)
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def all_problems(self) -> list[str]:
        """Problems, then one line per package that is not installed."""
        missing = sorted(name for name in self.packages if importlib.util.find_spec(name) is None)
        return self.problems + [
            f'task {self.row.name}: needs the package {name}; install it with: pip install "{PIP_NAMES.get(name, name)}"'
            for name in missing
        ]


def requirements(suite: Suite, files: Mapping[str, TaskFile], allow_unsafe_code: bool = False) -> list[TaskRequirements]:
    """The requirements of every row. files: by name, all that are installed or in the suite's folders."""
    rows = [TaskRequirements(row) for row in suite.task]
    for required in rows:
        problems = _fill(required, suite, files, allow_unsafe_code)
        required.problems = [f"suite {suite.name}, task {required.row.name}: {problem}" for problem in problems]
    return rows


def _fill(required: TaskRequirements, suite: Suite, files: Mapping[str, TaskFile], allow_unsafe_code: bool) -> Iterator[str]:
    """Fill in everything but the problems, which are yielded without suite and row."""
    row = required.row
    if row.name not in files:
        yield _unknown_task_problem(suite, row.name, files)
        return
    if files[row.name].is_tag:
        yield row_check.tag_problem(row, files[row.name])
    if files[row.name].is_group:
        yield from row_check.group_problems(row, files[row.name])
    tasks, missing_by_task = [], []
    for task in subtasks(row.name, files):
        if isinstance(task, str):
            yield f"its group names {task}, which is not installed"
            continue
        tasks.append(task)
        missing_by_task.append(list(row_check.missing_metric_or_filter(row, task)))
        yield from row_check.task_problems(row, task, allow_unsafe_code)
        if path := task.settings.get("dataset_path"):
            required.datasets.add(str(path))
        try:
            required.packages |= imported_packages(task)
        except (SyntaxError, ValueError) as error:  # not Python, or not UTF-8
            yield f"{task.name} names Python code that cannot be read: {error_line(error)}"
    required.tasks = [task.name for task in tasks]
    yield from row_check.direction_problems(row, tasks)
    incomplete = [problems for problems in missing_by_task if problems]
    if len(incomplete) < len(missing_by_task):  # a group's score is over the tasks that report it
        if incomplete:
            required.notes.append(
                f"suite {suite.name}, task {row.name}: {len(missing_by_task) - len(incomplete)} of its {len(missing_by_task)} "
                f"tasks report {row.metric}, {row.filter}; its score is over these"
            )
    elif incomplete:
        prefix = "none of its tasks reports the row's metric and filter: " if len(incomplete) > 1 else ""
        yield from (f"{prefix}{problem}" for problem in incomplete[0])


def _unknown_task_problem(suite: Suite, name: str, files: Mapping[str, TaskFile]) -> str:
    if (file := _find_unreadable_file(suite, name)) is not None:
        return f"lm-eval skips {file}, which it cannot read: not YAML, or an `include` that does not exist"
    similar_names = [other for other in files if other[:1] == name[:1]]
    hint = "" if suite.include_defaults else "; lm-eval's own tasks need include_defaults = true in the suite"
    return f"no such task{did_you_mean(name, similar_names) if len(similar_names) < 200 else ''}{hint}"


def _find_unreadable_file(suite: Suite, name: str) -> Path | None:
    """A file in the suite's folders that declares the task or group; lm-eval skips what it cannot read."""
    name_pattern = re.compile(rf"^(task|group):\s*[\"']?{re.escape(name)}[\"']?\s*$", re.MULTILINE)
    files = (file for folder in suite.include_folders() for file in sorted(folder.rglob("*.yaml")))
    return next((file for file in files if name_pattern.search(file.read_text(encoding="utf-8", errors="replace"))), None)


def imported_packages(task: TaskFile) -> set[str]:
    """Top-level names of the packages that a task's Python files import, except lm-eval and the standard library."""
    packages: set[str] = set()
    seen: set[Path] = set()
    pending = [path for _, text in iter_text(task.settings) if (path := _python_file(text)) is not None]
    while pending:
        path = pending.pop()
        if path in seen:
            continue
        seen.add(path)
        for module in _imported_modules(path):
            top = module.partition(".")[0]
            packages |= {LAZY_DEPENDENCIES[module]} if module in LAZY_DEPENDENCIES else set()
            if module.startswith("lm_eval.tasks."):
                pending += _file_of_lm_eval(module)
            elif top not in sys.stdlib_module_names and top != "lm_eval" and not (path.parent / f"{top}.py").is_file():
                packages.add(top)
    return packages - ALWAYS_INSTALLED


def _file_of_lm_eval(module: str) -> list[Path]:
    """The file of one of lm-eval's modules, found without importing it."""
    spec = importlib.util.find_spec("lm_eval")
    folders = (spec.submodule_search_locations or []) if spec else []
    files = [Path(folder, *module.split(".")[1:]).with_suffix(".py") for folder in folders]
    return [file for file in files if file.is_file()]


def _python_file(text: str) -> Path | None:
    """`/folder/utils.function` -> /folder/utils.py; None where there is no such file."""
    if not text.startswith("/") or "\n" in text:
        return None
    path = Path(text.rpartition(".")[0] + ".py")
    return path if path.is_file() else None


def _imported_modules(path: Path) -> Iterator[str]:
    """Every module a file imports, at any depth; for `from a import b` both a and a.b, since b may be a module."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"), str(path))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
