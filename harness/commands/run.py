"""Command `run`: plan a run, run it, write its tables, figures and report."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.commands.console import echo
from harness.config import load_config
from harness.errors import UserError
from harness.progress.reporter import Verbosity
from harness.settings.process_environment import check_sockets, notes
from harness.settings.safe_paths import NAME_RULE, RESERVED_SUFFIXES, is_safe_name
from harness.settings.termination import TERMINATION
from harness.store.opening import as_argument
from harness.store.output_folders import check_path, check_report, check_run_folder, check_writable
from harness.store.run_folder import RunFolder

if TYPE_CHECKING:
    from harness.planning.request import RunRequest
    from harness.reporting.figures.options import FigureOptions


# Options in run.json that are not called as the last part of their key.
RECORDED_NAMES = {"data.source": "data", "model.path": "model"}


@dataclass(frozen=True)
class Output:
    """Where a command writes, and how much of the machine it takes. jobs: trials at once; None: one per GPU or core."""

    results: Path
    reports: Path
    dry_run: bool
    jobs: int | None
    verbosity: Verbosity = Verbosity.NORMAL


def choose_verbosity(quiet: bool, verbose: bool) -> Verbosity:
    """Of --quiet and --verbose. Raises UserError for both."""
    if quiet and verbose:
        raise UserError("--quiet and --verbose: one excludes the other; leave one out")
    return Verbosity.QUIET if quiet else Verbosity.VERBOSE if verbose else Verbosity.NORMAL


def run_command(recipe: str, settings: Sequence[str], overrides: Mapping[str, Any], name: str | None, output: Output) -> int:
    """Run it; returns the exit code: 0 all complete, 2 some trials failed. overrides: by dotted key; settings: of --set."""
    config = load_config(recipe, settings, overrides)
    run = named_run(config.default_run_name() if name is None else name, output.results)
    check_output_folders(run, output.results, output.reports, output.dry_run)
    options = record_options(overrides, {"recipe": recipe, "set": list(settings), "name": name})
    from harness.planning.request import resolve_request

    failed = plan_and_run(resolve_request(config, options), run, output)
    return 0 if output.dry_run else write_and_list_views(run, output, failed)


def record_options(overrides: Mapping[str, Any], others: Mapping[str, Any]) -> dict[str, Any]:
    """What was typed, for run.json, by the names of the options."""
    options = {RECORDED_NAMES.get(key, key.rpartition(".")[2]): value for key, value in overrides.items()}
    return options | {key: value for key, value in others.items() if value not in (None, [])}


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


def plan_and_run(request: RunRequest, run: RunFolder, output: Output) -> dict[str, str]:
    """Print the plan and, unless it is a dry run, carry it out; returns the errors of failed trials, by name."""
    from harness.commands.plan import find_plan, print_cost_estimate, print_plan, print_request
    from harness.planning.request import build_objectives
    from harness.reporting.trackers.libraries import check_trackers

    config, variants, is_quiet = request.config, request.variants, output.verbosity == Verbosity.QUIET
    if not is_quiet:
        print_request(request, run)
    check_request(request, run, output.dry_run)
    check_trackers(config.report_to, config.source_of("report_to") if config.report_to else "")
    with TERMINATION.nothing_open():  # what is imported below takes seconds; a mistake in the request is found by now
        build_objectives(config, variants)
        from harness.commands import work
        from harness.launch import workers
        from harness.progress.screen import Screen

    plan = find_plan(request, run)
    if not is_quiet:
        print_plan(plan, output.reports / f"{run.name}.pdf")
    num_workers = workers.choose_num_workers(output.jobs, config, len(variants) * len(config.seeds)) if plan.to_do else 1
    if output.dry_run:
        print_cost_estimate(request, run, plan.to_do, num_workers)
        return {}
    if num_workers > 1:
        check_sockets()
    screen = Screen(output.verbosity)
    for line in notes:
        screen.show_line(line)
    return work.carry_out(request, run, screen, num_workers)


def check_request(request: RunRequest, run: RunFolder, dry_run: bool) -> None:
    """Raises UserError for whatever the run's folder and the files that settings name show to be wrong, without torch."""
    from harness.planning.unchanged import check_unchanged
    from harness.store.untrusted import check_files, validate_run_folder
    from harness.world import load_world

    if run.root.exists():
        if request.config.recompute and not dry_run:
            check_files(run.root, mending=True)
        else:
            validate_run_folder(run.root)
            check_unchanged(run, request.config, request.variants)
    load_world(request.config.world).check_sources(request.config, request.mirror)


def write_and_list_views(run: RunFolder, output: Output, failed: Mapping[str, str]) -> int:
    """Write every view of the run, print what was found, where it is and what to type next; returns the exit code."""
    from harness.commands.answer import print_answer, print_next, print_paths

    if output.verbosity > Verbosity.QUIET:
        echo("writing tables, figures and the report")
    with run.lock(echo):
        paths = write_views(run, output.reports / f"{run.name}.pdf")
    print_answer(run)
    print_paths(paths)
    if warning := first_ids_warning(run.root):
        echo(f"WARNING {warning}; an objective may learn these tokens and no more; see tables/first_ids.csv")
    for trial_name, error in failed.items():
        echo(f"failed  {trial_name}: {error}")
    if output.verbosity > Verbosity.QUIET:
        print_next(run)
    return 2 if failed else 0


def first_ids_warning(root: Path) -> str | None:
    """The warning of the run's first_ids.csv; None without one."""
    from harness.analysis.text_columns import read_table
    from harness.reporting.tables.first_ids import first_ids_sentence

    path = root / "tables" / "first_ids.csv"
    return first_ids_sentence(read_table(path)) if path.is_file() else None


def write_views(
    run: RunFolder, pdf: Path, show_line: Callable[[str], None] = echo, options: FigureOptions | None = None
) -> dict[str, Path]:
    """Write every view of a run, its report as `pdf`; returns their paths by label. show_line: takes notices. options: of its
    figures, for this time; None: the usual ones."""
    from harness.reporting.figures.fonts import missing_glyphs_message
    from harness.reporting.figures.options import DEFAULT
    from harness.reporting.figures.stale import figures_choice
    from harness.reporting.figures.study.first import STABILITY_FIGURE, STUDY_FIGURE
    from harness.reporting.report import write_report
    from harness.reporting.report.gallery import write_gallery
    from harness.reporting.tables import refresh
    from harness.store.small_files import update_all_small_files
    from harness.store.untrusted import make_way

    run.show_line = show_line
    make_way(run)
    update_all_small_files(run.root)
    earlier, options = figures_choice(run.root / "plots"), options or DEFAULT
    refresh(run.root, options=options)
    if earlier not in (DEFAULT, options):
        again = f"harness report {as_argument(run.root)} {earlier.as_typed()}"
        show_line(f"note    the figures were written with another command's options; for those again: {again}")
    report = write_report(run.root, pdf)
    if pdf.stem == run.name:  # in the folder of reports, not where somebody wants a single one
        write_gallery(pdf.parent)
    if note := missing_glyphs_message(report.text, f"harness report {as_argument(run.root)}"):
        show_line(f"note    {note}")
    first_figures = (run.root / "plots" / f"{stem}.png" for stem in (STUDY_FIGURE, STABILITY_FIGURE))
    curves = next((path for path in first_figures if path.is_file()), None)
    return {
        "tables": run.root / "tables" / "leaderboard.md",
        "curves": curves or run.root / "plots" / "tasks.png",  # a suite without a mean has no curve of means
        "report": report.pdf,
        "explorer": report.explorer,
    }
