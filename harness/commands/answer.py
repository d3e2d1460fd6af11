"""The end of a run on the screen: what was found, where it is written, and what to type next."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

from harness.commands.console import console, echo, echo_command
from harness.commands.next_steps import next_commands
from harness.progress.columns import blocks
from harness.store.run_folder import RunFolder

HEADER = ("objective", "first", "best", "last", "change from the start")


def print_answer(run: RunFolder) -> None:
    """Print the objectives of a finished run and the sentence of its report's first page."""
    from harness.analysis.facts import RunResults
    from harness.reporting.answer import answer_rows, caption, mean_is_known, start_cell
    from harness.reporting.first_page.build import headlines
    from harness.reporting.tables.reading import Tables

    tables = Tables(RunResults(run.root))
    if mean_is_known(tables):
        for panel in tables.panels:
            rows = answer_rows(tables, panel)
            cells = [(row.objective, row.first, row.best, row.last, row.change) for row in rows]
            title = f"{panel['title']}; " if panel["title"] else ""
            echo(f"\n{title}start: {start_cell(tables)} %")
            for block in blocks([HEADER, *cells], console.width):
                echo("\n".join(block))
            for row in rows:
                echo(f"collapse of {row.objective}: {row.collapse}")
        echo(f"{caption(tables)}\n")
    for sentence in headlines(tables):
        echo(sentence)
    echo("")


def print_paths(paths: Mapping[str, Path]) -> None:
    for label, path in paths.items():
        echo(f"{label:<10}{path}")


def print_next(run: RunFolder) -> None:
    """Print what to type next, each command in one line of its own, to be copied."""
    record = run.record()
    commands = next_commands(sys.argv[1:], run.root, record) if record else {}
    if commands:
        echo("\nnext")
    for purpose, words in commands.items():
        echo(f"  {purpose}")
        echo_command(words)
