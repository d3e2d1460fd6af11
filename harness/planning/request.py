"""What a command asks for, resolved once: settings, variants, suite and mirror, handed to plan, loop and worker processes."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.config import RunConfig
from harness.discovery.declared import check_declared
from harness.discovery.variants import Variant, list_objectives, parse_variants
from harness.errors import UserError, did_you_mean
from harness.loop.suite import Suite, load_suite
from harness.loop.trials import check_recipe_params, training_settings
from harness.planning.plan_size import check_plan_size
from harness.settings.paths import expand_user


@dataclass(frozen=True)
class RunRequest:
    """Nothing in it is looked up again; worker processes receive it whole.

    mirror: the folder used in place of the hub. options: what was typed, for run.json. study: run.json's entry of the study that
    the run belongs to.
    """

    config: RunConfig
    variants: tuple[Variant, ...]
    suite: Suite
    mirror: Path | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    study: Mapping[str, Any] | None = None


def resolve_request(
    config: RunConfig, options: Mapping[str, Any] | None = None, study: Mapping[str, Any] | None = None
) -> RunRequest:
    """The request of a configuration. Raises UserError for what cannot be found, does not fit, or is too large to run.

    No objective is imported: that takes torch, and `build_objectives`.
    """
    check_plan_size(config)
    variants = find_variants(config)
    return RunRequest(config, tuple(variants), load_run_suite(config), find_mirror(config), options or {}, study)


def load_variants(config: RunConfig) -> list[Variant]:
    """The variants of a run, of which every objective can be built."""
    variants = find_variants(config)
    build_objectives(config, variants)
    return variants


def find_variants(config: RunConfig) -> list[Variant]:
    """The variants of a run. Raises UserError for whatever is wrong with them and their settings that their files' text shows."""
    source, folder = config.source_of("objectives"), config.folder_of("objectives")
    variants = parse_variants(config.objectives, config.objective, source=source, relative_to=folder)
    known_names = {*list_objectives(), *(variant.name for variant in variants)}
    for name in config.objective:
        if name not in known_names:
            source = config.source_of(f"objective.{name}")
            suggestion = did_you_mean(name, known_names)
            raise UserError(f'{source}: [objective.{name}]: unknown objective "{name}"{suggestion}; leave the section out')
    for variant in variants:
        try:
            training_settings(config, variant)
            check_declared(variant)
        except UserError:
            check_recipe_params(config, variant, check_declared)
            raise
    return variants


def build_objectives(config: RunConfig, variants: Sequence[Variant]) -> None:
    """Build every objective of every iteration once, so that a bad parameter is found now."""
    from harness.planning.preflight import validate_needs  # torch, which takes a second to load

    for variant in variants:
        try:
            objectives = variant.objectives(max(config.iterations, variant.longest))[: config.iterations]
        except UserError:
            check_recipe_params(config, variant, lambda part: part.objectives(part.longest))
            raise
        for objective in {id(objective): objective for objective in objectives}.values():
            validate_needs(variant, objective)


def load_run_suite(config: RunConfig) -> Suite:
    """The run's suite. Its version changes where the recipe overrides whether it applies a chat template."""
    suite = load_suite(config.evaluation.suite, config.source_of("evaluation.suite"))
    apply_chat_template = config.evaluation.apply_chat_template
    if apply_chat_template is None or apply_chat_template == suite.apply_chat_template:
        return suite
    version = f"{suite.version}+{'chat' if apply_chat_template else 'plain'}"
    return suite.model_copy(update={"apply_chat_template": apply_chat_template, "version": version})


def find_mirror(config: RunConfig) -> Path | None:
    """The folder used in place of the hub; none without the setting `mirror`, which HARNESS_MIRROR gives too."""
    if not config.mirror:
        return None
    path = Path(os.path.realpath(expand_user(config.mirror)))  # Path.resolve raises for a cycle of links
    if not path.is_dir():
        problem = "is a file, not a folder" if path.exists() else "no such folder"
        raise UserError(f"{config.source_of('mirror')} {config.mirror}: {problem}")
    return path
