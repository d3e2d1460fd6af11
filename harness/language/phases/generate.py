"""The opponent answers every prompt, K times: examples -> samples. Never sees a real response."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

from harness.language.encoding import Encoder
from harness.language.policy import Completion
from harness.language.records import Example, Sample
from harness.progress import Advance
from harness.records import digest, keyed_seed
from harness.store.partial_results import NO_PARTIAL_RESULTS, PartialResults
from harness.train.nonfinite import with_example_ids

if TYPE_CHECKING:
    from harness.config import GenerationConfig

SampleKey = tuple[Example, int, int]  # example, index, seed


class Sampler(Protocol):
    """Draws from the player it stands for: the policy itself, or another engine that holds the same player."""

    @property
    def encoder(self) -> Encoder: ...

    def sample(
        self, prompts: Sequence[list[int]], seeds: Sequence[int], settings: GenerationConfig, advance: Advance
    ) -> list[Completion]:
        """One response per prompt, in the order given, each with its own seed."""
        ...


def generate(
    sampler: Sampler,
    examples: Sequence[Example],
    indices: Sequence[int],
    iteration: int,
    settings: GenerationConfig,
    run_seed: int,
    advance: Advance,
    unfinished: PartialResults = NO_PARTIAL_RESULTS,
) -> list[Sample]:
    """One sample per example and index, in that order, drawn from `sampler`'s player, kept in shards as they come.

    The seed of a draw depends on (run seed, iteration, example, index) alone: K = 1 is a prefix of K = 3, and adding an
    objective or a seed shifts nobody's samples. Token ids are kept as drawn; a truncated sample has no closing token. Where
    another template is used for generation alone, a finished sample ends in the closing token it is trained with.
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
            drawn = sampler.sample([prompts[e.id] for e, _, _ in chunk], [seed for _, _, seed in chunk], settings, advance)
        return [[with_end_token(one.token_ids, one.finished), one.text, one.finished, one.logp] for one in drawn]

    rows = unfinished.chunks.map("drawn", sample_keys, unfinished.chunk_size, chunk_digest, sample_chunk, advance)
    return [
        Sample(example.id, iteration, index, ids, text, finished, seed, logp)
        for (example, index, seed), (ids, text, finished, logp) in zip(sample_keys, rows, strict=True)
    ]


def sample_counts(samples: Sequence[Sample]) -> dict[str, int]:
    """How many samples and tokens were drawn, and how many samples were cut off before their closing token."""
    return {
        "samples": len(samples),
        "tokens": sum(len(s.token_ids) for s in samples),
        "truncated": sum(not s.finished for s in samples),
    }
