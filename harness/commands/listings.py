"""Commands that list, show and check objectives and suites."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from harness.commands.console import console, echo, make_table, print_json, print_problems
from harness.config import DEFAULT_RECIPE, RunConfig, load_config
from harness.discovery.variants import find_objective, list_objectives, load_objective, parse_variants
from harness.errors import UserError
from harness.loop.suite import Suite, SuiteTask, load_suite
from harness.settings.paths import PACKAGE

if TYPE_CHECKING:
    from harness.loop.benchmark import Benchmark


def objectives_list_command(as_json: bool = False) -> None:
    records = [{"name": name, "title": _first_line(path), "path": str(path)} for name, path in list_objectives().items()]
    if as_json:
        return print_json(records)
    for record in records:
        echo(f"{record['name']:<10} {record['title']}")
    echo("\nOne of them in full: harness objectives show NAME. Your own: harness new-objective NAME")
    return None


def _first_line(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace").partition("\n")[0].strip().strip('"')


def objectives_show_command(name: str, as_json: bool = False) -> None:
    path = find_objective(name, source="objectives show")
    objective_class = load_objective(path)
    needs = dataclasses.asdict(objective_class().needs)
    if as_json:
        return print_json(
            {
                "name": path.stem, "title": objective_class.title, "path": str(path),
                "description": inspect.cleandoc(objective_class.__doc__ or ""), "needs": needs,
                "hyperparameters": [
                    {"name": f.name, "default": f.default, "type": _type_name(f.type), "meaning": f.metadata["doc"]}
                    for f in dataclasses.fields(objective_class)
                ],
                "citation": dataclasses.asdict(objective_class.citation),
            }
        )  # fmt: skip
    needs_text = ", ".join(key if value is True else f"{key} {value}" for key, value in needs.items() if value)
    echo(f"{path.stem}: {objective_class.title}\n{path}\n\n{inspect.cleandoc(objective_class.__doc__ or '')}\n")
    echo(f"needs: {needs_text or 'nothing'}")
    for field in dataclasses.fields(objective_class):
        echo(f"{field.name} = {field.default!r}: {field.metadata.get('doc', '')}")
    citation = objective_class.citation
    echo(f"\n{citation.label}: {citation.title}. {citation.url} ({citation.where})")
    return None


def _type_name(kind: object) -> str:
    return kind.__name__ if isinstance(kind, type) else str(kind)


def objectives_check_command(variant_text: str) -> int:
    """Check an objective or a variant, a line per property; returns the exit code, 1 when one fails."""
    from harness.discovery.isolated import run_isolated_checks

    variant, *others = parse_variants(variant_text, source="objectives check")
    if others:
        raise UserError(f"objectives check {variant_text}: expected one objective, found {1 + len(others)}; check one at a time")
    if variant.training or variant.examples is not None:
        raise UserError(f"objectives check {variant_text}: takes hyper-parameters alone; leave training. and data. settings out")
    num_failed, num_skipped = 0, 0
    for index, (name, verdict, reason) in enumerate(run_isolated_checks(variant)):
        if index == 0:
            echo(f"{variant.label}: {variant.path}")
        num_failed += verdict == "FAIL"
        num_skipped += verdict == "skip"
        if verdict == "said":
            echo(reason)
        elif verdict != "skip":
            echo(f"{verdict}  {name}" + (f": {reason}" if reason else ""))
    if num_skipped:
        echo(f"skip  {num_skipped} more, which mean nothing before that is fixed")
    return 1 if num_failed else 0


def suites_list_command(as_json: bool = False) -> None:
    suites = [load_suite(path.stem) for path in sorted((PACKAGE / "suites").glob("*.toml"))]
    if as_json:
        return print_json(
            [{"name": s.name, "title": s.title, "version": s.version, "tasks": len(s.task), "source": s.source} for s in suites]
        )
    for suite in suites:
        echo(f"{suite.name:<20} v{suite.version}  {len(suite.task):>2} tasks  {suite.title}")
    echo("\nOne of them in full: harness suites show NAME; what it needs and what is missing here: harness suites check NAME")
    return None


def suites_show_command(name: str, as_json: bool = False) -> None:
    suite = load_suite(name, "suites show")
    if as_json:
        return print_json(suite.model_dump(mode="json"))
    columns = ("task", "stands for", "shots", "metric", "filter", "chance", "limit")
    table = make_table(f"{suite.name} v{suite.version}: {suite.title}", columns, right=("shots", "chance", "limit"))
    for row in suite.task:
        table.add_row(
            row.name, row.stands_for or "", str(row.shots), row.metric, row.filter, f"{row.chance:.2f}", str(row.limit or "all")
        )
    console.print(table)
    for row in suite.task:
        if row.range is not None:
            direction = "higher" if row.higher_is_better else "lower"
            echo(f"{row.name}: from {row.range[0]:g} to {row.range[1]:g}, {direction} is better, counts as a share of that range")
        if row.cluster is not None:
            echo(f"{row.name}: items that are equal in {row.cluster} are one cluster; errors and tests count clusters")
    for description in suite.unaveraged_tasks().values():
        echo(f"beside the mean over tasks: {description}")
    if suite.judge is not None:
        temperatures = ", ".join(f"{category} {value:g}" for category, value in suite.judge.temperatures.items())
        echo(f"questions: {suite.judge.questions}; an answer has at most {suite.judge.max_new_tokens} tokens")
        echo(f"temperature of the answers: {temperatures}")
        for kind, text in suite.judge.instructions.model_dump().items():
            echo(f"\njudge prompt ({kind}):\n{text.strip()}")
    return None


def suites_check_command(name: str, load: bool, mirror: str | None, settings: Sequence[str] = ()) -> int:
    """Check what a suite needs, row by row, and print its problems; returns the exit code, 1 when it has any."""
    from harness.planning.request import find_mirror
    from harness.sources.offline import go_offline

    config = load_config(DEFAULT_RECIPE, settings, {"mirror": mirror} if mirror is not None else {})
    suite = load_suite(name, "suites check")
    if (mirror_folder := find_mirror(config)) is not None:
        go_offline()
    return (
        _check_tasks(suite, mirror_folder, load, config.evaluation.allow_unsafe_code)
        if suite.judge is None
        else _check_judge(suite, config, mirror_folder)
    )


def _check_judge(suite: Suite, config: RunConfig, mirror: Path | None) -> int:
    """Check a judged suite: its questions (always loaded, to be counted), the package, the judge."""
    from harness.world import load_world

    assert suite.judge is not None
    problems = []
    try:
        benchmark = load_world(config.world).load_benchmark(config, suite, mirror)
        for row in suite.task:
            item_text = f"{benchmark.items()[row.name]} questions of two turns{_format_clusters(row, benchmark)}"
            echo(f"{row.name}: {item_text}, temperature {suite.judge.temperatures[row.name]:g}")
        benchmark.check_ready(ping=True)
    except UserError as error:
        problems.append(str(error))
    return print_problems(problems, "questions, package and judge are there")


def _format_clusters(row: SuiteTask, benchmark: Benchmark) -> str:
    """The number of clusters of a row's items and the suite's key for them; empty for a row without clusters."""
    clusters = benchmark.clusters().get(row.name)
    return f" in {len(set(clusters))} clusters ({row.cluster})" if clusters is not None else ""


def _check_tasks(suite: Suite, mirror: Path | None, load: bool, allow_unsafe_code: bool) -> int:
    from harness.language.benchmark.lm_eval_benchmark import load_lm_eval_benchmark
    from harness.language.benchmark.load_tasks import make_task_manager, task_files
    from harness.language.benchmark.nltk_data import missing_nltk_data
    from harness.language.benchmark.suite_check import GATED_DATASETS, requirements
    from harness.language.benchmark.task_notices import task_notes
    from harness.language.hub_items import PUNKT, missing_from_mirror

    task_requirements = requirements(suite, task_files(make_task_manager(suite)), allow_unsafe_code)
    columns = ("task", "lm-eval tasks", "metric", "filter")
    table = make_table(f"{suite.name} v{suite.version}: {suite.title}", columns, right=("lm-eval tasks",))
    problems = []
    for needs in task_requirements:
        row = needs.row
        table.add_row(row.name, str(len(needs.tasks)), row.metric, row.filter)
        problems += needs.all_problems()
        if "nltk" in needs.packages and (nltk_problem := missing_nltk_data(PUNKT, mirror)):
            problems.append(f"task {row.name}: {nltk_problem}")
    problems += missing_from_mirror(suite, task_requirements, mirror)
    console.print(table)
    data, packages = ({name for needs in task_requirements for name in getattr(needs, kind)} for kind in ("datasets", "packages"))
    echo(f"data sets: {', '.join(sorted(data)) or 'none but its own files'}")
    echo(f"packages beyond lm-eval's: {', '.join(sorted(packages)) or 'none'}")
    if gated := sorted(data & GATED_DATASETS):
        echo(f"gated: {', '.join(gated)}: accept the terms on the hub and log in before fetching")
    for note in (note for needs in task_requirements for note in needs.notes):
        echo(f"note: {note}")
    for description in suite.unaveraged_tasks().values():
        echo(f"beside the mean over tasks: {description}")
    if print_problems(problems, "every task, metric, filter and package is there"):
        raise UserError(f"suite {suite.name}: {len(problems)} problem(s), listed above; fix the suite or install what is missing")
    if load:
        benchmark = load_lm_eval_benchmark(suite, None, mirror, allow_unsafe_code)
        for row in suite.task:
            tasks = benchmark.loaded_tasks[row.name]["tasks"]
            count = sum(len(t.eval_docs) for t in tasks.values())
            echo(f"{row.name}: {count} items in {len(tasks)} lm-eval tasks{_format_clusters(row, benchmark)}")
        for line in task_notes(suite, benchmark.loaded_tasks):
            echo(f"note: {line}")
    return 0
