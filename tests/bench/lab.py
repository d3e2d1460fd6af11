"""The lab as the benchmarks use it: policy, examples, one iteration's groups. Everything here is outside the timed part."""

import contextlib
import io
import logging
from collections.abc import Iterator, Sequence

from harness.config import RunConfig, load_config
from harness.language.data.dataset import load_examples
from harness.language.model.loading import load_policy
from harness.language.phases.generate import generate
from harness.language.policy import Policy
from harness.language.records import Example, Sample
from harness.records import Group
from harness.train.groups import with_reference_logps
from harness.train.score import score
from tests.helpers.peers import quiet

LORA = {"r": 16, "lora_alpha": 32, "target_modules": "all-linear", "lora_dropout": 0.0, "bias": "none", "task_type": "CAUSAL_LM"}


def load(changes: Sequence[str] = ()) -> tuple[RunConfig, Policy, list[Example]]:
    """The lab's settings with these changed, its base with a new adapter, and its training examples."""
    settings = load_config("lab", changes)
    policy = load_policy(settings.model, settings.lora, settings.data.template)
    policy.reset_adapter(0)
    data = load_examples(settings.data, policy.tokenizer, policy.template, policy.context_length, None)
    return settings, policy, data.train


def generate_samples(policy: Policy, examples: list[Example], settings: RunConfig, per_prompt: int = 1) -> list[Sample]:
    return generate(policy, examples, range(per_prompt), 0, settings.generation, 0, quiet)


def with_references(policy: Policy, groups: list[Group]) -> list[Group]:
    return with_reference_logps(groups, score(policy, groups, 2048, quiet).scores)


@contextlib.contextmanager
def silence_libraries() -> Iterator[None]:
    """No bars and no logs from libraries while they are timed."""
    logging.disable(logging.WARNING)
    with contextlib.redirect_stderr(io.StringIO()), contextlib.redirect_stdout(io.StringIO()):
        try:
            yield
        finally:
            logging.disable(logging.NOTSET)
