"""How well the first ids of a response alone tell real from synthetic ones. A token that does lets every objective cheat.

Legend: n responses of each kind; an accuracy is that of the best classifier that knows the first `depth` ids and the two
empirical distributions, (1 + total variation distance) / 2. It is above 1/2 for two samples of one distribution too, so it is
held against what random halves of the real responses show, taken at the same size.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.language.records import Example, Sample
from harness.records import keyed_seed

if TYPE_CHECKING:
    from harness.language.encoding import Encoder

DEPTHS = (1, 2, 3)
SPLITS = 200
SPACES = str.maketrans({"Ġ": "·", "▁": "·", "Ċ": "↵"})  # as vocabularies write a space and a line break -> as a reader sees them
Ids = Sequence[int]


@dataclass(frozen=True)
class FirstIds:
    """One depth. halves_high: the most that any of the random splits of the real responses shows.

    told_by: the first ids whose shares differ most, with these shares among the real and the synthetic responses.
    """

    depth: int
    n: int
    accuracy: float
    halves: float
    halves_high: float
    told_by: tuple[int, ...]
    real_share: float
    synthetic_share: float

    @property
    def telling(self) -> bool:
        """Whether the first ids tell more than chance would: more than in every one of the splits."""
        return self.accuracy > self.halves_high


def first_ids(real: Sequence[Ids], synthetic: Sequence[Ids], key: tuple[object, ...]) -> list[FirstIds]:
    """One entry per depth; none where there are fewer than four responses. key: what the random splits are drawn from.

    real, synthetic: ids of responses, closing token included, any number of each.
    """
    n = min(len(real) // 2, len(synthetic))
    if n < 2:
        return []
    return [_at(depth, real, synthetic, n, np.random.default_rng(keyed_seed("first ids", depth, *key))) for depth in DEPTHS]


def first_ids_of(
    encoder: Encoder, tokenizer: Any, examples: Sequence[Example], samples: Sequence[Sample], key: tuple[object, ...]
) -> list[dict[str, Any]]:
    """How well the first ids tell the examples' real responses from these samples, with the tokens as text."""
    found = first_ids([encoder.real(e) for e in examples], [s.token_ids for s in samples], key)
    said = [" ".join(map(str, tokenizer.convert_ids_to_tokens(list(one.told_by)))).translate(SPACES) for one in found]
    return [{**dataclasses.asdict(one), "telling": one.telling, "told_by": text} for one, text in zip(found, said, strict=True)]


def _at(depth: int, real: Sequence[Ids], synthetic: Sequence[Ids], n: int, generator: np.random.Generator) -> FirstIds:
    words: dict[tuple[int, ...], int] = {}
    theirs, ours = (
        np.array([words.setdefault(tuple(ids[:depth]), len(words)) for ids in responses]) for responses in (real, synthetic)
    )
    found, halves = [], []
    for _ in range(SPLITS):
        order = generator.permutation(len(theirs))
        some, others = theirs[order[:n]], theirs[order[n : 2 * n]]
        halves.append(_accuracy(some, others, len(words)))
        found.append(_accuracy(some, ours[generator.permutation(len(ours))[:n]], len(words)))
    shares = [np.bincount(values, minlength=len(words)) / len(values) for values in (theirs, ours)]
    place = int(np.abs(shares[0] - shares[1]).argmax())
    return FirstIds(
        depth=depth,
        n=n,
        accuracy=float(np.mean(found)),
        halves=float(np.mean(halves)),
        halves_high=float(np.max(halves)),
        told_by=list(words)[place],
        real_share=float(shares[0][place]),
        synthetic_share=float(shares[1][place]),
    )


def _accuracy(one: np.ndarray, other: np.ndarray, words: int) -> float:
    """(n,) and (n,) word numbers below `words` -> accuracy of the best classifier between their distributions."""
    apart = np.abs(np.bincount(one, minlength=words) - np.bincount(other, minlength=words)).sum()
    return float(0.5 + apart / (4 * len(one)))
