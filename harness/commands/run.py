"""The run command: a request becomes a plan, a game and the views of what came out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from harness.commands.console import say
from harness.config import RunConfig, load_config
from harness.errors import UserError
from harness.planning.plan_size import check_size
from harness.settings.numbers import read_number
from harness.settings.safe_paths import RULE, TAKEN, is_name
from harness.store.lease import LEASE
from harness.store.output_folders import check_name, check_report, check_run_folder, check_writable
from harness.store.run_folder import RunFolder


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
    check_size(config)
    return config


def run_command(passed: dict[str, Any], results: Path, reports: Path, dry_run: bool, jobs: int | None) -> int:
    """Play the run; returns the exit code: 0 all complete, 2 some cells failed."""
    config = requested(passed)
    if "name" in passed:
        name = passed["name"]
    else:
        from harness.planning.prepare import default_name

        name = default_name(config)
    run = named_run(name, results)
    check_places(run, results, reports, dry_run)
    failed = play(config, run, passed, dry_run, jobs)
    return 0 if dry_run else show(run, reports, failed)


def named_run(name: str, results: Path) -> RunFolder:
    if not is_name(name):
        raise UserError(f"--name {name}: {RULE}, not ending in {', '.join(TAKEN)}")
    return RunFolder(results / name)


def check_places(run: RunFolder, results: Path, reports: Path, dry_run: bool) -> None:
    """Raises UserError when run and report would touch another's files or each other's; and, unless it is a dry run, when a
    folder that will be written to is a file, lies below one, or may not be written to.
    """
    pdf = reports / f"{run.name}.pdf"
    for option, folder in (("--results", results), ("--reports", reports)):
        check_name(option, folder)
    check_run_folder(run.root)
    check_report(pdf, "--reports", run.root)
    if not dry_run:
        for option, folder in (("--results", results), ("--reports", reports), ("--reports", pdf.with_suffix(""))):
            check_writable(option, folder)


def check_folder(run: RunFolder, results: Path) -> None:
    """The same for a run folder that is written to without a report."""
    check_name("--results", results)
    check_run_folder(run.root)
    check_writable("--results", results)


def play(
    config: RunConfig,
    run: RunFolder,
    passed: Mapping[str, Any],
    dry_run: bool,
    jobs: int | None,
    study: Mapping[str, Any] | None = None,
) -> dict[str, str]:
    """Say the plan and, unless it is a dry run, carry it out; returns the cells that failed, with their error."""
    from harness.commands.plan import print_bill, print_plan
    from harness.launch import workers as playing
    from harness.loop.suite import load_suite
    from harness.planning.prepare import checked_variants, prepare, write_failed
    from harness.progress import Reporter
    from harness.reporting.tables import refresh
    from harness.settings.process_environment import check_sockets, notes
    from harness.store.untrusted import look_over, look_through, make_ready

    variants = checked_variants(config)
    if run.root.exists():
        if config.recompute and not dry_run:
            look_through(run.root, mending=True)
        else:
            look_over(run.root)
    to_do = print_plan(config, run, variants, load_suite(config.evaluation.suite))
    at_once = playing.choose_jobs(jobs, config, len(variants) * len(config.seeds)) if to_do else 1
    if dry_run:
        print_bill(config, run, variants, to_do, at_once)
        return {}
    if at_once > 1:
        check_sockets()
    reporter = Reporter()
    for line in notes:
        reporter.say(line)
    made = [folder for folder in (run.root, *run.root.parents) if not folder.exists()]
    with run.locked(reporter.say):
        run.say = reporter.say
        make_ready(run, [variant.label for variant in variants], config.recompute)
        playing.warm_up(at_once)
        try:
            game = prepare(config, run, reporter, passed, study)
            game.write_tables = partial(refresh, everything=False)
        except (UserError, OSError):
            if made and not (run.root / "data").exists():
                remove_empty(made)  # a refused request leaves nothing behind
            raise
        failed = playing.play(game, at_once)
        write_failed(run, failed)
    return failed


def show(run: RunFolder, reports: Path, failed: Mapping[str, str]) -> int:
    """Write every view of the run and say where; returns the exit code."""
    with run.locked(say):
        paths = finish(run, reports / f"{run.name}.pdf")
    for label, path in paths.items():
        say(f"{label:<8}{path}")
    if said := first_ids_line(run.root):
        say(f"WARNING {said}; an objective may learn these tokens and no more; see tables/first_ids.csv")
    for cell, error in failed.items():
        say(f"failed  {cell}: {error}")
    return 2 if failed else 0


def first_ids_line(root: Path) -> str | None:
    """What the run's first_ids.csv has to warn of; None where it has nothing, or there is none."""
    from harness.analysis.text_columns import read_table
    from harness.reporting.tables.first_ids import telling_line

    path = root / "tables" / "first_ids.csv"
    return telling_line(read_table(path)) if path.is_file() else None


def remove_empty(made: Sequence[Path]) -> None:
    """The run's folder and those above it that were made for it, as far as nothing is in them."""
    for file in (LEASE, "journal.jsonl"):
        (made[0] / file).unlink(missing_ok=True)
    for folder in made:
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()


def finish(run: RunFolder, pdf: Path) -> dict[str, Path]:
    """Write every view of a run, its report as `pdf`; returns what to show the user."""
    from harness.reporting.figures.fonts import left_as_boxes
    from harness.reporting.report import write_report
    from harness.reporting.tables import refresh
    from harness.store.small_files import keep_all
    from harness.store.untrusted import make_way

    run.say = say
    make_way(run)
    keep_all(run.root)
    refresh(run.root)
    written = write_report(run.root, pdf)
    if said := left_as_boxes(written.with_suffix(".html").read_text(encoding="utf-8"), f"harness report {run.name}"):
        say(f"note    {said}")
    curves = run.root / "plots" / "stability_curves.png"
    return {
        "tables": run.root / "tables" / "leaderboard.md",
        "curves": curves if curves.is_file() else curves.with_name("tasks.png"),  # a suite without a mean has no curve of it
        "report": written,
    }
