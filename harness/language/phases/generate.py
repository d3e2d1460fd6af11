"""The opponent answers every prompt, K times: examples -> samples. Never sees a real response."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

from harness.language.encoding import Encoder
from harness.language.policy import Drawn
from harness.language.records import Example, Sample
from harness.progress import Advance
from harness.records import digest, keyed_seed
from harness.store.partial_results import NOTHING_KEPT, Unfinished
from harness.train.nonfinite import naming

if TYPE_CHECKING:
    from harness.config import GenerationConfig

Wanted = tuple[Example, int, int]  # example, index, seed


class Sampler(Protocol):
    """Draws from the player it stands for: the policy itself, or another engine that holds the same player."""

    @property
    def encoder(self) -> Encoder: ...

    def sample(
        self, prompts: Sequence[list[int]], seeds: Sequence[int], settings: GenerationConfig, advance: Advance
    ) -> list[Drawn]:
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
    unfinished: Unfinished = NOTHING_KEPT,
) -> list[Sample]:
    """One sample per example and index, in that order, drawn from `sampler`'s player, kept in shards as they come.

    The seed of a draw depends on (run seed, iteration, example, index) alone: K = 1 is a prefix of K = 3, and adding an
    objective or a seed shifts nobody's samples. Token ids are kept as drawn; a truncated sample has no closing token. Where
    another template is used for generation alone, a finished sample ends in the closing token it is trained with.
    """
    wanted = [
        (example, index, keyed_seed(run_seed, "generate", iteration, example.id, index))
        for example in examples
        for index in indices
    ]
    prompts = {example.id: sampler.encoder.asked(example) for example in examples}
    closed = sampler.encoder.closed

    def key(part: Sequence[Wanted]) -> str:
        return digest(*(f"{seed} {prompts[example.id]}" for example, _, seed in part))

    def work(part: Sequence[Wanted]) -> list[Any]:
        with naming([e.id for e, _, _ in part]):
            drawn = sampler.sample([prompts[e.id] for e, _, _ in part], [seed for _, _, seed in part], settings, advance)
        return [[closed(one.token_ids, one.finished), one.text, one.finished, one.logp] for one in drawn]

    rows = unfinished.shards.each("drawn", wanted, unfinished.size, key, work, advance)
    return [
        Sample(example.id, iteration, index, ids, text, finished, seed, logp)
        for (example, index, seed), (ids, text, finished, logp) in zip(wanted, rows, strict=True)
    ]


def counts(samples: Sequence[Sample]) -> dict[str, int]:
    """How many samples and tokens were drawn, and how many samples were cut off before their closing token."""
    return {
        "samples": len(samples),
        "tokens": sum(len(s.token_ids) for s in samples),
        "truncated": sum(not s.finished for s in samples),
    }
