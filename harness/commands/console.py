"""The terminal that commands print to: plain lines and tables, control characters in them escaped."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from rich.table import Table

from harness.security.console import SafeConsole

console = SafeConsole()


def echo(text: str) -> None:
    """A line; on a terminal it goes on in the next one between two words."""
    console.print(text, soft_wrap=not console.is_terminal)


def echo_command(text: str) -> None:
    """A line to be copied, which has no line end within, however long it is."""
    console.print(text, soft_wrap=True)


def make_table(title: str, columns: Sequence[str], right: Collection[str] = ()) -> Table:
    """An empty table without lines; the columns `right` are aligned to the right."""
    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    for column in columns:
        table.add_column(column, justify="right" if column in right else "left", overflow="fold")
    return table


def print_problems(problems: Sequence[str], all_well: str) -> int:
    """A line per problem, or that all is well; returns the exit code of a check."""
    for problem in problems:
        echo(f"PROBLEM  {problem}")
    if not problems:
        echo(all_well)
    return 1 if problems else 0
