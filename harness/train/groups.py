"""Groups of one prompt with its responses, joined from examples, samples and stored scores, in any world."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from harness.records import Group, Response, Role, Score
from harness.world import Encoder


def build_groups(
    encoder: Encoder,
    examples: Iterable[Any],
    iteration: int,
    synthetic: Sequence[Any] = (),
    proto: Sequence[Any] = (),
    opponent_roles: Collection[Role] = (),
    real_logps: Mapping[str, float] = MappingProxyType({}),
) -> list[Group]:
    """One Group per example with the responses of `iteration`, in the order of `examples`, samples ordered by index.

    opponent_roles: roles whose samples the opponent generated itself. real_logps: the opponent's log-probability of the real
    responses, by example id, where it has been computed.
    """
    by_example: dict[Role, dict[str, list[Any]]] = {"synthetic": {}, "proto": {}}
    samples_by_role: tuple[tuple[Role, Sequence[Any]], ...] = (("synthetic", synthetic), ("proto", proto))
    for role, samples in samples_by_role:
        for sample in sorted(samples, key=lambda s: s.index):
            by_example[role].setdefault(sample.example_id, []).append(sample)

    def responses(role: Role, example: Any) -> tuple[Response, ...]:
        own = role in opponent_roles and encoder.sample_logps_hold
        return tuple(Response(s.content, cached_logp=s.logp if own else None) for s in by_example[role].get(example.id, ()))

    return [
        Group(
            example_id=example.id,
            iteration=iteration,
            prompt=encoder.prompt(example),
            real=Response(encoder.real(example), cached_logp=real_logps.get(example.id)),
            synthetic=responses("synthetic", example),
            proto=responses("proto", example),
        )
        for example in examples
    ]


def with_reference_logps(groups: Iterable[Group], scores: Iterable[Score]) -> list[Group]:
    """The groups with every response's stored reference log-probability. KeyError if one was never scored."""
    score_by_key: Mapping[tuple[str, int, str, int], Score] = {
        (score.example_id, score.iteration, score.role, score.index): score for score in scores
    }

    def add_references(group: Group, role: Role, responses: Sequence[Response]) -> tuple[Response, ...]:
        response_scores = [score_by_key[group.example_id, group.iteration, role, k] for k in range(len(responses))]
        if any(score.length != len(r.content) for score, r in zip(response_scores, responses, strict=True)):
            raise ValueError(f"stored scores of {group.example_id} are of other tokens than its {role} responses")
        return tuple(Response(r.content, s.reference_logp) for r, s in zip(responses, response_scores, strict=True))

    return [
        dataclasses.replace(
            g,
            real=add_references(g, "real", [g.real])[0],
            synthetic=add_references(g, "synthetic", g.synthetic),
            proto=add_references(g, "proto", g.proto),
        )
        for g in groups
    ]
