"""What to type after a run: the same command with more seeds or more iterations, and a comparison with another run."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from typing import Any

COMMANDS = ("run", "study")


def next_commands(arguments: Sequence[str], record: Mapping[str, Any]) -> dict[str, str]:
    """Commands by what they are for. arguments: what was typed after `harness`; record: run.json of the run that it ended with.

    Empty for a program that does not belong to a command. The commands go on in the same run folder.
    """
    if not arguments or arguments[0] not in COMMANDS:
        return {}
    seeds, iterations = list(record["seeds"]), int(record["iterations"])
    return {
        "more seeds": _command(arguments, "--seeds", ",".join(map(str, _more_seeds(seeds)))),
        "more iterations": _command(arguments, "--iters", str(2 * iterations if iterations > 1 else 5)),
    }


def _more_seeds(seeds: list[int]) -> list[int]:
    """The seeds with so many new ones that there is an interval over seeds, else two more."""
    from harness.analysis.stats import MIN_SEEDS_FOR_INTERVAL  # scipy

    wanted = max(MIN_SEEDS_FOR_INTERVAL, len(seeds) + 2 * (len(seeds) >= MIN_SEEDS_FOR_INTERVAL))
    new = (seed for seed in range(wanted + len(seeds)) if seed not in seeds)
    return [*seeds, *(next(new) for _ in range(wanted - len(seeds)))]


def _command(arguments: Sequence[str], option: str, value: str) -> str:
    """The typed command with another value of an option."""
    kept: list[str] = []
    skip = False
    for argument in arguments:
        if skip:
            skip = False
        elif argument == option:
            skip = True
        elif not argument.startswith(f"{option}="):
            kept.append(argument)
    return shlex.join(["harness", *kept, option, value])
