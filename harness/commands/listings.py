"""Commands that list what there is to play: objectives and suites."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.table import Table

from harness.commands.console import out, say
from harness.config import RunConfig, load_config
from harness.errors import UserError
from harness.loop.suite import Suite, SuiteTask
from harness.settings.paths import PACKAGE

if TYPE_CHECKING:
    from harness.loop.benchmark import Benchmark


def list_command() -> None:
    from harness.discovery.variants import list_objectives

    for name, path in list_objectives().items():
        say(f"{name:<10} {_first_line(path)}")
    say("\nOne of them in full: harness objectives show NAME. Your own: --objectives ./mine.py")


def _first_line(path: Path) -> str:
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    return lines[0].strip().strip('"') if lines else ""


def show_command(name: str) -> None:
    from harness.discovery.variants import find_objective, load_objective

    path = find_objective(name)
    cls = load_objective(path)
    say(f"{path.stem}: {cls.title}\n{path}\n\n{_dedented(cls.__doc__)}\n")
    say(f"needs: {_spelled(dataclasses.asdict(cls().needs))}")
    for spec in dataclasses.fields(cls):
        say(f"{spec.name} = {spec.default!r}: {spec.metadata.get('doc', '')}")
    cited = cls.citation
    say(f"\n{cited.label}: {cited.title}. {cited.url} ({cited.where})")


def _dedented(text: str | None) -> str:
    import inspect

    return inspect.cleandoc(text or "")


def _spelled(needs: Mapping[str, Any]) -> str:
    return ", ".join(f"{k} {v}" if v is not True else k for k, v in needs.items() if v) or "nothing"


def check_command(text: str) -> int:
    """What the check of an objective or a variant finds, line by line; returns the exit code, 1 when something fails."""
    from harness.discovery.isolated import checked
    from harness.discovery.variants import parse_variants

    variant, *more = parse_variants(text)
    if more:
        raise UserError(f"objectives check {text}: names {1 + len(more)} objectives; check one at a time")
    if variant.training or variant.examples is not None:
        raise UserError(f"objectives check {text}: takes hyper-parameters alone; leave training. and data. settings out")
    failed, skipped = 0, 0
    for place, (name, verdict, reason) in enumerate(checked(variant)):
        if place == 0:
            say(f"{variant.label}: {variant.path}")
        failed += verdict == "FAIL"
        skipped += verdict == "skip"
        if verdict == "said":
            say(reason)
        elif verdict != "skip":
            say(f"{verdict}  {name}" + (f": {reason}" if reason else ""))
    if skipped:
        say(f"skip  {skipped} more, which say nothing before that is mended")
    return 1 if failed else 0


def suites_command() -> None:
    from harness.loop.suite import load_suite

    for path in sorted((PACKAGE / "suites").glob("*.toml")):
        suite = load_suite(path.stem)
        say(f"{suite.name:<20} v{suite.version}  {len(suite.task):>2} tasks  {suite.title}")
    say("\nOne of them in full: harness suites show NAME; what it needs and lacks here: harness suites check NAME")


def suites_show_command(name: str) -> None:
    from harness.loop.suite import load_suite

    suite = load_suite(name)
    table = Table(title=f"{suite.name} v{suite.version}: {suite.title}", title_justify="left", box=None, pad_edge=False)
    for column in ("task", "stands for", "shots", "metric", "filter", "chance", "limit"):
        table.add_column(column, justify="right" if column in ("shots", "chance", "limit") else "left", overflow="fold")
    for row in suite.task:
        table.add_row(
            row.name, row.stands_for or "", str(row.shots), row.metric, row.filter, f"{row.chance:.2f}", str(row.limit or "all")
        )
    out.print(table)
    for row in suite.task:
        if row.range is not None:
            way = "higher" if row.higher_is_better else "lower"
            say(f"{row.name}: from {row.range[0]:g} to {row.range[1]:g}, {way} is better, counts as a share of that range")
        if row.cluster is not None:
            say(f"{row.name}: items that are equal in {row.cluster} are one cluster; errors and tests count clusters")
    for said in suite.beside().values():
        say(f"beside the mean over tasks: {said}")
    if suite.judge is not None:
        temperatures = ", ".join(f"{category} {value:g}" for category, value in suite.judge.temperatures.items())
        say(f"questions: {suite.judge.questions}; an answer has at most {suite.judge.max_new_tokens} tokens")
        say(f"temperature of the answers: {temperatures}")
        for kind, text in suite.judge.instructions.model_dump().items():
            say(f"\nthe judge is told ({kind}):\n{text.strip()}")


def suites_check_command(name: str, load: bool, mirror: str | None, settings: Sequence[str] = ()) -> int:
    """What the suite needs, row by row, and what is in its way; returns the exit code, 1 when something is."""
    from harness.loop.suite import load_suite
    from harness.planning.prepare import mirror_of

    if mirror is not None:
        if not mirror.strip():
            raise UserError("--mirror is empty; name a folder, or leave it out")
        os.environ["HARNESS_MIRROR"] = mirror
    config = load_config("lab", settings)
    suite = load_suite(name)
    folder = mirror_of(config)
    return (
        _check_tasks(suite, folder, load, config.evaluation.allow_unsafe_code)
        if suite.judge is None
        else _check_judge(suite, config, folder)
    )


def _check_judge(suite: Suite, config: RunConfig, folder: Path | None) -> int:
    """A judged suite: its questions (always loaded, to be counted), the package, the judge."""
    from harness.language.judge.benchmark import prepare
    from harness.language.judge.endpoint import INSTALL, Endpoint, check_named, installed, named_judge

    assert suite.judge is not None
    settings = named_judge(suite.judge, config.evaluation)
    problems = []
    try:
        board = prepare(suite, config.evaluation, folder)
        for row in suite.task:
            count = f"{board.items()[row.name]} questions of two turns{_in_clusters(row, board)}"
            say(f"{row.name}: {count}, temperature {settings.temperatures[row.name]:g}")
    except UserError as error:
        problems.append(str(error))
    if not installed():
        problems.append(f"needs the package openai; install it with: {INSTALL}")
    try:
        check_named(settings, suite.name)
        if installed():
            Endpoint(settings).reach()
            say(f"{Endpoint(settings).name} answers")
    except UserError as error:
        problems.append(str(error))
    for problem in problems:
        say(f"PROBLEM  {problem}")
    if not problems:
        say("questions, package and judge are there")
    return 1 if problems else 0


def _in_clusters(row: SuiteTask, board: Benchmark) -> str:
    """How many clusters a row's items come in, by the suite's key; nothing for a row that names none."""
    found = board.clusters().get(row.name)
    return f" in {len(set(found))} clusters ({row.cluster})" if found is not None else ""


def _check_tasks(suite: Suite, folder: Path | None, load: bool, allow_unsafe_code: bool) -> int:
    from harness.language.benchmark.lm_eval_benchmark import manager_of, prepare, task_files
    from harness.language.benchmark.nltk_data import nltk_lacks
    from harness.language.benchmark.suite_check import GATED, needs_of
    from harness.language.benchmark.task_notices import task_notices
    from harness.language.hub_items import PUNKT, lacking

    found = needs_of(suite, task_files(manager_of(suite)), allow_unsafe_code)
    table = Table(title=f"{suite.name} v{suite.version}: {suite.title}", title_justify="left", box=None, pad_edge=False)
    for column in ("task", "lm-eval tasks", "metric", "filter"):
        table.add_column(column, justify="right" if column == "lm-eval tasks" else "left", overflow="fold")
    problems = []
    for needs in found:
        row = needs.row
        table.add_row(row.name, str(len(needs.tasks)), row.metric, row.filter)
        problems += needs.all_problems()
        if "nltk" in needs.packages and (lacks := nltk_lacks(PUNKT, folder)):
            problems.append(f"task {row.name}: {lacks}")
    problems += lacking(suite, found, folder)
    out.print(table)
    data, packages = ({name for needs in found for name in getattr(needs, kind)} for kind in ("data", "packages"))
    say(f"data sets: {', '.join(sorted(data)) or 'none but its own files'}")
    say(f"packages beyond lm-eval's: {', '.join(sorted(packages)) or 'none'}")
    if gated := sorted(data & GATED):
        say(f"gated: {', '.join(gated)}: accept its terms on the hub and log in before you fetch it")
    for note in (note for needs in found for note in needs.notes):
        say(f"note: {note}")
    for said in suite.beside().values():
        say(f"beside the mean over tasks: {said}")
    for problem in problems:
        say(f"PROBLEM  {problem}")
    if problems:
        raise UserError(f"suite {suite.name}: {len(problems)} problem(s), named above; mend the suite or what it lacks")
    say("every task, metric, filter and package is there")
    if load:
        board = prepare(suite, None, folder, allow_unsafe_code)
        for row in suite.task:
            tasks = board.loaded[row.name]["tasks"]
            count = sum(len(t.eval_docs) for t in tasks.values())
            say(f"{row.name}: {count} items in {len(tasks)} lm-eval tasks{_in_clusters(row, board)}")
        for line in task_notices(suite, board.loaded):
            say(f"note: {line}")
    return 0
