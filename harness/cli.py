"""The command line: parse the options, call one function. No logic here; heavy imports wait until a command needs them.

Annotations are no text here (`from __future__ import annotations`): typer would evaluate each of them again, for every command.
"""

import os
import signal
import sys
import traceback
from pathlib import Path
from typing import Annotated, Any

import typer

from harness.commands.help import Commands, CommandWithSettings
from harness.errors import TerminatedBySignal, UserError, unexpected_error_line
from harness.security.escaping import escape_invisible
from harness.security.redact import redact
from harness.settings.paths import expand_user
from harness.settings.process_environment import check_hub, exit_despite_threads, nondaemon_threads, set_up_process

app = typer.Typer(
    name="harness",
    cls=Commands,
    help="Train self-play fine-tuning objectives under equal conditions and evaluate them after every iteration.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def _parse_path(text: Any) -> Path:
    """A path option with `~` expanded. An empty one (an unset shell variable, say) is an error, not the current folder."""
    if not str(text).strip():
        raise typer.BadParameter("is empty; name a path (the current folder is .)")
    if "://" in str(text):
        raise typer.BadParameter(f"{text} is an address; name a path on this machine")
    return expand_user(str(text))


def _path_option(help_text: str, *names: str) -> Any:
    return typer.Option(*names, help=help_text, parser=_parse_path, metavar="PATH")


def _sub_app(name: str, help_text: str) -> typer.Typer:
    """Commands below `name`, which lists them when typed alone."""
    sub_app = typer.Typer(help=help_text, invoke_without_command=True, rich_markup_mode=None)
    app.add_typer(sub_app, name=name)

    @sub_app.callback()
    def list_all(context: typer.Context) -> None:
        if context.invoked_subcommand is None:
            from harness.commands import listings

            getattr(listings, f"{name}_list_command")()

    return sub_app


def _given(overrides: dict[str, Any]) -> dict[str, Any]:
    """The settings, by dotted key, whose options were typed."""
    return {key: value for key, value in overrides.items() if value is not None}


ResultsOption = Annotated[Path, _path_option("Folder that holds the run folders.", "--results")]
ReportsOption = Annotated[Path, _path_option("Folder for the report.", "--reports")]
SeedsOption = Annotated[str | None, typer.Option(help="Seeds, comma-separated: 0,1,2")]
SettingsOption = Annotated[list[str] | None, typer.Option("--set", help="Any setting of `harness run --help`: training.lr=1e-4")]
JobsOption = Annotated[
    int | None, typer.Option(min=1, max=1024, help="Trials at once, one process each; default: one per GPU or CPU core.")
]
DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Print the plan and its cost estimate, and stop.")]
SideArgument = Annotated[str, typer.Argument(help="RUN, RUN:OBJECTIVE or RUN:OBJECTIVE@ITERATION (a number, or last).")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON, with every number in full.")]
DEFAULT_RESULTS = Path("results")
DEFAULT_REPORTS = Path("reports")


@app.command(cls=CommandWithSettings)
def run(
    objectives: Annotated[
        str | None, typer.Option(help="Variants, comma-separated: space,spin:beta=0.5:history=0,./mine.py")
    ] = None,
    iters: Annotated[int | None, typer.Option(help="Iterations to train; more than before extends the run.")] = None,
    seeds: SeedsOption = None,
    recipe: Annotated[str, typer.Option(help="Recipe by name or .toml path.")] = "lab",
    suite: Annotated[str | None, typer.Option(help="Leaderboard by name or .toml path.")] = None,
    data: Annotated[str | None, typer.Option(help="Pairs: a file (.jsonl .json .csv .parquet), a folder, or a hub id.")] = None,
    prompt_column: Annotated[str | None, typer.Option(help="Column of the prompts, where its name is not recognised.")] = None,
    response_column: Annotated[str | None, typer.Option(help="Column of the responses, likewise.")] = None,
    model: Annotated[str | None, typer.Option(help="Base model: a folder or a hub id.")] = None,
    trust_remote_code: Annotated[
        bool | None,
        typer.Option(
            "--trust-remote-code",
            "--run-code-from-model-repository",
            help="Let the model's repository run its own Python code here, with your rights.",
        ),
    ] = None,
    max_examples: Annotated[int | None, typer.Option(help="Train on at most this many pairs.")] = None,
    mirror: Annotated[
        str | None, typer.Option(help="Folder used in place of the hub (also: HARNESS_MIRROR). No network then.")
    ] = None,
    settings: SettingsOption = None,
    name: Annotated[str | None, typer.Option(help="Name of the run folder.")] = None,
    results: ResultsOption = DEFAULT_RESULTS,
    reports: ReportsOption = DEFAULT_REPORTS,
    jobs: JobsOption = None,
    recompute: Annotated[
        bool | None, typer.Option("--recompute", help="Set aside what is damaged or of another format, and compute it again.")
    ] = None,
    dry_run: DryRunOption = False,
) -> None:
    """Run objectives, evaluate after every iteration, write tables, curves and a report. Repeat the command to resume."""
    from harness.commands.run import Output, run_command

    overrides = {
        "objectives": objectives, "iterations": iters, "seeds": seeds, "evaluation.suite": suite, "data.source": data,
        "model.path": model, "data.max_examples": max_examples, "data.prompt_column": prompt_column,
        "data.response_column": response_column, "mirror": mirror, "model.trust_remote_code": trust_remote_code,
        "recompute": recompute,
    }  # fmt: skip
    output = Output(results, reports, dry_run, jobs)
    raise typer.Exit(run_command(recipe, settings or (), _given(overrides), name, output))


@app.command()
def study(
    name: Annotated[str | None, typer.Argument(help="Study by name or .toml path; without it, every study.")] = None,
    objectives: Annotated[str | None, typer.Option(help="Run these variants instead of the study's own.")] = None,
    iters: Annotated[int | None, typer.Option(help="Iterations instead of the study's own.")] = None,
    seeds: Annotated[str | None, typer.Option(help="Seeds instead of the study's own: 0,1,2")] = None,
    recipe: Annotated[str | None, typer.Option(help="Recipe by name or .toml path; default: the study's.")] = None,
    suite: Annotated[str | None, typer.Option(help="Leaderboard by name or .toml path; default: the recipe's.")] = None,
    validation: Annotated[
        str | None, typer.Option(help="Suite that settings are chosen on, with items of its own (tuning studies).")
    ] = None,
    tuned_by: Annotated[
        str | None, typer.Option(help="Run that chose settings; every objective is also run at its own. Default: the study's.")
    ] = None,
    settings: SettingsOption = None,
    results: ResultsOption = DEFAULT_RESULTS,
    reports: ReportsOption = DEFAULT_REPORTS,
    jobs: JobsOption = None,
    dry_run: DryRunOption = False,
) -> None:
    """Run a prepared study, or list them. Repeat to resume; phases that other runs have finished are reused."""
    from harness.commands.run import Output
    from harness.commands.study import StudyArguments, list_studies, study_command

    if name is None:
        return list_studies()
    overrides = _given({"objectives": objectives, "iterations": iters, "seeds": seeds, "evaluation.suite": suite})
    arguments = StudyArguments(overrides, settings or (), recipe, validation, tuned_by)
    raise typer.Exit(study_command(name, arguments, Output(results, reports, dry_run, jobs)))


@app.command()
def status(
    run: Annotated[str | None, typer.Argument(help="Run name or folder; without it, every run.")] = None,
    results: ResultsOption = DEFAULT_RESULTS,
) -> None:
    """Show which phases of a run are complete: trial x iteration x phase."""
    from harness.commands.inspect import status_command

    status_command(run, results)


@app.command()
def report(
    run: Annotated[str, typer.Argument(help="Run name or folder.")],
    out: Annotated[Path | None, _path_option("PDF to write; default reports/<run>.pdf")] = None,
    results: ResultsOption = DEFAULT_RESULTS,
) -> None:
    """Write tables, curves and the PDF of a run again from its files."""
    from harness.commands.inspect import report_command

    report_command(run, results, out)


@app.command()
def compare(a: SideArgument, b: SideArgument, results: ResultsOption = DEFAULT_RESULTS, as_json: JsonOption = False) -> None:
    """Compare two runs: a minus b over the items they share, with 95 % interval and n, and what differs in their settings."""
    from harness.commands.compare import compare_command

    compare_command(a, b, results, as_json)


objectives_app = _sub_app("objectives", "List, show and check objectives.")
suites_app = _sub_app("suites", "List, show and check leaderboards.")


@objectives_app.command("show")
def objectives_show(name: Annotated[str, typer.Argument(help="Objective by name or path.")]) -> None:
    """Show an objective's equation, needs, hyper-parameters and source."""
    from harness.commands.listings import objectives_show_command

    objectives_show_command(name)


@objectives_app.command("check")
def objectives_check(name: Annotated[str, typer.Argument(help="Objective or variant: space, ./mine.py:scale=1000.")]) -> None:
    """Check the properties every objective must have; exit code 1 when one fails."""
    from harness.commands.listings import objectives_check_command

    raise typer.Exit(objectives_check_command(name))


@app.command()
def fetch(
    to: Annotated[Path, _path_option("Folder to fetch into; several recipes may share it.")],
    recipe: Annotated[str | None, typer.Option(help="Recipe by name or .toml path; default: lab.")] = None,
    suite: Annotated[str | None, typer.Option(help="Leaderboard by name or .toml path.")] = None,
    model: Annotated[str | None, typer.Option(help="Base model: a hub id.")] = None,
    data: Annotated[str | None, typer.Option(help="Pairs: a hub id.")] = None,
    settings: SettingsOption = None,
    check: Annotated[bool, typer.Option("--check", help="Fetch nothing; compare every file with its checksum.")] = False,
) -> None:
    """Fetch what a run needs from the hub into a folder, for machines without a network: harness run ... --mirror DIR

    DIR/ORG/NAME holds data sets, DIR/models/ORG/NAME models and adapters, DIR/nltk_data NLTK's sentence data, DIR/mirror.json the
    commit, size and SHA-256 of every file. What is there and intact is not fetched again and stays at its commit.
    """
    from harness.commands.fetch import fetch_command

    overrides = _given({"evaluation.suite": suite, "model.path": model, "data.source": data})
    raise typer.Exit(fetch_command(overrides, to, check, recipe, settings or ()))


@suites_app.command("show")
def suites_show(name: Annotated[str, typer.Argument(help="Suite by name or .toml path.")]) -> None:
    """Show a leaderboard: task, shots, metric, filter, chance."""
    from harness.commands.listings import suites_show_command

    suites_show_command(name)


@suites_app.command("check")
def suites_check(
    name: Annotated[str, typer.Argument(help="Suite by name or .toml path.")],
    load: Annotated[bool, typer.Option("--load", help="Load every task with its data too, and count its items.")] = False,
    mirror: Annotated[str | None, typer.Option(help="Folder used in place of the hub.")] = None,
    settings: SettingsOption = None,
) -> None:
    """Check that this machine has what a leaderboard needs: tasks, metrics, filters, data sets, packages, judge."""
    from harness.commands.listings import suites_check_command

    raise typer.Exit(suites_check_command(name, load, mirror, settings or ()))


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
    objectives: Annotated[
        str | None, typer.Option(help="Solve these variants instead of the shipped claims: space:mu=5,./mine.py")
    ] = None,
    iters: Annotated[int | None, typer.Option(min=1, max=20, help="Iterations to solve.")] = None,
    reports: Annotated[Path, _path_option("Folder for theory.pdf, theory.html and theory/.")] = DEFAULT_REPORTS,
) -> None:
    """Solve the objectives exactly on a few outcomes: where is the optimum, and is it a fixed point?"""
    from harness.commands.theory import theory_command

    theory_command(objectives, iters, reports)


@app.command()
def push(
    run: Annotated[str, typer.Argument(help="Run name or folder.")],
    objective: Annotated[str, typer.Argument(help="Variant, by its label in the tables.")],
    seed: Annotated[int | None, typer.Option(help="Seed; default: the run's first.")] = None,
    iteration: Annotated[int | None, typer.Option(help="Iteration; default: the last.")] = None,
    to: Annotated[Path | None, _path_option("Write the folder here.")] = None,
    repo: Annotated[str | None, typer.Option(help="Repository on the hub: OWNER/NAME")] = None,
    upload: Annotated[bool, typer.Option("--upload", help="Upload, as a private repository.")] = False,
    results: ResultsOption = DEFAULT_RESULTS,
) -> None:
    """Package a trained adapter with its model card, in peft's format. Shows what it would upload; uploads with --upload only."""
    from harness.commands.push import push_command

    push_command(run, objective, seed, iteration, to, repo, upload, results)


@app.command()
def trace(
    run: Annotated[str, typer.Argument(help="Run name or folder.")],
    example_id: Annotated[str, typer.Argument(help="An example's id, or the beginning of it.")],
    results: ResultsOption = DEFAULT_RESULTS,
) -> None:
    """Follow one example: its row, its samples, their scores and the steps that used it."""
    from harness.commands.inspect import trace_command

    trace_command(run, example_id, results)


def _run_app() -> int:
    """Run the command; returns the exit code. An option that cannot be parsed is a UserError, like every mistake in a request."""
    try:
        return app(standalone_mode=False) or 0
    except Exception as error:
        click_error: Any = error
        if not hasattr(click_error, "format_message"):  # no error of click's; its class depends on typer's version
            raise
        if type(error).__name__ == "NoArgsIsHelpError":
            click_error.show()
            return 2
        command = click_error.ctx.command_path if getattr(click_error, "ctx", None) else "harness"
        message = click_error.format_message().rstrip(".")
        raise UserError(f"{message[:1].lower()}{message[1:]}; see: {command} --help") from None


def main() -> Any:
    """Entry point of the `harness` command. A UserError is one line and exit code 1, never a traceback."""
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # waiting threads sleep: spinning ones starve a busy machine
    set_up_process()
    threads = nondaemon_threads()
    for signal_number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(signal_number, _raise_terminated)
    exit_code = 1
    try:
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
        reason = "interrupted" if error.exit_code == 128 + signal.SIGINT else "terminated"
        print(f"harness: {reason}; what is finished is kept, repeat the same command to go on", file=sys.stderr)
        exit_code = error.exit_code
    exit_despite_threads(threads, exit_code)
    sys.exit(exit_code)


def _describe_system_exit(error: SystemExit) -> str:
    """The SystemExit with the file and line that raised it."""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return f"SystemExit({error.code!r}) was raised in {frame.filename}, line {frame.lineno}"


def _raise_terminated(signal_number: int, _: object) -> None:
    raise TerminatedBySignal(signal_number)


def _print_error(text: str) -> None:
    print(escape_invisible(redact(text), keep="\n"), file=sys.stderr)
