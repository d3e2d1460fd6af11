"""The end of a run on the screen: what was found, where it is written, and what to type next."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Mapping
from pathlib import Path

from rich.table import Table

from harness.commands.console import console, echo, echo_command, make_table
from harness.commands.next_steps import next_commands
from harness.store.run_folder import RunFolder

LABEL_WIDTH = 22  # a longer label goes on in the next line
COLUMNS = ("objective", "first", "best", "last", "change from the start", "collapse")


def print_answer(run: RunFolder) -> None:
    """Print the objectives of a finished run and the sentence of its report's first page."""
    from harness.analysis.facts import RunResults
    from harness.reporting.answer import answer_rows, answer_sentences, caption, mean_is_known, start_cell
    from harness.reporting.report.content.tables import Tables

    tables = Tables(RunResults(run.root))
    if mean_is_known(tables):
        for panel in tables.panels:
            title = f"{panel['title']}; " if panel["title"] else ""
            table = make_table(f"{title}start: {start_cell(tables)} %", COLUMNS)
            for column in table.columns[1:5]:
                column.no_wrap = True
            for row in answer_rows(tables, panel):
                table.add_row(_wrapped_label(row.objective), row.first, row.best, row.last, row.change, row.collapse)
            _print_table(table)
        echo(caption(tables))
        echo("")
    for sentence in answer_sentences(tables):
        echo(sentence)
    echo("")


def print_paths(paths: Mapping[str, Path]) -> None:
    for label, path in paths.items():
        echo(f"{label:<8}{path}")


def print_next(run: RunFolder) -> None:
    """Print what to type next, each command in one line of its own, to be copied."""
    record = run.record()
    commands = next_commands(sys.argv[1:], record) if record else {}
    if commands:
        echo("\nnext")
    for purpose, command in commands.items():
        echo_command(f"  {purpose:<16}{command}")


def _wrapped_label(label: str) -> str:
    return "\n".join(textwrap.wrap(label, LABEL_WIDTH))


def _print_table(table: Table) -> None:
    console.print(table)
