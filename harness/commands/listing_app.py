"""The command line of what there is: objectives, suites, recipes, settings; and `new-objective`.

Annotations are no text here, as in `harness/cli.py`.
"""

from importlib import import_module
from typing import Annotated

import typer

from harness.commands import completion
from harness.commands.help import VARIANTS_HELP, App, Commands
from harness.commands.options import JsonOption, Mirror, ObjectiveArgument, SettingsOption, SuiteArgument, VariantArgument


def _listing_app(kind: str, help_text: str, epilog: str | None = None, module: str = "listings") -> App:
    """Commands below `kind`, which lists them when typed alone. module: of harness.commands, with the function that does."""
    listing_app = App(name=kind, help=help_text, epilog=epilog, cls=Commands, invoke_without_command=True, rich_markup_mode=None)

    @listing_app.callback()
    def list_all(context: typer.Context, as_json: JsonOption = False) -> None:
        if context.invoked_subcommand is not None and as_json:
            raise typer.BadParameter(f"stands behind the command: {kind} {context.invoked_subcommand} ... --json")
        if context.invoked_subcommand is None:
            getattr(import_module(f"harness.commands.{module}"), f"{kind}_list_command")(as_json)

    return listing_app


objectives_app = _listing_app("objectives", "List, show and check objectives.", VARIANTS_HELP)
suites_app = _listing_app("suites", "List, show and check leaderboards.")
recipes_app = _listing_app("recipes", "List recipes, show what one sets and where each value comes from.", module="recipes")


@recipes_app.command("show")
def recipes_show(
    name: Annotated[
        str,
        typer.Argument(help="Recipe by name or .toml path.", metavar="NAME", autocompletion=completion.names_in("recipes")),
    ],
    as_json: JsonOption = False,
) -> None:
    """Show every setting as this recipe leaves it: value, unit, and the line, file or default it comes from."""
    from harness.commands.recipes import recipes_show_command

    recipes_show_command(name, as_json)


def settings(
    pattern: Annotated[
        str | None,
        typer.Argument(
            help="Only those with this in key or meaning; * stands for anything.",
            metavar="PATTERN",
            autocompletion=completion.setting_names,
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """List every setting: key, default, meaning, type and unit."""
    from harness.commands.recipes import settings_command

    settings_command(pattern, as_json)


def new_objective(
    name: Annotated[str, typer.Argument(help="Name of the objective; NAME.py is written here.", metavar="NAME")],
) -> None:
    """Write NAME.py, a complete objective to change into your own. An existing file is never overwritten."""
    from harness.commands.new_objective import new_objective_command

    new_objective_command(name)


@objectives_app.command("show")
def objectives_show(name: ObjectiveArgument, as_json: JsonOption = False) -> None:
    """Show an objective's equation, needs, hyper-parameters and source."""
    from harness.commands.listings import objectives_show_command

    objectives_show_command(name, as_json)


@objectives_app.command("check")
def objectives_check(name: VariantArgument) -> None:
    """Check the properties every objective must have; exit code 1 when one fails."""
    from harness.commands.listings import objectives_check_command

    raise typer.Exit(objectives_check_command(name))


@suites_app.command("show")
def suites_show(name: SuiteArgument, as_json: JsonOption = False) -> None:
    """Show a leaderboard: task, shots, metric, filter, chance."""
    from harness.commands.listings import suites_show_command

    suites_show_command(name, as_json)


@suites_app.command("check")
def suites_check(
    name: SuiteArgument,
    load: Annotated[bool, typer.Option("--load", help="Load every task with its data too, and count its items.")] = False,
    mirror: Mirror = None,
    settings: SettingsOption = None,
) -> None:
    """Check that this machine has what a leaderboard needs: tasks, metrics, filters, data sets, packages, judge."""
    from harness.commands.listings import suites_check_command

    raise typer.Exit(suites_check_command(name, load, mirror, settings or ()))


def add_listings(app: App) -> None:
    for listing_app in (objectives_app, suites_app, recipes_app):
        app.add_typer(listing_app)
    app.command()(settings)
    app.command("new-objective")(new_objective)
