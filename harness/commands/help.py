"""How commands are read and their help is shown: quickly, options in groups, words not cut, on 80 columns."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

HELP_NAMES = {"help_option_names": ["-h", "--help"]}
OTHER_OPTIONS = "Options"  # the group of options that name none
EXIT_CODES = {
    "0": "everything that was asked for is done",
    "1": "the request is wrong or a check failed; one line says what to type",
    "2": "some trials of a run failed; the others are finished",
    "130": "interrupted by Ctrl-C; what is finished is kept",
    "143": "terminated by a signal, as schedulers send it; likewise",
}
ROOT_EXAMPLES = """
Begin:
  harness run                # the lab: minutes on two cores, offline
  harness run --objectives space,spin --iters 5 --dry-run    # what it would cost
  harness objectives         # what there is to compare
  harness settings lr        # what can be set, by any part of its name
"""
VARIANTS_HELP = """
Variants, comma-separated: an objective's name or ./FILE.py, then settings of
its own, each behind a colon. Quote what holds a | or a space.
  space,spin                        two objectives as they are
  spin:beta=0.5:history=0           with other hyper-parameters
  'spin:beta=0.1|0.1|5.0'           one value per iteration, the last repeated
  space:training.lr=1e-4            with training settings of its own
  sft:data.examples=300             trained on the first 300 pairs only
  './mine.py:gamma=2 as "Mine, 2"'  with a label for tables and figures
Names and hyper-parameters: harness objectives, harness objectives show NAME
"""
RUN_EXAMPLES = """
Examples:
  harness run --objectives space,spin --iters 5 --seeds 0,1,2
  harness run --recipe lab-from-sft --set training.lr=1e-4 --name slower
  harness run --model ./my-model --data ./pairs.jsonl --suite ./my-suite.toml

Settings, for --set and for recipes: harness settings [PATTERN]. A value comes
from the first that gives one: an option, the environment (HARNESS_MIRROR,
HARNESS_RESULTS, HARNESS_REPORTS), the recipe, your file
~/.config/harness/config.toml, the default.
"""


class Command(TyperCommand):
    """A command whose options stand in the groups that they name (typer's `rich_help_panel`), its epilog as it is written."""

    def get_short_help_str(self, limit: int = 45) -> str:
        return first_sentence(self.help)

    def format_options(self, ctx: Any, formatter: Any) -> None:
        write_options(self, ctx, formatter)

    def format_epilog(self, ctx: Any, formatter: Any) -> None:
        write_text(self.epilog, formatter)


class Commands(TyperGroup):
    """A group of commands. Its own options are there only where one is typed: typer loads pydantic for one left out."""

    def get_short_help_str(self, limit: int = 45) -> str:
        return first_sentence(self.help)

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        params, self.add_help_option = self.params, not args or args[0].startswith("-")  # they stand before the command's name
        self.params = params if self.add_help_option else []
        try:
            return super().parse_args(ctx, args)
        finally:
            self.params, self.add_help_option = params, True

    def format_options(self, ctx: Any, formatter: Any) -> None:
        write_options(self, ctx, formatter)
        self.format_commands(ctx, formatter)

    def format_epilog(self, ctx: Any, formatter: Any) -> None:
        write_text(self.epilog, formatter)
        if ctx.parent is None:
            with formatter.section("Exit codes"):
                formatter.write_dl(list(EXIT_CODES.items()))


class App(typer.Typer):
    """A typer application whose commands are all of class `Command`."""

    def command(self, name: str | None = None, **settings: Any) -> Callable[[Any], Any]:
        return super().command(name, **{"cls": Command, **settings})


def first_sentence(text: str | None) -> str:
    return re.split(r"(?<=\.)\s|\n\n", inspect.cleandoc(text or ""), maxsplit=1)[0].replace("\n", " ")


def option_groups(command: Any, ctx: Any) -> Iterator[tuple[str, list[Any]]]:
    """The groups in the order in which the command names them, the options without one last; each with what it shows."""
    groups: dict[str, list[Any]] = {}
    for param in command.get_params(ctx):
        if param.get_help_record(ctx) is not None:
            fallback = "Arguments" if param.param_type_name == "argument" else OTHER_OPTIONS
            groups.setdefault(getattr(param, "rich_help_panel", None) or fallback, []).append(param)
    others = groups.pop(OTHER_OPTIONS, None)
    yield from groups.items()
    if others:
        yield OTHER_OPTIONS if not groups else "Other options", others


def help_record(param: Any, ctx: Any) -> tuple[str, str]:
    """An option's names and its help; a default in words without the parentheses that typer puts around it."""
    names, text = param.get_help_record(ctx)
    if param.param_type_name == "argument" and param.metavar:
        names = param.metavar  # without its type, which a name for what is meant says better
    return names, re.sub(r"default: \(([^()]*)\)", r"default: \1", text)


def write_options(command: Any, ctx: Any, formatter: Any) -> None:
    for title, params in option_groups(command, ctx):
        with formatter.section(title):
            formatter.write_dl([help_record(param, ctx) for param in params])


def write_text(text: str | None, formatter: Any) -> None:
    """Lines that are not wrapped again."""
    if text:
        formatter.write_paragraph()
        formatter.write(f"{inspect.cleandoc(text)}\n")
