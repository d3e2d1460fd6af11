"""What commands on finished runs share, opening and checking a run folder; and command `report`."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from harness.commands.console import echo, echo_aside, print_json
from harness.commands.track import log_to_trackers, parse_trackers
from harness.errors import UserError
from harness.store.opening import open_run
from harness.store.output_folders import check_report
from harness.store.run_folder import RunFolder
from harness.store.untrusted import explain_malformed


class FigureArguments(NamedTuple):
    """What was typed of the figures; None and empty: not given."""

    widths: Sequence[float] = ()
    font: str | None = None
    palette: str | None = None
    theme: str | None = None
    title: str | None = None


NO_FIGURE_ARGUMENTS = FigureArguments()


def report_command(
    run: str,
    results: Path,
    pdf: Path | None,
    reports: Path = Path("reports"),
    as_json: bool = False,
    report_to: str | None = None,
    figures: FigureArguments = NO_FIGURE_ARGUMENTS,
) -> None:
    """Write every view of a run again, its report as `pdf`, else into the folder `reports`; log it to trackers."""
    run_folder = open_run(run, results)
    trackers = parse_trackers(report_to) if report_to is not None else []
    option, pdf = ("--reports", reports / f"{run_folder.name}.pdf") if pdf is None else ("--out", pdf)
    check_report(pdf, option, run_folder.root)
    from harness.reporting.figures.options import figure_options

    options = figure_options(*figures)
    show_line = echo_aside if as_json else echo
    with run_folder.lock(show_line), explain_malformed(run_folder.root):
        from harness.commands.answer import print_paths
        from harness.commands.run import write_views

        paths = write_views(run_folder, pdf, show_line, options)
        if as_json:
            print_json(report_document(run_folder, paths))
        else:
            print_paths(paths)
        if problem := log_to_trackers(run_folder, trackers, show_line):
            raise UserError(problem)


def report_document(run: RunFolder, paths: Mapping[str, Path]) -> dict[str, Any]:
    """The content of `harness report --json`: what was written where, and the numbers of page 1.

    standing: per objective its best and last mean over tasks, drop and gain, as shares of 1, with their intervals and errors of
    sampling items, as in tables/standing.csv; null where there is none.
    """
    record = run.record() or {}
    return {
        "run": run.name,
        "paths": {label: str(path) for label, path in paths.items()},
        "suite": {"name": record["suite"], "version": record["suites"][record["suite"]]["version"]},
        "seeds": record["seeds"],
        "iterations": record["iterations"],
        "standing": _numbers_of(run.root / "tables" / "standing.csv"),
    }


def _numbers_of(path: Path) -> list[dict[str, Any]]:
    if not path.is_file():
        return []
    from harness.analysis.text_columns import TEXT_COLUMNS

    words = TEXT_COLUMNS[path.name]
    with path.open(encoding="utf-8", newline="") as handle:
        return [
            {name: text if name in words else _parse(name, text) for name, text in row.items()} for row in csv.DictReader(handle)
        ]


def _parse(name: str, text: str) -> Any:
    if name == "leader":
        return text == "True"
    return (int(text) if text.isdecimal() else float(text)) if text else None


def check_undamaged(run: RunFolder, phases: Sequence[str]) -> None:
    """Raises UserError where a file of these phases, or the run's copy of an objective, is not what was committed."""
    from harness.discovery.copies import check_copies

    run.verify_phases(phases, recompute=False)
    check_copies(run.root, (run.record() or {})["variants"])
