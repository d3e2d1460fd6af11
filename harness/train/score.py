"""The opponent's log-probability of every response in this iteration's training set, computed once. Never sees a loss.

A prompt with all its different responses, of earlier iterations too, goes through the model together, and a response that occurs
twice is scored once. What the opponent has drawn itself, or has scored before, comes with a known log-probability: where these
agree with scoring on the first prompts they are taken over; where they do not (half precision), everything is scored; and where
they differ by more than precision explains, the responses are not the opponent's own, and the phase ends.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from harness.progress import Advance
from harness.records import Group, PromptGroup, Role, Score
from harness.train.nonfinite import BadNumbers, Spoken, Suspect, names_of, naming
from harness.world import Policy

KNOWN_TOLERANCE = 1e-4  # nats by which a known log-probability may differ from the scored one
# Nats by which they may differ at most, by precision of the base: so much for every token of the response, and so much for the
# response. Single tokens differ by 0.03 (bfloat16) and 0.002 (float32) as root mean square between two engines (see
# `engine.canary`), by less within this one.
EXPLAINED = {"bfloat16": (5e-2, 5e-1), "float16": (1e-2, 1e-1), "float32": (1e-3, 1e-2), "float64": (1e-3, 1e-2)}
COMPARED = 32  # prompts on which the two are compared

Ids = tuple[int, ...]


class ScoreMismatch(BadNumbers):
    """Responses whose log-probability, kept when they were drawn, is not the opponent's. The message names the examples."""


@dataclass(frozen=True)
class ScoredSet:
    """One Score per response; how many responses went through the model, and how far known log-probabilities were off, if any."""

    scores: list[Score]
    computed: int
    difference: float | None


def score(policy: Policy, groups: Sequence[Group], columns: int, advance: Advance) -> ScoredSet:
    """Scores in the order of `Group.responses`, in nats over the response's tokens, under the player in `policy`'s slot.

    columns: tokens that go through the model at a time. Because scores are stored, training holds one model, and the reference
    can neither drift nor be the wrong adapter. Raises BadNumbers, naming the examples, where one is not finite, and ScoreMismatch
    where a known one differs by more than precision explains.
    """
    prompts: dict[str, list[int]] = {}
    values: dict[tuple[str, Ids], float | None] = {}
    for group in groups:
        prompts[group.example_id] = group.prompt
        for _, response in group.responses():
            key = group.example_id, tuple(response.content)
            values[key] = response.known_logp if values.get(key) is None else values[key]

    def scored(examples: Sequence[str], keys: Sequence[tuple[str, Ids]], advance: Advance) -> dict[tuple[str, Ids], float]:
        by_example: dict[str, list[Ids]] = {example: [] for example in examples}
        for example, ids in keys:
            by_example[example].append(ids)
        with naming(list(by_example)):
            found = policy.score([PromptGroup(prompts[e], ids) for e, ids in by_example.items()], columns, advance)
        return dict(zip(((e, ids) for e, listed in by_example.items() for ids in listed), found, strict=True))

    known = {key: value for key, value in values.items() if value is not None and math.isfinite(value)}  # others are scored
    first = list(dict.fromkeys(example for example, _ in known))[:COMPARED]
    compared = scored(first, [key for key in known if key[0] in set(first)], lambda n: None)
    difference = max((abs(known[key] - value) for key, value in compared.items()), default=None)
    _refuse_unexplained(policy, prompts, known, compared)
    if difference is None or difference > KNOWN_TOLERANCE:
        known = {}
    wanted = [key for key in values if key not in known]
    found = known | scored(list(dict.fromkeys(example for example, _ in wanted)), wanted, advance)
    advance(sum(len(g.responses()) for g in groups) - len(wanted))
    scores = []
    for group in groups:
        seen: dict[Role, int] = {}
        for role, response in group.responses():
            index = seen.get(role, 0)
            seen[role] = index + 1
            value = found[group.example_id, tuple(response.content)]
            scores.append(Score(group.example_id, role, group.iteration, index, len(response.content), value))
    return ScoredSet(scores, len(compared) + len(wanted), difference)


def _refuse_unexplained(
    policy: Policy,
    prompts: Mapping[str, Sequence[int]],
    known: Mapping[tuple[str, Ids], float],
    scored: Mapping[tuple[str, Ids], float],
) -> None:
    """Raises ScoreMismatch where a known log-probability is not the scored one, however roughly the base computes."""
    precision = "bfloat16" if policy.quantized else policy.precision
    each, once = EXPLAINED[precision]
    wrong = [key for key, value in scored.items() if abs(known[key] - value) > each * len(key[1]) + once]
    if not wrong:
        return
    suspects = [
        Suspect(number, prompts[example], [Spoken("drawn", ids, scored[example, ids], known[example, ids])], example_id=example)
        for number, (example, ids) in enumerate(wrong)
    ]
    worst = max(wrong, key=lambda key: abs(known[key] - scored[key]))
    raise ScoreMismatch(
        f"{len(wrong)} of {len(scored)} responses were drawn with other log-probabilities than the opponent gives them, by up to "
        f"{abs(known[worst] - scored[worst]):.3g} nats over {len(worst[1])} tokens, where {precision} explains "
        f"{each * len(worst[1]) + once:.2g}: {names_of(suspects)}",
        suspects,
    )
