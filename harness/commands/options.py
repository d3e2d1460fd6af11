"""Options of commands: how they are read, completed and grouped, which variable or file stands behind them."""

import contextlib
from pathlib import Path
from typing import Annotated, Any

import typer

from harness.commands import completion
from harness.errors import UserError
from harness.settings.paths import expand_user
from harness.settings.user_config import FOLDER_VARIABLES, user_folder

WHAT = "What is run"
DATA = "Model and data"
SETTINGS = "Settings"
OUTPUT = "Where it is written"
HOW = "How it is carried out"
DEFAULT_RESULTS = Path("results")
DEFAULT_REPORTS = Path("reports")


def parse_path(text: Any) -> Path:
    """A path option with `~` expanded. An empty one (an unset shell variable, say) is an error, not the current folder."""
    if not str(text).strip():
        raise typer.BadParameter("is empty; name a path (the current folder is .)")
    if "://" in str(text):
        raise typer.BadParameter(f"{text} is an address; name a path on this machine")
    return expand_user(str(text))


def path_option(help_text: str, *names: str, **others: Any) -> Any:
    return typer.Option(*names, help=help_text, parser=parse_path, metavar="PATH", **others)


def _folder_option(name: str, help_text: str) -> Any:
    """`--results` or `--reports`: as typed, else by its variable, else by the user's file, else as it is called."""

    def fill_in(ctx: typer.Context, param: typer.CallbackParam, value: Path) -> Path:
        if getattr(ctx.get_parameter_source(str(param.name)), "name", "") != "DEFAULT":
            return value
        with contextlib.suppress(*([UserError] if ctx.resilient_parsing else [])):  # the shell completes a word: no messages
            return user_folder(name) or value
        return value

    variable = FOLDER_VARIABLES[name]
    return path_option(
        help_text, f"--{name}", envvar=variable, show_envvar=True, show_default=name, callback=fill_in, rich_help_panel=OUTPUT
    )


ResultsOption = Annotated[Path, _folder_option("results", "Folder that holds the run folders.")]
ReportsOption = Annotated[Path, _folder_option("reports", "Folder for the report.")]
TheoryReports = Annotated[Path, _folder_option("reports", "Folder for theory.pdf, theory.html and theory/.")]
SettingsOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        help="Any setting, as often as needed: training.lr=1e-4 (the list: harness settings)",
        metavar="KEY=VALUE",
        autocompletion=completion.settings,
        rich_help_panel=SETTINGS,
    ),
]
JobsOption = Annotated[
    int | None,
    typer.Option(
        min=1, max=1024, help="Trials at once, one process each.", metavar="N", show_default="one per GPU or CPU core",
        rich_help_panel=HOW,
    ),
]  # fmt: skip
DryRunOption = Annotated[
    bool, typer.Option("--dry-run", help="Print the plan and its cost estimate, and stop.", rich_help_panel=HOW)
]
JsonOption = Annotated[bool, typer.Option("--json", help="As JSON, for programs.")]
RunArgument = Annotated[str, typer.Argument(help="Run name or folder.", metavar="RUN", autocompletion=completion.runs)]
Runs = Annotated[
    list[str] | None,
    typer.Argument(help="Runs, by name or folder, each in detail.", metavar="RUN...", autocompletion=completion.runs),
]
SomeRuns = Annotated[list[str], typer.Argument(help="Runs, by name or folder.", metavar="RUN...", autocompletion=completion.runs)]
ObjectiveArgument = Annotated[
    str,
    typer.Argument(help="Objective by name or .py path.", metavar="NAME", autocompletion=completion.objectives),
]
VariantArgument = Annotated[
    str,
    typer.Argument(
        help="Objective or variant: space, ./mine.py:scale=1000", metavar="VARIANT", autocompletion=completion.objectives
    ),
]
SuiteArgument = Annotated[
    str,
    typer.Argument(help="Suite by name or .toml path.", metavar="NAME", autocompletion=completion.names_in("suites")),
]


def _text(help_text: str, metavar: str, default: str | bool = True, group: str = WHAT, **others: Any) -> Any:
    """An option with one value. default: in words, where the recipe, say, gives it."""
    return typer.Option(help=help_text, metavar=metavar, show_default=default, rich_help_panel=group, **others)


def _named(kind: str, help_text: str, default: str, group: str = WHAT) -> Any:
    """An option that names a recipe, suite or study, or its file."""
    return _text(help_text, "NAME", default, group, autocompletion=completion.names_in(kind))


def _variants(help_text: str, default: str) -> Any:
    return _text(help_text, "VARIANTS", default, autocompletion=completion.variants)


RECIPE, SUITE = "Recipe by name or .toml path.", "Leaderboard by name or .toml path."
ITERATIONS = "Iterations to train; more than before extends the run."

# Of `harness run`, and where another command has the same.
Variants = Annotated[str | None, _variants("Variants, comma-separated: space,spin:beta=0.5:history=0,./mine.py", "the recipe's")]
Iterations = Annotated[int | None, _text(ITERATIONS, "N", "the recipe's")]
Seeds = Annotated[str | None, _text("Seeds, comma-separated: 0,1,2", "LIST", "the recipe's")]
Recipe = Annotated[str, _named("recipes", RECIPE, "lab")]
Suite = Annotated[str | None, _named("suites", SUITE, "the recipe's")]
Data = Annotated[
    str | None,
    _text("Pairs: a file (.jsonl .json .csv .parquet), a folder, or a hub id.", "SOURCE", "the recipe's", DATA),
]
PromptColumn = Annotated[
    str | None, _text("Column of the prompts, where its name is not recognised.", "NAME", "found by its name", DATA)
]
ResponseColumn = Annotated[str | None, _text("Column of the responses, likewise.", "NAME", "found by its name", DATA)]
Model = Annotated[str | None, _text("Base model: a folder or a hub id.", "MODEL", "the recipe's", DATA)]
TrustRemoteCode = Annotated[
    bool | None,
    typer.Option(
        "--trust-remote-code",
        "--run-code-from-model-repository",
        help="Let the model's repository run its own Python code here, with your rights.",
        rich_help_panel=DATA,
    ),
]
MaxExamples = Annotated[int | None, _text("Train on at most this many pairs.", "N", "the recipe's", DATA)]
Mirror = Annotated[
    str | None,
    _text("Folder used in place of the hub (also: HARNESS_MIRROR). No network then.", "DIR", "HARNESS_MIRROR, else none", DATA),
]
RunName = Annotated[
    str | None,
    _text("Name of the run folder.", "NAME", "the recipe's, with a digest of what is changed", OUTPUT,
          autocompletion=completion.runs),
]  # fmt: skip
Recompute = Annotated[
    bool | None,
    typer.Option(
        "--recompute", help="Set aside what is damaged or of another format, and compute it again.", rich_help_panel=HOW
    ),
]
Pdf = Annotated[Path | None, path_option("PDF to write.", show_default="RUN.pdf in --reports", rich_help_panel=OUTPUT)]
ExplorerFile = Annotated[
    Path | None,
    path_option("Page to write.", show_default="RUN.html in --reports", rich_help_panel=OUTPUT),
]
FIGURES = "How the figures look, this time"
FigureWidth = Annotated[
    list[float] | None,
    typer.Option(help="Write every figure in this width too, in inches; as often as needed.", metavar="INCHES",
                 rich_help_panel=FIGURES),
]  # fmt: skip
Font = Annotated[
    str | None,
    _text("Font of the figures: serif, sans-serif, monospace, an installed family, or a .ttf or .otf file.", "FONT",
          "sans-serif", FIGURES),
]  # fmt: skip
Palette = Annotated[str | None, _text("Colours of the methods: methods, grey, okabe-ito", "NAME", "methods", FIGURES)]
Theme = Annotated[str | None, _text("Ground of the figures: light, dark", "NAME", "light", FIGURES)]
Title = Annotated[str | None, _text("Title above the first figure.", "TEXT", "none", FIGURES)]
FetchRecipe = Annotated[str | None, _named("recipes", RECIPE, "lab")]
FetchModel = Annotated[str | None, _text("Base model: a hub id.", "MODEL", "the recipe's", DATA)]
FetchData = Annotated[str | None, _text("Pairs: a hub id.", "SOURCE", "the recipe's", DATA)]
TheoryVariants = Annotated[str | None, _variants("Solve these variants: space:mu=5,./mine.py", "the shipped claims")]

# Of `harness study`.
StudyName = Annotated[
    str | None,
    typer.Argument(
        help="Study by name or .toml path; without it, every study.", metavar="NAME",
        autocompletion=completion.names_in("studies"),
    ),
]  # fmt: skip
StudyVariants = Annotated[str | None, _variants("Run these variants in place of the study's.", "the study's")]
StudyIterations = Annotated[int | None, _text("Iterations to train.", "N", "the study's")]
StudySeeds = Annotated[str | None, _text("Seeds, comma-separated: 0,1,2", "LIST", "the study's")]
StudyRecipe = Annotated[str | None, _named("recipes", RECIPE, "the study's")]
StudySuite = Annotated[str | None, _named("suites", SUITE, "the study's, else the recipe's")]
Validation = Annotated[
    str | None,
    _named("suites", "Suite that settings are chosen on, with items of its own (tuning studies).", "the study's", SETTINGS),
]
TunedBy = Annotated[
    str | None,
    _text("Run that chose settings; every objective is also run at its own.", "RUN", "the study's", SETTINGS,
          autocompletion=completion.runs),
]  # fmt: skip
ReportTo = Annotated[
    str | None,
    _text("Trackers to log to, comma-separated: tensorboard,wandb,trackio,mlflow", "LIST", "the recipe's, else none", OUTPUT),
]
Quiet = Annotated[
    bool,
    typer.Option("--quiet", "-q", help="Print the answer and warnings alone; the log has the rest.", rich_help_panel=HOW),
]
Verbose = Annotated[
    bool, typer.Option("--verbose", "-v", help="Print every phase and every note, as in the log.", rich_help_panel=HOW)
]
Side = Annotated[
    str,
    typer.Argument(
        help="RUN, RUN:OBJECTIVE or RUN:OBJECTIVE@ITERATION (a number, or last).", metavar="SIDE", autocompletion=completion.runs
    ),
]
