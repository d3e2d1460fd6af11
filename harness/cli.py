"""The command line: parse the options, call one function. No logic here; heavy imports wait until a command needs them.

Annotations are no text here (`from __future__ import annotations`): typer would evaluate each of them again, for every command.
"""

import os
import sys
import traceback
from pathlib import Path
from typing import Annotated, Any

import typer

from harness.commands import options
from harness.commands.help import HELP_NAMES, ROOT_EXAMPLES, RUN_EXAMPLES, VARIANTS_HELP, App, Commands
from harness.commands.listing_app import add_listings
from harness.commands.options import (
    DEFAULT_REPORTS,
    DEFAULT_RESULTS,
    DryRunOption,
    JobsOption,
    JsonOption,
    ReportsOption,
    ResultsOption,
    RunArgument,
    SettingsOption,
    path_option,
)
from harness.commands.run_app import MergedOption, MirrorOption, TrustOption, add_run_commands
from harness.errors import TerminatedBySignal, UserError, unexpected_error_line
from harness.security.escaping import escape_invisible
from harness.security.redact import redact
from harness.settings.process_environment import check_hub, exit_despite_threads, nondaemon_threads, set_up_process
from harness.settings.termination import TERMINATION

app = App(
    name="harness",
    cls=Commands,
    context_settings=HELP_NAMES,
    help="Train self-play fine-tuning objectives under equal conditions and evaluate them after every iteration.",
    epilog=ROOT_EXAMPLES,
    invoke_without_command=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


@app.callback()
def main_options(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Show the versions of this program and of its libraries.")] = False,
) -> None:
    if version:
        from harness.commands.version import print_version

        print_version()
        raise typer.Exit
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


def _given(overrides: dict[str, Any]) -> dict[str, Any]:
    """The settings, by dotted key, whose options were typed."""
    return {key: value for key, value in overrides.items() if value is not None}


@app.command(epilog=VARIANTS_HELP + RUN_EXAMPLES)
def run(
    objectives: options.Variants = None,
    iters: options.Iterations = None,
    seeds: options.Seeds = None,
    recipe: options.Recipe = "lab",
    suite: options.Suite = None,
    data: options.Data = None,
    prompt_column: options.PromptColumn = None,
    response_column: options.ResponseColumn = None,
    model: options.Model = None,
    trust_remote_code: options.TrustRemoteCode = None,
    max_examples: options.MaxExamples = None,
    mirror: options.Mirror = None,
    settings: SettingsOption = None,
    name: options.RunName = None,
    results: ResultsOption = DEFAULT_RESULTS,
    reports: ReportsOption = DEFAULT_REPORTS,
    jobs: JobsOption = None,
    recompute: options.Recompute = None,
    report_to: options.ReportTo = None,
    dry_run: DryRunOption = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> None:
    """Run objectives, evaluate after every iteration, write tables, curves and a report. Repeat the command to resume."""
    from harness.commands.run import Output, choose_verbosity, run_command

    overrides = {
        "objectives": objectives, "iterations": iters, "seeds": seeds, "evaluation.suite": suite, "data.source": data,
        "model.path": model, "data.max_examples": max_examples, "data.prompt_column": prompt_column,
        "data.response_column": response_column, "mirror": mirror, "model.trust_remote_code": trust_remote_code,
        "recompute": recompute, "report_to": report_to,
    }  # fmt: skip
    output = Output(results, reports, dry_run, jobs, choose_verbosity(quiet, verbose))
    raise typer.Exit(run_command(recipe, settings or (), _given(overrides), name, output))


@app.command()
def study(
    name: options.StudyName = None,
    objectives: options.StudyVariants = None,
    iters: options.StudyIterations = None,
    seeds: options.StudySeeds = None,
    recipe: options.StudyRecipe = None,
    suite: options.StudySuite = None,
    validation: options.Validation = None,
    tuned_by: options.TunedBy = None,
    settings: SettingsOption = None,
    results: ResultsOption = DEFAULT_RESULTS,
    reports: ReportsOption = DEFAULT_REPORTS,
    jobs: JobsOption = None,
    report_to: options.ReportTo = None,
    dry_run: DryRunOption = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> None:
    """Run a prepared study, or list them. Repeat to resume; phases that other runs have finished are reused."""
    from harness.commands.run import Output, choose_verbosity
    from harness.commands.study import StudyArguments, list_studies, study_command

    if name is None:
        return list_studies()
    typed = {"objectives": objectives, "iterations": iters, "seeds": seeds, "evaluation.suite": suite, "report_to": report_to}
    overrides = _given(typed)
    arguments = StudyArguments(overrides, settings or (), recipe, validation, tuned_by)
    raise typer.Exit(study_command(name, arguments, Output(results, reports, dry_run, jobs, choose_verbosity(quiet, verbose))))


@app.command()
def status(
    runs: options.Runs = None,
    as_json: JsonOption = False,
    results: ResultsOption = DEFAULT_RESULTS,
) -> None:
    """List the runs, one line each; of a run that is named, every trial's phases, scores and failures, and the next command."""
    from harness.commands.status import status_command

    status_command(runs or (), results, as_json)


@app.command()
def report(
    run: RunArgument,
    out: options.Pdf = None,
    as_json: JsonOption = False,
    report_to: options.ReportTo = None,
    figure_width: options.FigureWidth = None,
    font: options.Font = None,
    palette: options.Palette = None,
    theme: options.Theme = None,
    title: options.Title = None,
    results: ResultsOption = DEFAULT_RESULTS,
    reports: ReportsOption = DEFAULT_REPORTS,
) -> None:
    """Write tables, curves and the PDF of a run again from its files."""
    from harness.commands.inspect import FigureArguments, report_command

    figures = FigureArguments(figure_width or (), font, palette, theme, title)
    report_command(run, results, out, reports, as_json, report_to, figures)


@app.command()
def explore(
    runs: options.SomeRuns,
    out: options.ExplorerFile = None,
    results: ResultsOption = DEFAULT_RESULTS,
    reports: ReportsOption = DEFAULT_REPORTS,
) -> None:
    """Write one HTML page to explore finished runs: every measure by iteration, two players item by item, samples, settings."""
    from harness.commands.explore import explore_command

    explore_command(runs, out, results, reports)


@app.command()
def compare(a: options.Side, b: options.Side, results: ResultsOption = DEFAULT_RESULTS, as_json: JsonOption = False) -> None:
    """Compare two runs: a minus b over the items they share, with 95 % interval and n, and what differs in their settings."""
    from harness.commands.compare import compare_command

    compare_command(a, b, results, as_json)


@app.command()
def fetch(
    to: Annotated[Path, path_option("Folder to fetch into; several recipes may share it.")],
    recipe: options.FetchRecipe = None,
    suite: options.Suite = None,
    model: options.FetchModel = None,
    data: options.FetchData = None,
    settings: SettingsOption = None,
    check: Annotated[bool, typer.Option("--check", help="Fetch nothing; compare every file with its checksum.")] = False,
) -> None:
    """Fetch what a run needs from the hub into a folder, for machines without a network. There: harness run --mirror DIR

    DIR/ORG/NAME holds data sets, DIR/models/ORG/NAME models and adapters, DIR/nltk_data NLTK's sentence data, DIR/mirror.json the
    commit, size and SHA-256 of every file. What is there and intact is not fetched again and stays at its commit.
    """
    from harness.commands.fetch import fetch_command

    overrides = _given({"evaluation.suite": suite, "model.path": model, "data.source": data})
    raise typer.Exit(fetch_command(overrides, to, check, recipe, settings or ()))


@app.command()
def merge(
    run: Annotated[str, typer.Argument(help="Name of the run to join into; created if it does not exist.")],
    folders: Annotated[list[str], typer.Argument(metavar="FOLDER...", help="Runs to join, by name or folder.")],
    results: ResultsOption = DEFAULT_RESULTS,
) -> None:
    """Join trials that were run on several machines with equal settings: whole run folders, or their small files alone."""
    from harness.commands.merge import merge_command

    merge_command(run, folders, results)


@app.command()
def theory(
    objectives: options.TheoryVariants = None,
    iters: Annotated[int | None, typer.Option(min=1, max=20, help="Iterations to solve.")] = None,
    reports: options.TheoryReports = DEFAULT_REPORTS,
) -> None:
    """Solve the objectives exactly on a few outcomes: where is the optimum, and is it a fixed point?"""
    from harness.commands.theory import theory_command

    theory_command(objectives, iters, reports)


@app.command()
def push(
    run: RunArgument,
    objective: Annotated[str, typer.Argument(help="Variant, by its label in the tables.")],
    seed: Annotated[int | None, typer.Option(help="Seed; default: the run's first.")] = None,
    iteration: Annotated[int | None, typer.Option(help="Iteration; default: the last.")] = None,
    to: Annotated[Path | None, path_option("Write the folder here.")] = None,
    repo: Annotated[str | None, typer.Option(help="Repository on the hub: OWNER/NAME")] = None,
    upload: Annotated[bool, typer.Option("--upload", help="Upload, as a private repository.")] = False,
    merged: MergedOption = False,
    mirror: MirrorOption = None,
    trust_remote_code: TrustOption = False,
    results: ResultsOption = DEFAULT_RESULTS,
) -> None:
    """Package a trained adapter with its model card, in peft's format. Shows what it would upload; uploads with --upload only."""
    from harness.commands.push import PushRequest, push_command

    push_command(PushRequest(run, objective, seed, iteration, to, repo, upload, merged, mirror, trust_remote_code), results)


@app.command()
def trace(
    run: RunArgument,
    example_id: Annotated[str, typer.Argument(help="An example's id, or the beginning of it.")],
    as_json: JsonOption = False,
    results: ResultsOption = DEFAULT_RESULTS,
) -> None:
    """Follow one example: its row, its samples, how likely they are and the steps that used it."""
    from harness.commands.trace import trace_command

    trace_command(run, example_id, results, as_json)


add_run_commands(app)


add_listings(app)


def _run_app() -> int:
    """Run the command; returns the exit code. An option that cannot be parsed is a UserError, like every mistake in a request."""
    try:
        return app(prog_name="harness", standalone_mode=False) or 0
    except SystemExit as error:
        if _raising_library(error) not in ("typer", "rich"):
            raise  # theirs is no failure: the end of --show-completion, of a shell's completion, or of whoever read the output
        return int(error.code or 0)
    except Exception as error:
        click_error: Any = error
        if not hasattr(click_error, "format_message"):  # no error of click's; its class depends on typer's version
            raise
        command = click_error.ctx.command_path if getattr(click_error, "ctx", None) else "harness"
        message = click_error.format_message().rstrip(".")
        raise UserError(f"{message[:1].lower()}{message[1:]}; see: {command} --help") from None


def _raising_library(error: SystemExit) -> str:
    return Path(traceback.extract_tb(error.__traceback__)[-1].filename).parent.name


def main() -> Any:
    """Entry point of the `harness` command. A UserError is one line and exit code 1, never a traceback."""
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # waiting threads sleep: spinning ones starve a busy machine
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")  # it would read the metadata of every installed package for them
    threads, exit_code = nondaemon_threads(), 1
    try:
        with TERMINATION.handled():
            set_up_process()
            check_hub()
            exit_code = _run_app()
    except UserError as error:
        _print_error(f"harness: {error}")
    except SystemExit as error:  # third-party code raised it, so its exit code is not passed on
        _print_error(f"harness: {_describe_system_exit(error)}; what is finished is kept; fix that code, then repeat the command")
    except Exception as error:
        line = unexpected_error_line(error)  # None for a bug; its traceback may quote untrusted text
        _print_error(f"harness: {UserError(line)}" if line is not None else traceback.format_exc().rstrip())
    except TerminatedBySignal as error:
        TERMINATION.show_line()
        exit_code = error.exit_code
    exit_despite_threads(threads, exit_code)
    sys.exit(exit_code)


def _describe_system_exit(error: SystemExit) -> str:
    """The SystemExit with the file and line that raised it."""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return f"SystemExit({error.code!r}) was raised in {frame.filename}, line {frame.lineno}"


def _print_error(text: str) -> None:
    print(escape_invisible(redact(text), keep="\n"), file=sys.stderr)
