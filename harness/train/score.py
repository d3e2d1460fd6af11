"""The opponent's log-probability of every response in this iteration's training set, computed once, whatever the loss.

A prompt with all its different responses, of earlier iterations too, goes through the model together, and a response that occurs
twice is scored once. What the opponent has generated itself, or has scored before, has a cached log-probability. Some prompts are
scored to compare. Where both agree the cached ones are used; where they do not (half precision), everything is scored; and where
they differ by more than precision explains, the responses are not the opponent's own, and the phase ends with an error.
"""

from __future__ import annotations

import itertools
import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from harness.progress import Advance
from harness.records import Group, PromptGroup, Role, Score
from harness.train.nonfinite import BadExample, NonFiniteError, ResponseValues, with_example_ids
from harness.train.numerics import CACHED_LOGP, CACHED_LOGP_USED
from harness.world import Policy

# Prompts on which the two are compared, evenly over the training set. Eight errors tell their root mean square to a quarter of
# itself; those of float32, of half precision and of another policy's responses lie a hundred times and more apart.
NUM_COMPARED_PROMPTS = 8

Ids = tuple[int, ...]


class ScoreMismatch(NonFiniteError):
    """Responses whose log-probability, cached when they were generated, is not the opponent's. The message names the examples."""


@dataclass(frozen=True)
class ScoredSet:
    """One Score per response; how many responses went through the model; the largest error of a cached logp, in nats."""

    scores: list[Score]
    num_scored: int
    max_difference: float | None


def score(policy: Policy, groups: Sequence[Group], max_tokens_per_batch: int, advance: Advance) -> ScoredSet:
    """Scores in the order of `Group.responses`, in nats over the response's tokens, under the checkpoint in `policy`.

    max_tokens_per_batch: tokens per forward pass. Because scores are stored, training holds one model, and the reference can
    neither drift nor be the wrong adapter. Raises NonFiniteError, naming the examples, where one is not finite, and
    ScoreMismatch where a cached one differs by more than precision explains.
    """
    prompts: dict[str, list[int]] = {}
    cached_by_key: dict[tuple[str, Ids], float | None] = {}
    for group in groups:
        prompts[group.example_id] = group.prompt
        for _, response in group.responses():
            key = group.example_id, tuple(response.content)
            cached_by_key[key] = response.cached_logp if cached_by_key.get(key) is None else cached_by_key[key]

    def score_keys(examples: Sequence[str], keys: Sequence[tuple[str, Ids]], advance: Advance) -> dict[tuple[str, Ids], float]:
        by_example: dict[str, list[Ids]] = {example: [] for example in examples}
        for example, ids in keys:
            by_example[example].append(ids)
        with with_example_ids(list(by_example)), policy.training_arithmetic():
            logps = policy.score([PromptGroup(prompts[e], ids) for e, ids in by_example.items()], max_tokens_per_batch, advance)
        return dict(zip(((e, ids) for e, responses in by_example.items() for ids in responses), logps, strict=True))

    # Others are scored.
    cached = {key: value for key, value in cached_by_key.items() if value is not None and math.isfinite(value)}
    examples = list(dict.fromkeys(example for example, _ in cached))
    num_compared = min(NUM_COMPARED_PROMPTS, len(examples))
    compared_examples = [examples[n * len(examples) // num_compared] for n in range(num_compared)]
    compared = score_keys(compared_examples, [key for key in cached if key[0] in set(compared_examples)], lambda n: None)
    errors = {key: cached[key] - value for key, value in compared.items()}
    precision = "bfloat16" if policy.quantized else policy.training_precision
    _check_cached_logps(precision, prompts, cached, compared)
    if rms_per_token(errors) > CACHED_LOGP_USED[precision]:
        cached = {}
    to_score = [key for key in cached_by_key if key not in cached]
    logps = cached | score_keys(list(dict.fromkeys(example for example, _ in to_score)), to_score, advance)
    advance(sum(len(g.responses()) for g in groups) - len(to_score))
    scores = []
    for group in groups:
        index_of: dict[Role, Iterator[int]] = defaultdict(itertools.count)
        for role, response in group.responses():
            value = logps[group.example_id, tuple(response.content)]
            scores.append(Score(group.example_id, role, group.iteration, next(index_of[role]), len(response.content), value))
    return ScoredSet(scores, len(compared) + len(to_score), max(map(abs, errors.values()), default=None))


def rms_per_token(errors: Mapping[tuple[str, Ids], float]) -> float:
    """Root mean square error of a token, in nats, where those of a response's tokens are independent and so add up as squares.

    errors: of responses, summed over their tokens. An error that all tokens share counts for more, by the root of their number.
    """
    return math.sqrt(sum(error**2 for error in errors.values()) / max(1, sum(len(ids) for _, ids in errors)))


def _check_cached_logps(
    precision: str,
    prompts: Mapping[str, Sequence[int]],
    cached: Mapping[tuple[str, Ids], float],
    scored: Mapping[tuple[str, Ids], float],
) -> None:
    """Raises ScoreMismatch where cached and scored log-probability differ by more than the base's precision explains."""
    per_token, per_response = CACHED_LOGP[precision]
    errors = {key: abs(cached[key] - value) for key, value in scored.items()}
    mismatched = [key for key, error in errors.items() if error > per_token * len(key[1]) + per_response]
    if mismatched:
        worst = max(mismatched, key=errors.__getitem__)
        raise ScoreMismatch(
            f"{len(mismatched)} of {len(scored)} responses were generated with other log-probabilities than the opponent's, by "
            f"up to {errors[worst]:.3g} nats over {len(worst[1])} tokens, where {precision} explains "
            f"{per_token * len(worst[1]) + per_response:.2g}",
            [
                BadExample(example, prompts[example], [ResponseValues("drawn", ids, scored[example, ids], cached[example, ids])])
                for example, ids in mismatched
            ],
        )
