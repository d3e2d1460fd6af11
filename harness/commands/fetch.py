"""Command `fetch`: copy what a run needs from the hub into a mirror, for machines without a network; and check a mirror."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.commands.console import echo, print_problems
from harness.config import DEFAULT_RECIPE, RunConfig, load_config
from harness.errors import UserError
from harness.sources.confinement import outside_references
from harness.sources.mirror import (
    MANIFEST_FILE,
    HubItem,
    check_revision,
    find_damage,
    item_folders,
    locate_item,
    read_manifest,
    relative_dir,
)
from harness.store.output_folders import check_outside_runs


def fetch_command(
    overrides: Mapping[str, Any], to: Path, check: bool, recipe: str | None = None, settings: Sequence[str] = ()
) -> int:
    """Fetch, or check what was fetched; returns the exit code, 1 when the check finds a problem."""
    if check:  # with options: also what they need
        config = load_config(recipe or DEFAULT_RECIPE, settings, overrides) if recipe or settings or overrides else None
        return _check_mirror(config, to)
    check_outside_runs(to, "--to")
    from harness.progress import Reporter
    from harness.sources.fetch import fetch

    items = _hub_items(load_config(recipe or DEFAULT_RECIPE, settings, overrides), to)
    if not items:
        echo("this run needs nothing from the hub: it runs without a mirror")
        return 0
    fetch(items, to, Reporter())
    echo(f"complete: {to}; on a machine without a network: harness run ... --mirror {to}")
    return 0


def _hub_items(config: RunConfig, to: Path) -> list[HubItem]:
    from harness.language.benchmark.load_tasks import make_task_manager, task_files
    from harness.language.benchmark.suite_check import requirements
    from harness.language.hub_items import hub_items_of_run
    from harness.loop.suite import load_suite

    suite = load_suite(config.evaluation.suite, config.source_of("evaluation.suite"))
    # the rows of a judged suite are no tasks of lm-eval
    task_requirements = requirements(suite, task_files(make_task_manager(suite))) if suite.judge is None else []
    for problem in (line for row in task_requirements for line in row.problems):
        raise UserError(problem)
    return hub_items_of_run(config, suite, task_requirements, to)


def _check_mirror(config: RunConfig | None, to: Path) -> int:
    """Check every checksum of the mirror and that nothing in it refers outside its folder; with options, also that it holds
    what they need.
    """
    manifest = read_manifest(to)
    entry_folders = [to / relative_dir(entry.kind, entry.id) for entry in manifest.entries if entry.kind != "nltk"]
    folders = dict.fromkeys([*filter(Path.exists, entry_folders), *item_folders(to)])
    outside = list(dict.fromkeys(line for folder in folders for line in outside_references(folder, to)))
    if not (to / MANIFEST_FILE).is_file() and not outside:
        raise UserError(f"--to {to}: no {MANIFEST_FILE} there; fetch into it first, or name the folder that was fetched into")
    problems = list(outside)
    for entry in manifest.entries:
        damage = [line for _, line in find_damage(to, entry, check_large_files=True)]
        problems += damage
        summary = f", {len(damage)} of them missing or damaged" if damage else ""
        echo(f"{entry.kind:<8}{entry.id}: {len(entry.files)} files{summary}")
    for item in _hub_items(config, to) if config is not None else []:
        entry = manifest.entry(item.kind, item.id)
        try:
            if entry is None:
                locate_item(to, item)
            else:
                check_revision(to, entry, item)
        except UserError as error:
            if not any(line in str(error) for line in outside):
                problems.append(str(error))
    exit_code = print_problems(problems, "every file is there and intact, and nothing refers outside its folder")
    if len(problems) > len(outside):
        echo(f"repair it on a machine with a network: harness fetch ... --to {to}")
    return exit_code
