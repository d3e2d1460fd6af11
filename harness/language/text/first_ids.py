"""How well the first ids of a response alone distinguish real from synthetic ones. A token that does lets every objective cheat.

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
NUM_SPLITS = 200
# as vocabularies write a space and a line break -> as a reader sees them
VISIBLE_WHITESPACE = str.maketrans({"Ġ": "·", "▁": "·", "Ċ": "↵"})
Ids = Sequence[int]


@dataclass(frozen=True)
class FirstIds:
    """One depth. halves, halves_high: mean and largest accuracy over the random splits of the real responses.

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
        """Whether the first ids distinguish better than chance: better than in every one of the splits."""
        return self.accuracy > self.halves_high


def measure_first_ids(real: Sequence[Ids], synthetic: Sequence[Ids], key: tuple[object, ...]) -> list[FirstIds]:
    """One entry per depth; none where there are fewer than four responses. key: what the random splits are drawn from.

    real, synthetic: ids of responses, end token included, any number of each.
    """
    n = min(len(real) // 2, len(synthetic))
    return [_measure_depth(depth, real, synthetic, n, key) for depth in DEPTHS] if n >= 2 else []


def first_id_rows(
    encoder: Encoder, tokenizer: Any, examples: Sequence[Example], samples: Sequence[Sample], key: tuple[object, ...]
) -> list[dict[str, Any]]:
    """How well the first ids distinguish the examples' real responses from these samples, with the tokens as text."""
    measured = measure_first_ids([encoder.real(e) for e in examples], [s.token_ids for s in samples], key)

    def as_text(ids: Ids) -> str:
        return " ".join(map(str, tokenizer.convert_ids_to_tokens(list(ids)))).translate(VISIBLE_WHITESPACE)

    return [{**dataclasses.asdict(m), "telling": m.telling, "told_by": as_text(m.told_by)} for m in measured]


def _measure_depth(depth: int, real: Sequence[Ids], synthetic: Sequence[Ids], n: int, key: tuple[object, ...]) -> FirstIds:
    generator = np.random.default_rng(keyed_seed("first ids", depth, *key))
    code_of: dict[tuple[int, ...], int] = {}
    real_codes, synthetic_codes = (
        np.array([code_of.setdefault(tuple(ids[:depth]), len(code_of)) for ids in responses]) for responses in (real, synthetic)
    )
    accuracies, half_accuracies = [], []
    for _ in range(NUM_SPLITS):
        permutation = generator.permutation(len(real_codes))
        first_half, second_half = real_codes[permutation[:n]], real_codes[permutation[n : 2 * n]]
        half_accuracies.append(_accuracy(first_half, second_half, len(code_of)))
        accuracies.append(_accuracy(first_half, synthetic_codes[generator.permutation(len(synthetic_codes))[:n]], len(code_of)))
    shares = [np.bincount(values, minlength=len(code_of)) / len(values) for values in (real_codes, synthetic_codes)]
    most_different = int(np.abs(shares[0] - shares[1]).argmax())
    return FirstIds(
        depth=depth,
        n=n,
        accuracy=float(np.mean(accuracies)),
        halves=float(np.mean(half_accuracies)),
        halves_high=float(np.max(half_accuracies)),
        told_by=list(code_of)[most_different],
        real_share=float(shares[0][most_different]),
        synthetic_share=float(shares[1][most_different]),
    )


def _accuracy(first: np.ndarray, second: np.ndarray, num_codes: int) -> float:
    """(n,) and (n,) codes below `num_codes` -> accuracy of the best classifier between their distributions."""
    total_difference = np.abs(np.bincount(first, minlength=num_codes) - np.bincount(second, minlength=num_codes)).sum()
    return float(0.5 + total_difference / (4 * len(first)))
