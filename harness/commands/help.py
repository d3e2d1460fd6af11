"""How the command line reads and shows `--help`: quickly, and with the settings of a run."""

from __future__ import annotations

from typing import Any

from typer.core import TyperCommand, TyperGroup

from harness.settings.listing import list_settings


class Commands(TyperGroup):
    """The group of all commands. Its own --help is an option only where it is typed: typer loads pydantic for one left out."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        self.add_help_option = not args or args[0].startswith("-")  # its options stand before the command's name
        try:
            return super().parse_args(ctx, args)
        finally:
            self.add_help_option = True


class CommandWithSettings(TyperCommand):
    """A command whose help ends with the settings that `--set` takes."""

    def format_epilog(self, ctx: Any, formatter: Any) -> None:
        with formatter.section("Settings, for --set and for recipes"):
            formatter.write_dl(list(list_settings()))
