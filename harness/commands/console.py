"""The terminal that commands print to: plain lines and tables, control characters in them escaped."""

from __future__ import annotations

import json
import shlex
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any

from harness.security.console import SafeConsole
from harness.security.redact import redact

if TYPE_CHECKING:
    from rich.table import Table

console = SafeConsole()


def echo(text: str) -> None:
    """A line; on a terminal it goes on in the next one between two words."""
    console.print(text, soft_wrap=not console.is_terminal)


def echo_command(words: Sequence[str], indent: str = "    ") -> None:
    """A command to be copied: on a terminal that is too narrow for it, it goes on in the next line as a shell takes it."""
    lines = [indent + shlex.quote(words[0])]
    for word in map(shlex.quote, words[1:]):
        if console.is_terminal and len(lines[-1]) + len(word) + 3 > console.width and lines[-1].strip():
            lines[-1] += " \\"
            lines.append(2 * indent + word)
        else:
            lines[-1] += f" {word}"
    console.print("\n".join(lines), soft_wrap=True)


def print_json(value: Any) -> None:
    """A value for programs: JSON in ASCII, so that no text in it can act on a terminal; secrets in it are masked."""
    print(redact(json.dumps(value, indent=2, ensure_ascii=True, default=str)))


def echo_aside(text: str) -> None:
    """A line on standard error, beside a document on standard output."""
    SafeConsole(stderr=True).print(text, soft_wrap=True)


def print_note(text: str) -> None:
    """A sentence or two for people, wrapped between words at the width of the screen."""
    console.print(text)


def make_table(title: str, columns: Sequence[str], right: Collection[str] = ()) -> Table:
    """An empty table without lines; the columns `right` are aligned to the right."""
    from rich.table import Table  # a mistake in the request is told without it

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
