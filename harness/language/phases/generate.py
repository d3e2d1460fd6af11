"""K samples per prompt from the opponent: examples -> samples. Never sees a real response."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from harness.language.encoding import Encoder
from harness.language.policy import Completion, Policy
from harness.language.records import Example, Sample
from harness.progress import Advance
from harness.records import digest, keyed_seed
from harness.store.partial_results import NO_PARTIAL_RESULTS, PartialResults
from harness.train.nonfinite import with_example_ids

if TYPE_CHECKING:
    from harness.config import GenerationConfig, RunConfig

SampleKey = tuple[Example, int, int]  # example, index, seed


class Sampler(Protocol):
    """Samples from one checkpoint: the policy itself, or another engine with the same checkpoint."""

    @property
    def encoder(self) -> Encoder: ...

    def sample(
        self, prompts: Sequence[list[int]], seeds: Sequence[int], settings: GenerationConfig, advance: Advance
    ) -> list[Completion]:
        """One response per prompt, in the order given, each with its own seed."""
        ...


class Backend(Sampler, Protocol):
    """A sampler that `generation.backend` names. checkpoint: folder of the loaded adapter, None for the initial policy."""

    engine_record: Mapping[str, Any]  # entries of the manifest's counts, once it has sampled

    def __init__(self, policy: Policy, config: RunConfig, checkpoint: Path | None) -> None: ...

    @staticmethod
    def check(config: RunConfig) -> None:
        """Raises UserError, before anything is loaded, for what it needs and lacks."""


class PolicySampler(Backend):
    """The loaded policy itself."""

    def __init__(self, policy: Policy, config: RunConfig, checkpoint: Path | None) -> None:
        self._policy, self.engine_record = policy, {}

    @property
    def encoder(self) -> Encoder:
        return self._policy.encoder

    def sample(
        self, prompts: Sequence[list[int]], seeds: Sequence[int], settings: GenerationConfig, advance: Advance
    ) -> list[Completion]:
        return self._policy.sample(prompts, seeds, settings, advance)


def generate(
    sampler: Sampler,
    examples: Sequence[Example],
    indices: Sequence[int],
    iteration: int,
    settings: GenerationConfig,
    run_seed: int,
    advance: Advance,
    partial_results: PartialResults = NO_PARTIAL_RESULTS,
) -> list[Sample]:
    """One sample per example and index, in that order, drawn by `sampler`, saved in chunks as they come.

    The seed of a draw depends on (run seed, iteration, example, index) alone: K = 1 is a prefix of K = 3, and adding an
    objective or a seed changes no other samples. Token ids are kept as drawn; a truncated sample has no end token. Where
    another template is used for generation alone, a finished sample ends in the end token it is trained with.
    """
    sample_keys = [
        (example, index, keyed_seed(run_seed, "generate", iteration, example.id, index))
        for example in examples
        for index in indices
    ]
    prompts = {example.id: sampler.encoder.generation_prompt(example) for example in examples}
    with_end_token = sampler.encoder.with_end_token

    def chunk_digest(chunk: Sequence[SampleKey]) -> str:
        return digest(*(f"{seed} {prompts[example.id]}" for example, _, seed in chunk))

    def sample_chunk(chunk: Sequence[SampleKey]) -> list[Any]:
        with with_example_ids([e.id for e, _, _ in chunk]):
            completions = sampler.sample([prompts[e.id] for e, _, _ in chunk], [seed for _, _, seed in chunk], settings, advance)
        return [[with_end_token(c.token_ids, c.finished), c.text, c.finished, c.logp] for c in completions]

    rows = partial_results.map("drawn", sample_keys, chunk_digest, sample_chunk, advance)
    return [
        Sample(example.id, iteration, index, ids, text, finished, seed, logp)
        for (example, index, seed), (ids, text, finished, logp) in zip(sample_keys, rows, strict=True)
    ]


def sample_counts(samples: Sequence[Sample]) -> dict[str, int]:
    """How many samples and tokens were drawn, and how many samples were cut off before their end token."""
    return {
        "samples": len(samples),
        "tokens": sum(len(s.token_ids) for s in samples),
        "truncated": sum(not s.finished for s in samples),
    }
