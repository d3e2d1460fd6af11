"""A trial (variant and seed), its checkpoints, and digests of what they are made from."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from harness.config import RunConfig, TrainingConfig
from harness.discovery.variants import Variant
from harness.errors import UserError
from harness.records import digest
from harness.settings.validation import format_error


@dataclass(frozen=True)
class Trial:
    """One objective variant with one seed."""

    variant: Variant
    seed: int

    @property
    def name(self) -> str:
        return f"{self.variant.label}/seed-{self.seed}"

    def folder(self, iteration: int) -> str:
        return f"{self.name}/iteration-{iteration}"


@dataclass(frozen=True)
class Checkpoint:
    """The policy after some iterations: an adapter folder, or the initial policy of a seed. `digest`: of its weights."""

    seed: int
    adapter: Path | None
    digest: str


def initial_adapter_folder(seed: int) -> str:
    """Folder, in the run's, of the adapter that every trial of a seed starts from."""
    return f"initial/seed-{seed}/adapter"


def content_digest(rows: Sequence[Any]) -> str:
    """Digest of the contents of examples or samples, whichever file they are in."""
    return digest(*(row.identity() for row in rows))


def training_settings(config: RunConfig, variant: Variant) -> TrainingConfig:
    """The shared training settings with the variant's own overrides. Raises UserError for one that does not fit."""
    from pydantic import ValidationError

    if not variant.training:
        return config.training
    try:
        return TrainingConfig.model_validate({**config.training.model_dump(), **variant.training})
    except ValidationError as error:
        raise UserError(f"{variant.label}: training.{format_error(error, TrainingConfig)}") from None


def check_recipe_params(config: RunConfig, variant: Variant, check: Callable[[Variant], object]) -> None:
    """Raises UserError, with the recipe or option it comes from, for a value of [objective.NAME] that the objective refuses.

    check: raises UserError for a variant with a value that it refuses.
    """
    section = config.objective.get(variant.name, {})
    recipe_keys = [key for key in section if key in variant.params]
    for key in recipe_keys:
        if variant.params[key] != section[key]:
            continue  # the variant overrides it
        try:
            check(replace(variant, params={key: variant.params[key]}))
        except UserError as error:
            raise UserError(
                f"{config.source_of(f'objective.{variant.name}.{key}')}: [objective.{variant.name}] {error}"
            ) from None
    training = section.get("training")
    for key, value in training.items() if isinstance(training, Mapping) else ():
        if variant.training.get(key) != value:
            continue
        try:
            training_settings(config, replace(variant, training={key: value}))
        except UserError as error:
            source = config.source_of(f"objective.{variant.name}.training.{key}")
            raise UserError(f"{source}: [objective.{variant.name}] {error}") from None
