"""Replaceable parts by name: worlds, samplers, benchmarks, distributions. Nothing is imported before it is asked for.

A part is a value `package.module:attribute`. Its name is listed below, or an installed package declares it as an entry point of
the group `harness.KINDs`; a setting may hold the value in place of a name. What a part must be is said by its kind's protocol:

world         named by `world`               a class: harness/world.py, World
backend       named by `generation.backend`  a class: harness/language/phases/generate.py, Backend
benchmark     "judge", for a suite with one  a function: harness/language/world.py, LoadBenchmark
distribution  named by `data.distribution`   a module or object: harness/language/phases/diagnostics.py, Distribution

The folder of an optional part (harness/language/engine, harness/language/judge) may be missing: only who asks for it is told.
"""

from __future__ import annotations

import functools
import re
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from harness.errors import UserError, did_you_mean, error_line

OWN_PLUGINS = {
    "world": {"language": "harness.language.world:World"},
    "backend": {
        "transformers": "harness.language.phases.generate:PolicySampler",
        "vllm": "harness.language.engine.sampler:VllmSampler",
    },
    "benchmark": {"judge": "harness.language.judge.benchmark:load_judge_benchmark"},
}


# What a part of a kind has at least; its protocol says the rest.
ATTRIBUTES = {
    "world": ("load_policy", "load_benchmark", "load_examples"),
    "backend": ("check", "sample"),
    "benchmark": ("__call__",),
    "distribution": ("log_prob", "sample"),
}


@functools.cache  # installed packages are searched once, not for every checkpoint
def find_plugin(kind: str, name: str) -> EntryPoint:
    """The part of that name, not imported. Raises ValueError with the known names."""
    own = OWN_PLUGINS.get(kind, {})
    if name in own or re.fullmatch(r"[\w.]+:[\w.]+", name):
        return EntryPoint(name, own.get(name, name), kind)
    declared = {entry.name: entry for entry in entry_points(group=f"harness.{kind}s")}
    if name not in declared:
        raise ValueError(f'unknown {kind} "{name}"{did_you_mean(name, {*own, *declared})}')
    return declared[name]


def named_plugin(kind: str, name: str, setting: str) -> EntryPoint:
    """The part, not imported. Raises UserError where it is unknown to `setting`."""
    try:
        return find_plugin(kind, name)
    except ValueError as error:
        raise UserError(f"{setting}: {error}") from None


def load_plugin(kind: str, name: str, setting: str) -> Any:
    """Import the part. setting: what names it, for errors. Raises UserError where that is unknown, cannot be imported, or is no
    part of this kind.
    """
    entry = named_plugin(kind, name, setting)
    try:
        part = entry.load()
    except Exception as error:  # a module may raise anything while it is imported
        raise UserError(
            f'{setting}: {kind} "{name}" is {entry.value}, which cannot be imported ({error_line(error)}); install it, or name '
            f"another {kind}"
        ) from error
    if missing := [attribute for attribute in ATTRIBUTES[kind] if not hasattr(part, attribute)]:
        raise UserError(
            f'{setting}: {kind} "{name}" is {entry.value}, which is no {kind}: it has no {missing[0]}; what one must be is in '
            "harness/settings/plugins.py"
        )
    return part
