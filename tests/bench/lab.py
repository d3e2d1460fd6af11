"""The lab as the benchmarks use it: policy, examples, one iteration's groups. Everything here is outside the timed part."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Iterator
from typing import Any

import torch

from harness.config import RunConfig, load_config
from harness.language.data.dataset import load_examples
from harness.language.model.loading import load_policy
from harness.language.phases.generate import generate
from harness.language.policy import Policy
from harness.language.records import Example, Sample
from harness.records import Group
from harness.train.groups import groups_of_iteration, with_references
from harness.train.score import score

LORA = {"r": 16, "lora_alpha": 32, "target_modules": "all-linear", "lora_dropout": 0.0, "bias": "none", "task_type": "CAUSAL_LM"}


def quiet(_: int) -> None:
    return None


def config() -> RunConfig:
    return load_config("lab")


def fresh_policy(settings: RunConfig) -> Policy:
    policy = load_policy(settings.model, settings.lora, settings.data.template)
    policy.reset_adapter(0)
    return policy


def examples(settings: RunConfig, policy: Policy) -> list[Example]:
    return load_examples(settings.data, policy.tokenizer, policy.template, policy.context, None).train


def samples_of(policy: Policy, listed: list[Example], settings: RunConfig, per_prompt: int = 1) -> list[Sample]:
    return generate(policy, listed, range(per_prompt), 0, settings.generation, 0, quiet)


def scored_groups(policy: Policy, listed: list[Example], drawn: list[Sample], columns: int = 2048) -> list[Group]:
    groups = groups_of_iteration(policy.encoder, listed, 0, drawn)
    return with_references(groups, score(policy, groups, columns, quiet).scores)


def plain_model(settings: RunConfig) -> Any:
    """The lab's base as transformers loads it: what a peer starts from."""
    import transformers

    from harness.settings.paths import resolve_path

    return transformers.AutoModelForCausalLM.from_pretrained(str(resolve_path(settings.model.path)), dtype=torch.float32)


def plain_adapter(settings: RunConfig) -> Any:
    """The same with peft's own LoRA layers."""
    import peft

    return peft.get_peft_model(plain_model(settings), peft.LoraConfig(**copy.deepcopy(LORA)))


@contextlib.contextmanager
def silence() -> Iterator[None]:
    """No bars and no logs from libraries while they are timed."""
    import io
    import logging

    logging.disable(logging.WARNING)
    with contextlib.redirect_stderr(io.StringIO()), contextlib.redirect_stdout(io.StringIO()):
        try:
            yield
        finally:
            logging.disable(logging.NOTSET)
