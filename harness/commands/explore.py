"""Command `explore`: one HTML page in which finished runs are looked at player by player and item by item."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from harness.commands.console import echo
from harness.errors import UserError
from harness.store.opening import open_run
from harness.store.output_folders import check_outside_runs, check_writable
from harness.store.untrusted import explain_malformed

SUFFIX = ".html"
PAGE_MARK, MARK_WITHIN = b": explorer</title>", 1 << 16  # in the head of every page that this command writes


def explore_command(runs: Sequence[str], out: Path | None, results: Path, reports: Path) -> None:
    """Write the page as `out`, else into the folder `reports`, and print where. Nothing is written into a run folder."""
    folders = [open_run(run, results) for run in dict.fromkeys(runs)]
    option, page = ("--out", out) if out is not None else ("--reports", reports / default_name([run.name for run in folders]))
    check_page(page, option)
    from harness.analysis.facts import RunResults
    from harness.reporting.explorer.page import write_explorer

    with explain_malformed(folders[0].root if len(folders) == 1 else results):
        write_explorer([RunResults(run.root) for run in folders], page)
    echo(f"explorer: {page} ({page.stat().st_size / 1e6:.1f} MB, one file; open it in a browser)")


def default_name(names: Sequence[str]) -> str:
    return f"{names[0]}{SUFFIX}" if len(names) == 1 else "explorer.html"


def check_page(page: Path, option: str) -> None:
    """Raises UserError where the page cannot be written, or would lie in a run folder or over something that is no page."""
    if page.suffix.lower() not in (".html", ".htm"):
        raise UserError(f"{option} {page}: expected the name of an HTML page, for example {page.name or 'explorer'}.html")
    check_outside_runs(page, option)
    if os.path.isdir(page):
        raise UserError(f"{option} {page}: is a folder; name the file to write with {option}")
    if page.is_file() and PAGE_MARK not in page.read_bytes()[:MARK_WITHIN]:
        raise UserError(f"{option} {page}: is there, and is no explorer's page; name another with --out FILE, or remove it")
    check_writable(option, page.parent)
