"""What an objective declares it makes use of: roles, samples, the reference, coupled rows, every hyper-parameter.

Found by changing one thing in made-up batches and comparing all that training takes from them (losses, weights, gradients).
Legend: B prompts, K responses per prompt in a role; float64.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence

import torch

from harness.discovery.batches import (
    PROMPTS,
    Broken,
    Doubtful,
    changed,
    effect,
    make_batch,
    moved,
    of_other_kind,
    other_values,
    pick,
    roles,
    same,
    slopes,
    variations,
)
from objectives import Batch, Objective

ROWS = 16  # prompts, so that a choice among samples falls on each of them
TRIED = ((1.0, 0), (0.05, 1), (30.0, 2), (3000.0, 3))  # nats per token and seed: where a clip, a hinge or a weight may act


def _batches(objective: Objective, prompts: int = ROWS) -> Iterator[Batch]:
    for scale, seed in TRIED:
        yield make_batch(objective, scale, seed=seed, prompts=prompts)


def declared_roles_are_used(objective: Objective) -> None:
    slope: dict[str, bool] = {}
    for batch in _batches(objective):
        for role, found in slopes(objective, batch).items():
            slope[role] = slope.get(role, False) or bool(found.any())
        if all(slope.values()):
            return
    for role in (name for name, used in slope.items() if not used):
        if role == "real":
            raise Broken("no gradient arrives at the real responses: are they unused, or detached?")
        if _metrics_follow(objective, role):
            raise Doubtful(f"needs declares {role} responses for the metrics alone: each costs a generation")
        raise Broken(f"needs declares {role} responses but no gradient arrives at them: are they unused, or detached?")


def _metrics_follow(objective: Objective, role: str, reference: bool = False) -> bool:
    batch = make_batch(objective)
    other = moved(batch, role, reference=0.7) if reference else moved(batch, role, logp=0.7)
    before, after = objective.loss(batch).metrics, objective.loss(other).metrics
    return any(not same([before[name]], [after[name]]) for name in before.keys() & after.keys())


def every_sample_is_used(objective: Objective) -> None:
    """Each column of each role: a gradient arrives at it, or the loss follows it."""
    widths = {name: r.logp.shape[1] for name, r in roles(make_batch(objective)).items() if r.logp.shape[1] > 1}
    for role, width in widths.items():
        idle = [column for column in range(width) if not _column_counts(objective, role, column)]
        if idle:
            raise Broken(
                f"needs declares {width} {role} responses per prompt and the loss uses {width - len(idle)} of them: "
                f"number {', '.join(str(column + 1) for column in idle)} counts for nothing"
            )


def _column_counts(objective: Objective, role: str, column: int) -> bool:
    for batch in _batches(objective):
        if slopes(objective, batch)[role][:, column].any():
            return True
        if not same(effect(objective, batch), effect(objective, moved(batch, role, column, logp=0.7))):
            return True
    return False


def a_declared_reference_is_read(objective: Objective) -> None:
    if not objective.needs.reference:
        return
    names = list(roles(make_batch(objective)))
    for batch in _batches(objective):
        before = effect(objective, batch)
        if any(not same(before, effect(objective, moved(batch, role, reference=0.7))) for role in names):
            return
    if any(_metrics_follow(objective, role, reference=True) for role in names):
        raise Doubtful("needs declares the reference for the metrics alone: it costs a scoring pass")
    raise Broken("needs declares the reference but the loss never depends on it: leave it out, or compare with it")


# ---------------------------------------------------------------- of all variations together


def coupled_rows_depend_on_each_other(objectives: Sequence[Objective]) -> None:
    coupled = [objective for objective in objectives if objective.needs.couples_batch]
    if coupled and not any(_couples(objective, batch) for objective in coupled for batch in _batches(objective, PROMPTS)):
        raise Broken("needs declares couples_batch but no row depends on another: leave it out, whole batches cost memory")


def _couples(objective: Objective, batch: Batch) -> bool:
    alone = [effect(objective, pick(batch, [row])) for row in range(len(batch.real.logp))]
    return not same(effect(objective, batch), [torch.cat(parts) for parts in zip(*alone, strict=True)], 1e-9)


def unbounded_is_needed(objectives: Sequence[Objective]) -> None:
    """`unbounded` takes a check away, so it is asked whether anything overflows."""
    declared = [objective for objective in objectives if objective.unbounded]
    for objective in declared:
        if not isinstance(objective.unbounded, bool):
            raise Broken(f"unbounded={objective.unbounded!r} is not True or False")
        for scale in (3000.0, 3e7):
            if not all(torch.isfinite(t).all() for t in effect(objective, make_batch(objective, scale))):
                return
    if declared:
        raise Doubtful("unbounded = True is declared but the loss stays finite at 30 million nats per token: leave it out")


def hyper_parameters_have_an_effect(objectives: Sequence[Objective]) -> None:
    """Each changes something within its bounds, at least beside some values of the others.

    Raises Broken for one that changes nothing, Doubtful for one that changes the metrics or the loss's value alone and for two
    choices that are one. A text without choices is not tried.
    """
    base = objectives[0]
    bases = list({repr(one): one for kind in of_other_kind(base) for one in variations(kind)}.values())
    for spec in dataclasses.fields(base):
        pairs = [
            (one, other)
            for one in bases
            for value in other_values(spec, getattr(one, spec.name))
            if (other := changed(one, spec.name, value)) is not None
        ]
        if not pairs:
            continue
        if not any(_trained_otherwise(*pair) for pair in pairs):
            if any(_differ(*pair, _metrics) for pair in pairs):
                raise Doubtful(f"{spec.name} changes the metrics alone, never the loss")
            raise Broken(f"{spec.name} has no effect: neither the loss, nor its gradient, nor what it needs changes with it")
        if not any(one.needs != other.needs or _differ(one, other, _pushed) for one, other in pairs):
            raise Doubtful(f"{spec.name} adds to the loss what has no gradient: training does not depend on it")
        for choice in spec.metadata.get("choices", ()):
            at_choice = [
                pair for pair in pairs if getattr(pair[0], spec.name) == getattr(base, spec.name) and _at(pair[1], spec, choice)
            ]
            if at_choice and not any(_trained_otherwise(*pair) for pair in at_choice):
                given = getattr(base, spec.name)
                raise Doubtful(f"{spec.name}={choice!r} and {spec.name}={given!r} are the same loss")


def _at(objective: Objective, spec: dataclasses.Field, value: object) -> bool:
    return getattr(objective, spec.name) == value


def _trained_otherwise(one: Objective, other: Objective) -> bool:
    return one.needs != other.needs or _differ(one, other, effect)


def _differ(one: Objective, other: Objective, taken: Callable[[Objective, Batch], list[torch.Tensor]]) -> bool:
    return any(not same(taken(one, batch), taken(other, batch)) for batch in _batches(one, PROMPTS))


def _pushed(objective: Objective, batch: Batch) -> list[torch.Tensor]:
    return effect(objective, batch)[1:]  # weights and gradients


def _metrics(objective: Objective, batch: Batch) -> list[torch.Tensor]:
    return [value.detach() for _, value in sorted(objective.loss(batch).metrics.items())]
