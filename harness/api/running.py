"""`harness.run`: what `harness run` does, from Python code. The same function underneath, so the same plan, lines and files."""

from __future__ import annotations

import contextlib
import gc
import json
import multiprocessing
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.api.opened_run import Run, open_run
from harness.commands.run import Output, choose_verbosity, run_command
from harness.config import CLI_OPTIONS, DEFAULT_RECIPE, load_config
from harness.errors import UserError
from harness.settings.process_environment import check_hub, set_up_process
from harness.settings.toml_files import flat_items


def run(
    objectives: str | Sequence[str] | None = None,
    *,
    iterations: int | None = None,
    seeds: int | Sequence[int] | None = None,
    recipe: str | os.PathLike[str] = DEFAULT_RECIPE,
    suite: str | os.PathLike[str] | None = None,
    data: str | os.PathLike[str] | None = None,
    model: str | os.PathLike[str] | None = None,
    max_examples: int | None = None,
    settings: Mapping[str, Any] | None = None,
    mirror: str | os.PathLike[str] | None = None,
    name: str | None = None,
    results: str | os.PathLike[str] = "results",
    reports: str | os.PathLike[str] = "reports",
    jobs: int | None = None,
    recompute: bool = False,
    quiet: bool = False,
) -> Run:
    """Run objectives and return the opened run; call it again with the same arguments to resume, with more to extend.

    objectives: variants as on the command line, "space,spin:beta=0.5,./mine.py", or a list of such. settings: any setting of a
    recipe by dotted key, {"training.lr": 1e-4}, or nested; None leaves one at the recipe's value.
    jobs: trials at once, one process each; None: one per GPU or CPU core. quiet: print less, as with --quiet. The rest is as
    in `harness run --help`; what is left out is the recipe's. Plan, progress and paths are printed as by the command, and
    run.json names the command that does the same.

    Raises UserError for what the command refuses, in its words, and where a trial failed; what is finished is kept.
    """
    if multiprocessing.parent_process() is not None:
        raise UserError('harness.run was called while a worker process started; put the call below if __name__ == "__main__":')
    overrides = {
        "objectives": objectives if objectives is None or isinstance(objectives, str) else ",".join(objectives),
        "iterations": iterations,
        "seeds": [seeds] if isinstance(seeds, int) else None if seeds is None else list(seeds),
        "evaluation.suite": _text(suite),
        "data.source": _text(data),
        "model.path": _text(model),
        "data.max_examples": max_examples,
        "mirror": _text(mirror),
        "recompute": recompute or None,
    }
    given = {key: value for key, value in overrides.items() if value is not None}
    items = [f"{key}={_toml(key, value)}" for key, value in flat_items(settings or {}) if value is not None]
    output = Output(Path(results), Path(reports), dry_run=False, jobs=jobs, verbosity=choose_verbosity(quiet, verbose=False))
    recipe_text = os.fspath(recipe)
    run_name = load_config(recipe_text, items, given).default_run_name() if name is None else name
    command = _command(recipe_text, items, given, name, output)
    set_up_process()
    check_hub()
    with _as_command(command):
        exit_code = run_command(recipe_text, items, given, name, output)
    opened = open_run(output.results / run_name)
    if exit_code:
        failed = "; ".join(f"{trial}: {error}" for trial, error in opened.failed.items())
        raise UserError(
            f"{len(opened.failed)} trial(s) of {opened.root} failed ({failed}); what is finished is kept: call harness.run again "
            f"to go on, or harness.open_run to read it"
        )
    return opened


def _text(value: str | os.PathLike[str] | None) -> str | None:
    return None if value is None else os.fspath(value)


def _toml(key: str, value: Any) -> str:
    """The value as it is typed behind --set KEY=. Raises UserError for one that has no such form."""
    try:
        return json.dumps(os.fspath(value) if isinstance(value, os.PathLike) else value, ensure_ascii=False)
    except (TypeError, ValueError):
        kind = type(value).__name__
        raise UserError(
            f"settings {key}: {value!r} is a {kind}; expected text, a number, True, False or a list of them"
        ) from None


def _command(
    recipe: str, items: Sequence[str], overrides: Mapping[str, Any], name: str | None, output: Output
) -> list[str]:  # fmt: skip
    """The command line that does the same."""
    arguments = ["harness", "run"]
    for key, value in overrides.items():
        text = ",".join(map(str, value)) if isinstance(value, list) else str(value)
        arguments += [CLI_OPTIONS[key]] if value is True else [CLI_OPTIONS[key], text]
    arguments += ["--recipe", recipe] if recipe != DEFAULT_RECIPE else []
    for item in items:
        arguments += ["--set", item]
    for option, value, default in (
        ("--name", name, None), ("--results", str(output.results), "results"), ("--reports", str(output.reports), "reports"),
        ("--jobs", output.jobs, None),
    ):  # fmt: skip
        arguments += [option, str(value)] if value != default else []
    return arguments


@contextlib.contextmanager
def _as_command(command: Sequence[str]) -> Iterator[None]:
    """Record this command in run.json, and keep worker processes from importing the caller's script, which would run again.

    multiprocessing gives a new process the main module's file to import; workers need nothing of it. Objects that were taken from
    garbage collection for the run are given back.
    """
    main: Any = sys.modules["__main__"]
    missing = object()
    saved = {attribute: getattr(main, attribute, missing) for attribute in ("__file__", "__spec__")}
    saved_arguments = sys.argv
    sys.argv = list(command)
    main.__file__ = main.__spec__ = None
    try:
        yield
    finally:
        sys.argv = saved_arguments
        for attribute, value in saved.items():
            if value is missing:
                delattr(main, attribute)
            else:
                setattr(main, attribute, value)
        gc.unfreeze()
