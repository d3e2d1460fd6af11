"""The run command: a request becomes a plan, a game and the views of what came out."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.commands.console import say
from harness.config import RunConfig, load_config
from harness.errors import UserError
from harness.holding import LOCK, NOTE
from harness.names import RULE, TAKEN, is_name
from harness.plain_numbers import read_number
from harness.store import RunFolder


def requested(passed: Mapping[str, Any], said_by: Mapping[str, str] | None = None) -> RunConfig:
    """The configuration of what was typed. said_by: option -> who gave it, where it was not typed. Raises UserError."""
    seeds = passed.get("seeds")
    if isinstance(seeds, str):
        read = [read_number(part) for part in seeds.split(",")]
        if not all(isinstance(seed, int) for seed in read):
            raise UserError(f"--seeds {seeds}: expected whole numbers, comma-separated, for example 0,1,2")
        seeds = read
    said_by = {{"suite": "evaluation.suite"}.get(key, key): said for key, said in (said_by or {}).items()}
    own_data = {"data__heldout": None, "data__distribution": None} if "data" in passed else {}
    config = load_config(
        passed.get("recipe", "lab"),
        passed.get("set", ()),
        said_by,
        objectives=passed.get("objectives"),
        iterations=passed.get("iterations"),
        seeds=seeds,
        evaluation__suite=passed.get("suite"),
        data__source=passed.get("data"),
        data__max_examples=passed.get("max_examples"),
        data__prompt_column=passed.get("prompt_column"),
        data__response_column=passed.get("response_column"),
        model__path=passed.get("model"),
        model__run_code_from_model_repository=passed.get("run_code_from_model_repository"),
        mirror=passed.get("mirror"),
        recompute=passed.get("recompute"),
    )
    if own_data:  # a recipe's held-out file and distribution belong to the recipe's own data
        kept = config.data.model_dump() | {
            key.removeprefix("data__"): value
            for key, value in own_data.items()
            if not any(s.startswith(key.replace("__", ".") + "=") for s in passed.get("set", ()))
        }
        typed = config._typed
        config = RunConfig.model_validate(config.model_dump() | {"data": kept})
        config._typed.update(typed)
    return config


def run_command(passed: dict[str, Any], results: Path, reports: Path, dry_run: bool, jobs: int | None) -> int:
    """Play the run; returns the exit code: 0 all complete, 2 some cells failed."""
    from harness.prepare import default_name

    config = requested(passed)
    name = passed["name"] if "name" in passed else default_name(config)
    run = named_run(name, results)
    if not dry_run:
        check_places(results, reports)
    failed = play(config, run, passed, dry_run, jobs)
    return 0 if dry_run else show(run, reports, failed)


def named_run(name: str, results: Path) -> RunFolder:
    if not is_name(name):
        raise UserError(f"--name {name}: {RULE}, not ending in {', '.join(TAKEN)}")
    return RunFolder(results / name)


def check_places(results: Path, reports: Path) -> None:
    """Raises UserError when a folder that will be written to is a file, lies below one, or may not be written to."""
    for option, folder in (("--results", results), ("--reports", reports)):
        there = next(place for place in (folder, *folder.absolute().parents) if place.exists())
        if not there.is_dir():
            raise UserError(f"{option} {folder}: {there} is a file, not a folder; name another with {option} DIR")
        if not os.access(there, os.W_OK | os.X_OK):
            raise UserError(f"{option} {folder}: {there} may not be written to; name another with {option} DIR")


def play(
    config: RunConfig,
    run: RunFolder,
    passed: Mapping[str, Any],
    dry_run: bool,
    jobs: int | None,
    study: Mapping[str, Any] | None = None,
) -> dict[str, str]:
    """Say the plan and, unless it is a dry run, carry it out; returns the cells that failed, with their error."""
    from harness import jobs as playing
    from harness.commands.plan import print_bill, print_plan
    from harness.prepare import checked_variants, prepare, write_failed
    from harness.progress import Reporter
    from harness.stranger import look_over
    from harness.suite import load_suite

    variants = checked_variants(config)
    to_do = print_plan(config, run, variants, load_suite(config.evaluation.suite))
    at_once = playing.choose_jobs(jobs, config, len(variants) * len(config.seeds)) if to_do else 1
    if dry_run:
        print_bill(config, run, variants, to_do, at_once)
        return {}
    reporter = Reporter()
    made = [folder for folder in (run.root, *run.root.parents) if not folder.exists()]
    if run.root.exists():
        look_over(run.root)
    with run.locked():
        playing.warm_up(at_once)
        try:
            game = prepare(config, run, reporter, passed, study)
        except UserError:
            if made and not (run.root / "data").exists():
                _remove_empty(made)  # a refused request leaves nothing behind
            raise
        failed = playing.play(game, at_once)
        write_failed(run, failed)
    return failed


def show(run: RunFolder, reports: Path, failed: Mapping[str, str]) -> int:
    """Write every view of the run and say where; returns the exit code."""
    with run.locked():
        paths = finish(run, reports)
    for label, path in paths.items():
        say(f"{label:<8}{path}")
    if said := first_ids_line(run.root):
        say(f"WARNING {said}; an objective may learn these tokens and no more; see tables/first_ids.csv")
    for cell, error in failed.items():
        say(f"failed  {cell}: {error}")
    return 2 if failed else 0


def first_ids_line(root: Path) -> str | None:
    """What the run's first_ids.csv has to warn of; None where it has nothing, or there is none."""
    from harness.shown import from_csv
    from harness.tables.first_ids import telling_line

    path = root / "tables" / "first_ids.csv"
    return telling_line(from_csv(path)) if path.is_file() else None


def _remove_empty(made: Sequence[Path]) -> None:
    """The run's folder and those above it that were made for it, as far as nothing is in them."""
    for file in (LOCK, NOTE, "journal.jsonl"):
        (made[0] / file).unlink(missing_ok=True)
    for folder in made:
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()


def finish(run: RunFolder, reports: Path, pdf: Path | None = None) -> dict[str, Path]:
    """Write every view of a run; returns what to show the user."""
    from harness.report import write_report
    from harness.tables import refresh

    refresh(run.root)
    written = write_report(run.root, pdf or reports / f"{run.name}.pdf")
    curves = run.root / "plots" / "stability_curves.png"
    return {
        "tables": run.root / "tables" / "leaderboard.md",
        "curves": curves if curves.is_file() else curves.with_name("tasks.png"),  # a suite without a mean has no curve of it
        "report": written,
    }
