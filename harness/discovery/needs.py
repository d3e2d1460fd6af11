"""Whether an objective uses what it declares: roles, samples, the reference, coupled rows, every hyper-parameter.

Tested by changing one thing in synthetic batches and comparing everything that training uses (losses, weights, gradients).
Legend: B prompts, K responses per prompt in a role; float64.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence

import torch

from harness.discovery.batches import (
    BATCH_SIZE,
    PropertyViolation,
    PropertyWarning,
    all_close,
    form_variations,
    logp_grads,
    make_batch,
    other_settings,
    responses_by_role,
    select_rows,
    shift_role,
    training_effect,
    variations,
)
from objectives import Batch, Objective

MANY_PROMPTS = 16  # so many that a loss that selects among samples selects each of them once
# Nats per token and seed: a clip, a hinge or a weight may act at one scale alone.
SCALES_AND_SEEDS = ((1.0, 0), (0.05, 1), (30.0, 2), (3000.0, 3))


def _batches(objective: Objective, prompts: int = MANY_PROMPTS) -> Iterator[Batch]:
    for scale, seed in SCALES_AND_SEEDS:
        yield make_batch(objective, scale, seed=seed, prompts=prompts)


def declared_roles_are_used(objective: Objective) -> None:
    unused = dict.fromkeys(responses_by_role(make_batch(objective)))
    for batch in _batches(objective):
        grads = logp_grads(objective, batch)
        unused = dict.fromkeys(role for role in unused if not grads[role].any())
        if not unused:
            return
    for role in unused:
        if role == "real":
            raise PropertyViolation("no gradient arrives at the real responses: are they unused, or detached?")
        if _metrics_depend_on(objective, role):
            raise PropertyWarning(f"needs declares {role} responses for the metrics alone: each costs a generation")
        raise PropertyViolation(f"needs declares {role} responses but no gradient arrives at them: are they unused, or detached?")


def _metrics_depend_on(objective: Objective, role: str, reference: bool = False) -> bool:
    batch = make_batch(objective)
    other = shift_role(batch, role, reference=0.7) if reference else shift_role(batch, role, logp=0.7)
    before, after = objective.loss(batch).metrics, objective.loss(other).metrics
    return any(not all_close([before[name]], [after[name]]) for name in before.keys() & after.keys())


def every_sample_is_used(objective: Objective) -> None:
    """Each column of each role has a gradient, or changes the loss."""
    widths = {name: r.logp.shape[1] for name, r in responses_by_role(make_batch(objective)).items() if r.logp.shape[1] > 1}
    for role, width in widths.items():
        unused = [column for column in range(width) if not _sample_is_used(objective, role, column)]
        if unused:
            raise PropertyViolation(
                f"needs declares {width} {role} responses per prompt and the loss uses {width - len(unused)} of them: "
                f"number {', '.join(str(column + 1) for column in unused)} counts for nothing"
            )


def _sample_is_used(objective: Objective, role: str, sample: int) -> bool:
    for batch in _batches(objective):
        if logp_grads(objective, batch)[role][:, sample].any():
            return True
        if _reacts(objective, batch, shift_role(batch, role, sample, logp=0.7)):
            return True
    return False


def _reacts(objective: Objective, batch: Batch, changed: Batch) -> bool:
    return not all_close(training_effect(objective, batch), training_effect(objective, changed))


def a_declared_reference_is_read(objective: Objective) -> None:
    if not objective.needs.reference:
        return
    names = list(responses_by_role(make_batch(objective)))
    if any(_reacts(objective, b, shift_role(b, role, reference=0.7)) for b in _batches(objective) for role in names):
        return
    if any(_metrics_depend_on(objective, role, reference=True) for role in names):
        raise PropertyWarning("needs declares the reference for the metrics alone: it costs a scoring pass")
    raise PropertyViolation("needs declares the reference but the loss never depends on it: leave it out, or compare with it")


# ---------------------------------------------------------------- of all variations together


def coupled_rows_depend_on_each_other(objectives: Sequence[Objective]) -> None:
    coupled = [objective for objective in objectives if objective.needs.couples_batch]
    if coupled and not any(_rows_are_coupled(o, batch) for o in coupled for batch in _batches(o, BATCH_SIZE)):
        raise PropertyViolation("needs declares couples_batch but no row depends on another: leave it out, it costs memory")


def _rows_are_coupled(objective: Objective, batch: Batch) -> bool:
    row_effects = [training_effect(objective, select_rows(batch, [row])) for row in range(len(batch.real.logp))]
    return not all_close(training_effect(objective, batch), [torch.cat(parts) for parts in zip(*row_effects, strict=True)], 1e-9)


def unbounded_is_needed(objectives: Sequence[Objective]) -> None:
    """`unbounded` turns a check off, so something must overflow."""
    declared = [objective for objective in objectives if objective.unbounded]
    for objective in declared:
        if not isinstance(objective.unbounded, bool):
            raise PropertyViolation(f"unbounded={objective.unbounded!r} is not True or False")
        for scale in (3000.0, 3e7):
            if not all(torch.isfinite(t).all() for t in training_effect(objective, make_batch(objective, scale))):
                return
    if declared:
        raise PropertyWarning("unbounded = True is declared but the loss stays finite at 30 million nats per token: leave it out")


def hyper_parameters_have_an_effect(objectives: Sequence[Objective]) -> None:
    """Each changes something within its bounds, at least together with some values of the others.

    Raises PropertyViolation for one that changes nothing, PropertyWarning for one that changes the metrics or the loss's value
    alone and for two equivalent choices. A text without choices is not tested.
    """

    def weights_and_grads(objective: Objective, batch: Batch) -> list[torch.Tensor]:
        return training_effect(objective, batch)[1:]

    base = objectives[0]
    bases = list({repr(objective): objective for form in form_variations(base) for objective in variations(form)}.values())
    for spec in dataclasses.fields(base):
        pairs = [(objective, other) for objective in bases for other in other_settings(objective, spec)]
        if not pairs:
            continue
        if not any(_trains_differently(*pair) for pair in pairs):
            if any(_differ(*pair, _metrics) for pair in pairs):
                raise PropertyWarning(f"{spec.name} changes the metrics alone, never the loss")
            raise PropertyViolation(f"{spec.name} has no effect: neither loss nor gradient nor what it needs changes with it")
        if not any(first.needs != second.needs or _differ(first, second, weights_and_grads) for first, second in pairs):
            raise PropertyWarning(f"{spec.name} adds to the loss what has no gradient: training does not depend on it")
        for choice in spec.metadata.get("choices", ()):
            base_value = getattr(base, spec.name)
            at_choice = [pair for pair in pairs if [getattr(o, spec.name) for o in pair] == [base_value, choice]]
            if at_choice and not any(_trains_differently(*pair) for pair in at_choice):
                raise PropertyWarning(f"{spec.name}={choice!r} and {spec.name}={base_value!r} are the same loss")


def _trains_differently(first: Objective, second: Objective) -> bool:
    return first.needs != second.needs or _differ(first, second, training_effect)


def _differ(first: Objective, second: Objective, outputs: Callable[[Objective, Batch], list[torch.Tensor]]) -> bool:
    return any(not all_close(outputs(first, batch), outputs(second, batch)) for batch in _batches(first, BATCH_SIZE))


def _metrics(objective: Objective, batch: Batch) -> list[torch.Tensor]:
    return [value.detach() for _, value in sorted(objective.loss(batch).metrics.items())]
