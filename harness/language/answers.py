"""Answers of a run's checkpoints to a prompt somebody types: in the run's own template, with its settings of generation."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from jinja2 import TemplateError

from harness.config import RunConfig
from harness.errors import UserError
from harness.language.checks import set_generation_template
from harness.language.encoding import encode_prompt
from harness.language.model.loading import load_policy
from harness.language.policy import Completion, Policy
from harness.records import keyed_seed


@dataclass(frozen=True)
class NamedAdapter:
    """A checkpoint: how it is called, the folder of its adapter (None: the initial policy without a stored one) and its seed."""

    name: str
    adapter: Path | None
    seed: int


@dataclass(frozen=True)
class Base:
    """What a run's base is loaded from: its settings, the folder in place of the hub, its recorded commit, date and digest."""

    config: RunConfig
    mirror: Path | None
    commit: str | None
    date: datetime
    digest: str

    def load(self) -> Policy:
        """Raises UserError where it cannot be loaded, or is not what the run was made with."""
        data = self.config.data
        policy = load_policy(
            self.config.model, self.config.lora, data.template, self.mirror, self.commit, data.template_arguments, self.date
        )
        if policy.base_digest != self.digest:
            raise UserError(
                f"model.path={self.config.model.path}: its weights are not those that the run was made with (digest "
                f"{policy.base_digest}, then {self.digest}); bring the model that it was made with, or name its --mirror"
            )
        set_generation_template(policy, self.config)
        return policy


def answer(
    base: Base, checkpoints: Sequence[NamedAdapter], prompt: str, count: int, seed: int
) -> Iterator[tuple[NamedAdapter, list[Completion]]]:
    """`count` answers of each checkpoint. The n-th depends on (seed, n), checkpoint and prompt alone, so that checkpoints answer
    with the same random numbers. Raises UserError for a prompt that the template or the context cannot take.
    """
    policy = base.load()
    prompt_ids = _encode(policy, prompt)
    seeds = [keyed_seed(seed, "sample", index) for index in range(count)]
    for checkpoint in checkpoints:
        if checkpoint.adapter is None:
            policy.reset_adapter(checkpoint.seed)
        else:
            policy.load_adapter(checkpoint.adapter)
        yield checkpoint, policy.sample([prompt_ids] * count, seeds, base.config.generation)


def _encode(policy: Policy, prompt: str) -> list[int]:
    template: Any = policy.encoder.generation_template or policy.template
    try:
        ids = encode_prompt(policy.tokenizer, template.render(policy.tokenizer, prompt), template)
    except (TemplateError, UnicodeEncodeError, TypeError, ValueError) as error:
        raise UserError(f"the prompt cannot be put into the template {template.kind!r} ({error}); change its text") from error
    if len(ids) >= policy.context_length:
        raise UserError(
            f"the prompt has {len(ids)} tokens, and the model's context {policy.context_length}: no room for an answer"
        )
    return ids
