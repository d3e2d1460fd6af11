"""Command `run`: plan a run, run it, write its tables, figures and report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from harness.commands.console import echo
from harness.config import RunConfig, load_config
from harness.errors import UserError
from harness.planning.plan_size import check_plan_size
from harness.settings.numbers import parse_number
from harness.settings.safe_paths import NAME_RULE, RESERVED_SUFFIXES, is_safe_name
from harness.store.lease import LEASE
from harness.store.output_folders import check_path, check_report, check_run_folder, check_writable
from harness.store.run_folder import RunFolder


def config_from_args(cli_args: Mapping[str, Any], sources: Mapping[str, str] | None = None) -> RunConfig:
    """The configuration of a command. sources: option -> where it comes from, where it was not typed. Raises UserError."""
    seeds = cli_args.get("seeds")
    if isinstance(seeds, str):
        parsed_seeds = [parse_number(part) for part in seeds.split(",")]
        if not all(isinstance(seed, int) for seed in parsed_seeds):
            raise UserError(f"--seeds {seeds}: expected whole numbers, comma-separated, for example 0,1,2")
        seeds = parsed_seeds
    sources = {{"suite": "evaluation.suite"}.get(key, key): source for key, source in (sources or {}).items()}
    cleared_settings = {"data__heldout": None, "data__distribution": None} if "data" in cli_args else {}
    config = load_config(
        cli_args.get("recipe", "lab"),
        cli_args.get("set", ()),
        sources,
        objectives=cli_args.get("objectives"),
        iterations=cli_args.get("iterations"),
        seeds=seeds,
        evaluation__suite=cli_args.get("suite"),
        data__source=cli_args.get("data"),
        data__max_examples=cli_args.get("max_examples"),
        data__prompt_column=cli_args.get("prompt_column"),
        data__response_column=cli_args.get("response_column"),
        model__path=cli_args.get("model"),
        model__trust_remote_code=cli_args.get("trust_remote_code"),
        mirror=cli_args.get("mirror"),
        recompute=cli_args.get("recompute"),
    )
    if cleared_settings:  # a recipe's held-out file and distribution belong to the recipe's own data
        data_settings = config.data.model_dump() | {
            key.removeprefix("data__"): value
            for key, value in cleared_settings.items()
            if not any(s.startswith(key.replace("__", ".") + "=") for s in cli_args.get("set", ()))
        }
        option_by_key = config._option_by_key
        config = RunConfig.model_validate(config.model_dump() | {"data": data_settings})
        config._option_by_key.update(option_by_key)
    check_plan_size(config)
    return config


def run_command(cli_args: dict[str, Any], results: Path, reports: Path, dry_run: bool, jobs: int | None) -> int:
    """Run it; returns the exit code: 0 all complete, 2 some trials failed."""
    config = config_from_args(cli_args)
    if "name" in cli_args:
        name = cli_args["name"]
    else:
        from harness.planning.prepare import default_run_name

        name = default_run_name(config)
    run = named_run(name, results)
    check_output_folders(run, results, reports, dry_run)
    failed = plan_and_run(config, run, cli_args, dry_run, jobs)
    return 0 if dry_run else write_and_list_views(run, reports, failed)


def named_run(name: str, results: Path) -> RunFolder:
    if not is_safe_name(name):
        raise UserError(f"--name {name}: {NAME_RULE}, not ending in {', '.join(RESERVED_SUFFIXES)}")
    return RunFolder(results / name)


def check_output_folders(run: RunFolder, results: Path, reports: Path, dry_run: bool) -> None:
    """Raises UserError when run and report would touch another's files or each other's; and, unless it is a dry run, when a
    folder that will be written to is a file, lies below one, or may not be written to.
    """
    pdf = reports / f"{run.name}.pdf"
    for option, folder in (("--results", results), ("--reports", reports)):
        check_path(option, folder)
    check_run_folder(run.root)
    check_report(pdf, "--reports", run.root)
    if not dry_run:
        for option, folder in (("--results", results), ("--reports", reports), ("--reports", pdf.with_suffix(""))):
            check_writable(option, folder)


def check_merge_folders(run: RunFolder, results: Path) -> None:
    """`check_output_folders` for a run folder without a report."""
    check_path("--results", results)
    check_run_folder(run.root)
    check_writable("--results", results)


def plan_and_run(
    config: RunConfig,
    run: RunFolder,
    cli_args: Mapping[str, Any],
    dry_run: bool,
    jobs: int | None,
    study: Mapping[str, Any] | None = None,
) -> dict[str, str]:
    """Print the plan and, unless it is a dry run, carry it out; returns the errors of failed trials, by name."""
    from harness.commands.plan import print_cost_estimate, print_plan
    from harness.launch import workers
    from harness.loop.suite import load_suite
    from harness.planning.prepare import load_variants, prepare_run, write_failed_trials
    from harness.progress import Reporter
    from harness.reporting.tables import refresh
    from harness.settings.process_environment import check_sockets, notes
    from harness.store.untrusted import check_files, make_way, validate_run_folder

    variants = load_variants(config)
    if run.root.exists():
        if config.recompute and not dry_run:
            check_files(run.root, mending=True)
        else:
            validate_run_folder(run.root)
    to_do = print_plan(config, run, variants, load_suite(config.evaluation.suite))
    num_workers = workers.choose_num_workers(jobs, config, len(variants) * len(config.seeds)) if to_do else 1
    if dry_run:
        print_cost_estimate(config, run, variants, to_do, num_workers)
        return {}
    if num_workers > 1:
        check_sockets()
    reporter = Reporter()
    for line in notes:
        reporter.show_line(line)
    new_folders = [folder for folder in (run.root, *run.root.parents) if not folder.exists()]
    with run.lock(reporter.show_line):
        run.show_line = reporter.show_line
        make_way(run, [variant.label for variant in variants], config.recompute)
        workers.warm_up(num_workers)
        try:
            loop = prepare_run(config, run, reporter, cli_args, study)
            loop.write_tables = partial(refresh, everything=False)
        except (UserError, OSError):
            if new_folders and not (run.root / "data").exists():
                remove_empty(new_folders)  # a request that fails leaves nothing behind
            raise
        failed = workers.run_trials(loop, num_workers)
        write_failed_trials(run, failed)
    return failed


def write_and_list_views(run: RunFolder, reports: Path, failed: Mapping[str, str]) -> int:
    """Write every view of the run and print where; returns the exit code."""
    with run.lock(echo):
        paths = write_views(run, reports / f"{run.name}.pdf")
    for label, path in paths.items():
        echo(f"{label:<8}{path}")
    if warning := first_ids_warning(run.root):
        echo(f"WARNING {warning}; an objective may learn these tokens and no more; see tables/first_ids.csv")
    for trial_name, error in failed.items():
        echo(f"failed  {trial_name}: {error}")
    return 2 if failed else 0


def first_ids_warning(root: Path) -> str | None:
    """The warning of the run's first_ids.csv; None without one."""
    from harness.analysis.text_columns import read_table
    from harness.reporting.tables.first_ids import first_ids_sentence

    path = root / "tables" / "first_ids.csv"
    return first_ids_sentence(read_table(path)) if path.is_file() else None


def remove_empty(new_folders: Sequence[Path]) -> None:
    """Remove the new folder of a run, and the new ones above it, as far as they are empty."""
    for file in (LEASE, "journal.jsonl"):
        (new_folders[0] / file).unlink(missing_ok=True)
    for folder in new_folders:
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()


def write_views(run: RunFolder, pdf: Path) -> dict[str, Path]:
    """Write every view of a run, its report as `pdf`; returns their paths by label."""
    from harness.reporting.figures.fonts import missing_glyphs_message
    from harness.reporting.report import write_report
    from harness.reporting.tables import refresh
    from harness.store.small_files import update_all_small_files
    from harness.store.untrusted import make_way

    run.show_line = echo
    make_way(run)
    update_all_small_files(run.root)
    refresh(run.root)
    report_path = write_report(run.root, pdf)
    if note := missing_glyphs_message(report_path.with_suffix(".html").read_text(encoding="utf-8"), f"harness report {run.name}"):
        echo(f"note    {note}")
    curves = run.root / "plots" / "stability_curves.png"
    return {
        "tables": run.root / "tables" / "leaderboard.md",
        "curves": curves if curves.is_file() else curves.with_name("tasks.png"),  # a suite without a mean has no curve of means
        "report": report_path,
    }
