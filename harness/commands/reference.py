"""Every command, argument and option with its default, as Markdown: what `harness/docs/commands.md` is made of."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any

import typer

from harness.commands.help import EXIT_CODES, HELP_NAMES, help_record, option_groups

HEAD = """# Commands

Written from the code by `python -m harness.reporting.generated_docs`; the same is behind `--help` of each command. What can be
set by `--set` and in recipes: [recipes/README.md](../recipes/README.md).
"""
HELP_OPTION = "help"  # every command has it; said once


def command_reference(app: typer.Typer) -> str:
    """The whole page."""
    root = typer.main.get_command(app)
    lines = [HEAD, *_command(root, None, "harness"), "Every command has `-h` and `--help`.", "", "## Exit codes", ""]
    lines += [f"- `{code}`: {meaning}" for code, meaning in EXIT_CODES.items()]
    return "\n".join([*lines, "", *_commands(root, _context(root, None, "harness"))]).strip() + "\n"


def _context(command: Any, parent: Any, name: str) -> Any:
    settings = HELP_NAMES if parent is None else {}
    return command.context_class(command, info_name=name, parent=parent, **settings)


def _commands(group: Any, parent: Any) -> Iterator[str]:
    for name in group.list_commands(parent):
        command = group.get_command(parent, name)
        yield from _command(command, parent, name)
        if hasattr(command, "list_commands"):
            yield from _commands(command, _context(command, parent, name))


def _command(command: Any, parent: Any, name: str) -> Iterator[str]:
    context = _context(command, parent, name)
    yield from (f"## `{context.command_path}`", "", inspect.cleandoc(command.help or ""), "")
    yield from ("```text", command.get_usage(context).partition(":")[2].strip(), "```", "")
    for title, params in option_groups(command, context):
        shown = [help_record(param, context) for param in params if param.name != HELP_OPTION]
        if shown:
            yield from (f"{title}:", "", *(f"- `{names}`: {_literal(text)}" for names, text in shown), "")
    if command.epilog:
        yield from ("```text", inspect.cleandoc(command.epilog).strip(), "```", "")


def _literal(text: str) -> str:
    """No <RUN> is read as a tag, no * as emphasis."""
    return " ".join(text.split()).replace("*", r"\*").replace("<", r"\<")
