"""What to type after a run: the same command with more seeds or more iterations, and a comparison with another run."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.settings.safe_paths import is_safe_name

COMMANDS = ("run", "study")


def next_commands(arguments: Sequence[str], root: Path, record: Mapping[str, Any]) -> dict[str, list[str]]:
    """The words of commands by what they are for. arguments: what was typed after `harness`; root, record: the folder of the run
    that it ended with, and its run.json.

    Empty for a program that does not belong to a command. More seeds and iterations go on in the same run folder.
    """
    if not arguments or arguments[0] not in COMMANDS:
        return {}
    seeds, iterations = list(record["seeds"]), int(record["iterations"])
    commands = {
        "more seeds": _with_option(arguments, "--seeds", ",".join(map(str, _more_seeds(seeds)))),
        "more iterations": _with_option(arguments, "--iters", str(2 * iterations if iterations > 1 else 5)),
    }
    other = _run_to_compare(root, record)
    if other is not None:
        commands["compare"] = ["harness", "compare", root.name, other, *_option(arguments, "--results")]
    return commands


def _more_seeds(seeds: list[int]) -> list[int]:
    """The seeds with so many new ones that there is an interval over seeds, else two more."""
    from harness.analysis.stats import MIN_SEEDS_FOR_INTERVAL  # scipy

    wanted = max(MIN_SEEDS_FOR_INTERVAL, len(seeds) + 2 * (len(seeds) >= MIN_SEEDS_FOR_INTERVAL))
    new = (seed for seed in range(wanted + len(seeds)) if seed not in seeds)
    return [*seeds, *(next(new) for _ in range(wanted - len(seeds)))]


def _option(arguments: Sequence[str], option: str) -> list[str]:
    """An option as it was typed, with its value; nothing where it was not."""
    for number, argument in enumerate(arguments):
        if argument == option:
            return list(arguments[number : number + 2])
        if argument.startswith(f"{option}="):
            return [argument]
    return []


def _with_option(arguments: Sequence[str], option: str, value: str) -> list[str]:
    """The typed command with another value of an option."""
    kept = list(arguments)
    while typed := _option(kept, option):
        start = kept.index(typed[0])
        del kept[start : start + len(typed)]
    return ["harness", *kept, option, value]


def _run_to_compare(root: Path, record: Mapping[str, Any]) -> str | None:
    """The name of the run beside it that was last written with scores on the same version of the same suite."""
    found = []
    for path in root.parent.glob("*/run.json"):
        with contextlib.suppress(OSError, ValueError, LookupError, TypeError):  # somebody else's file
            other = json.loads(path.read_text(encoding="utf-8"))
            is_same_suite = _suite_version(other) == _suite_version(record)
            if path.parent.name != root.name and is_safe_name(path.parent.name) and is_same_suite:
                found.append((path.stat().st_mtime, path.parent.name))
    return max(found)[1] if found else None


def _suite_version(record: Mapping[str, Any]) -> tuple[str, str]:
    return record["suite"], record["suites"][record["suite"]]["version"]
