"""Gradients of a loss at the start of an iteration, and whether its terms use the same unit and their own references.

The slope of a role is the derivative of the loss in its log-probability: below 0, training makes the response likelier.
Legend: B prompts, K responses per prompt in a role; float64, log-probabilities in nats summed over a response's tokens.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch

from harness.discovery.batches import (
    ROLE_NAMES,
    PropertyViolation,
    PropertyWarning,
    all_close,
    equal_start_batch,
    gradients,
    logp_grads,
    logp_leaves,
    make_batch,
    map_roles,
    responses_by_role,
    scale_role,
    shift_role,
    weighted_loss,
)
from objectives import Batch, Objective, Responses

ROW_LENGTHS, ROW_NATS_PER_TOKEN = (10, 2, 40, 10), (1.0, 2.0, 0.5, 0.05)  # tokens and nats per token of a start batch's rows
SCALE_FACTOR = 3.0  # multiplies lengths and log-probabilities
STEPS = (1e-5, 1e-2)  # nats, of a central difference; the larger one is for a loss that rounds, for example to float32
SHIFTS = (0.7, 30.0, -30.0)  # nats, small ones and ones where a hinge or a sigmoid is flat


def _start_batches(objective: Objective) -> Iterator[Batch]:
    """Starts of an iteration: all responses to a prompt equal, then those of one role much less likely, then random ones."""
    yield equal_start_batch(objective, ROW_LENGTHS, ROW_NATS_PER_TOKEN)
    for role in ROLE_NAMES[1:]:
        yield equal_start_batch(objective, ROW_LENGTHS, ROW_NATS_PER_TOKEN, unlikely=role)
    for seed in range(2):
        yield make_batch(objective, at_start=True, seed=seed)


def the_start_pushes_the_real_response_up(objective: Objective) -> None:
    for number, batch in enumerate(_start_batches(objective)):
        grad = logp_grads(objective, batch)["real"]
        if number == 0 and (grad > _zero_tolerance(grad)).any():
            raise PropertyViolation("at an iteration's start a likelier real response raises the loss: is a sign turned around?")
        if (grad < -_zero_tolerance(grad)).any():
            return
    raise PropertyViolation("at the start of an iteration the real response has no gradient, so nothing would be learnt from it")


def the_start_pushes_no_other_response_up(objective: Objective) -> None:
    """For each other role that is not in `pushes_up`. A role that is pushed down at some start may be pushed up at another
    (T-SPIN's synthetic response, between the real and the proto one); for one that never is, a sign is wrong."""
    declared_roles = objective.pushes_up
    if isinstance(declared_roles, str) or not set(declared_roles) <= set(ROLE_NAMES[1:]):
        raise PropertyViolation(f"pushes_up={declared_roles!r} is not a tuple of roles, for example ('synthetic',)")
    grads = [(role, grad) for batch in _start_batches(objective) for role, grad in logp_grads(objective, batch).items()]
    down = {role for role, grad in grads if (grad > _zero_tolerance(grad)).any()}
    up = {role for role, grad in grads if (grad < -_zero_tolerance(grad)).any()}
    for role in dict(grads).keys() - {"real"}:
        if role in up - down and role not in declared_roles:
            raise PropertyViolation(
                f"at the start of an iteration the loss pushes the {role} response up, as it does the real one: is a sign turned "
                f"around? Where it is meant (a penalty for leaving the opponent), declare pushes_up = ({role!r},)"
            )
        if role in declared_roles and role not in up:
            raise PropertyViolation(f"pushes_up names {role} but no start of an iteration pushes it up: leave it out")


def _zero_tolerance(grad: torch.Tensor) -> float:
    return 1e-10 * max(1.0, float(grad.abs().max()))


def describe_start(objective: Objective) -> str:
    """The slopes of each role at the start, as a sentence; ten tokens of one nat each, all responses to a prompt equal."""
    batch = equal_start_batch(objective)
    output = objective.loss(batch)
    weight = 1.0 if output.weight is None else float(output.weight.sum())
    phrases = []
    for role, grad in logp_grads(objective, batch).items():
        value, count = float(grad.sum()) / weight, grad.shape[1]
        subject = f"the {role} response's" if count == 1 else f"that of the {count} {role} responses together"
        slope = f"{abs(value):.2f}" if abs(value) >= 0.1 else f"{abs(value):.2g}"
        direction = "is not moved" if abs(value) < 1e-9 else f"is pushed {'up' if value < 0 else 'down'} with slope {slope}"
        phrases.append(f"{subject} {'' if phrases or count > 1 else 'log-probability '}{direction}")
    text = phrases[0] if len(phrases) == 1 else f"{', '.join(phrases[:-1])} and {phrases[-1]}"
    return f"at the start {text} (loss per nat, all responses alike: 10 tokens of 1 nat)"


def all_sides_are_counted_in_one_unit(objective: Objective) -> None:
    """All per token or all summed, and each response by its own length.

    A role is per token where its log-probabilities, reference and length may be multiplied together, and summed where its length
    may be multiplied alone. Raises PropertyWarning where a role is linear in its log-probability: it may be a term of its
    own, such as a negative log-likelihood per token beside a penalty.
    """
    batches = [make_batch(objective, scale, seed=seed) for scale, seed in ((0.05, 0), (0.3, 1))]
    used_roles = [role for role in logp_leaves(batches[0]) if all(logp_grads(objective, b)[role].any() for b in batches)]

    def is_unchanged(role: str, other: str, logp: float, length: float) -> bool:
        pairs = ((batch, scale_role(scale_role(batch, role, logp), other, length=length)) for batch in batches)
        return all(all_close(_row_losses(objective, old), _row_losses(objective, new), 1e-8) for old, new in pairs)

    summed = [role for role in used_roles if is_unchanged(role, role, 1.0, SCALE_FACTOR)]
    per_token = [role for role in used_roles if role not in summed and is_unchanged(role, role, SCALE_FACTOR, SCALE_FACTOR)]
    for role in (role for role in used_roles if role not in per_token):
        for other in (other for other in used_roles if other not in (role, *summed)):
            if is_unchanged(role, other, SCALE_FACTOR, SCALE_FACTOR):
                raise PropertyViolation(f"the {role} log-probability is divided by the {other} response's length, not by its own")
    if summed and per_token:
        description = f"the {per_token[0]} log-probability counts per token and the {summed[0]} one summed over tokens"
        if any(_is_linear(objective, batches[1], role) for role in (summed[0], per_token[0])):
            raise PropertyWarning(f"{description}: their weights differ with the lengths")
        raise PropertyViolation(f"{description}: divide both by their lengths, or none")


def _row_losses(objective: Objective, batch: Batch) -> list[torch.Tensor]:
    return [objective.loss(batch).loss.detach()]


def _is_linear(objective: Objective, batch: Batch, role: str) -> bool:
    """Whether the role's slopes stay the same when its log-probability shifts, by small and large amounts that differ by row."""
    before = logp_grads(objective, batch)[role]
    shifted = (logp_grads(objective, shift_role(batch, role, logp=shift * _row_factors(batch)))[role] for shift in SHIFTS)
    return all(all_close([before], [slope], 1e-9) for slope in shifted)


def _row_factors(batch: Batch) -> torch.Tensor:
    """(B, 1) factors about 1, different in each row, so that they also change a loss that subtracts means over rows."""
    return torch.linspace(0.5, 1.5, len(batch.real.logp), dtype=torch.float64)[:, None]


def each_response_is_held_against_its_own_reference(objective: Objective) -> None:
    """A likelier response and a likelier reference change the loss in opposite directions, equally where only their log-ratio
    counts.

    Tested with the gradient in the reference. A response without a reference of its own is compared with another's where only
    the difference of the two changes its slope. Raises PropertyWarning where a response counts beyond its log-ratio and not
    linearly (a missing or half normalised reference), and where one role has a reference and another, not linear, has none.
    """
    if not objective.needs.reference:
        return
    batches = [make_batch(objective, scale, seed=seed) for scale, seed in ((0.02, 0), (0.3, 0), (0.3, 1))]
    grads = [_logp_and_reference_grads(objective, batch) for batch in batches]
    with_reference, without_reference = [], []
    for role in logp_leaves(batches[0]):
        pairs = [(batch_grads[role][0], batch_grads[role][1]) for batch_grads in grads]
        if not any(logp_grad.any() for logp_grad, _ in pairs):
            continue
        if not any(reference_grad.any() for _, reference_grad in pairs):
            without_reference.append(role)
            continue
        with_reference.append(role)
        products = torch.cat([(logp_grad * reference_grad).flatten() for logp_grad, reference_grad in pairs])
        if (products > 0).any() and not (products < 0).any():
            raise PropertyViolation(
                f"a likelier {role} response and a likelier reference of it change the loss the same way: is the reference added "
                "instead of subtracted, or that of another role?"
            )
    for role, other in ((role, other) for role in without_reference for other in with_reference):
        if _against_the_reference_of(objective, batches[0], role, other):
            raise PropertyViolation(f"the {role} response is compared with the reference of the {other} one, not with its own")
    for role in with_reference:
        base_grad = _joint_grad(objective, batches[0], role, 0.0)
        changes = (_joint_grad(objective, batches[0], role, shift) - base_grad for shift in SHIFTS)
        if any(change.abs().gt(1e-7 * (1 + base_grad.abs())).any() for change in changes):
            raise PropertyWarning(f"the {role} response counts beyond its log-ratio: is a length missing on one side of it?")
    for role in without_reference if with_reference else ():
        shifted = shift_role(batches[0], role, reference=0.7)
        reads_reference = not all_close(_row_losses(objective, batches[0]), _row_losses(objective, shifted))
        if not reads_reference and not _is_linear(objective, batches[0], role):
            raise PropertyWarning(f"the {with_reference[0]} response is compared with its reference, the {role} one is not")


def _against_the_reference_of(objective: Objective, batch: Batch, role: str, other: str) -> bool:
    """Whether a role's slope stays the same when its log-probability and the other's reference shift together, and only then."""

    def slope_stays(logp: float, reference: float) -> bool:
        shifted = shift_role(shift_role(batch, role, logp=logp), other, reference=reference)
        return all_close([logp_grads(objective, batch)[role]], [logp_grads(objective, shifted)[role]], 1e-9)

    return slope_stays(0.7, 0.7) and not slope_stays(0.7, 0.0) and not slope_stays(0.0, 0.7)


def _joint_grad(objective: Objective, batch: Batch, role: str, shift: float) -> torch.Tensor:
    """(B, K), the slope in a role's log-probability and reference together, after a shift of its reference alone."""
    shifted = shift_role(batch, role, reference=shift * _row_factors(batch))
    logp_grad, reference_grad = _logp_and_reference_grads(objective, shifted)[role]
    return logp_grad + reference_grad


def _logp_and_reference_grads(objective: Objective, batch: Batch) -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
    """Role -> (B, K) slopes of the summed loss in the log-probability and in the reference."""

    def detach(_: str, r: Responses) -> Responses:
        return Responses(r.logp.detach().requires_grad_(), r.length, r.reference_logp.detach().requires_grad_())

    detached = map_roles(batch, detach)
    roles = responses_by_role(detached)
    grads = gradients(weighted_loss(objective, detached), [t for r in roles.values() for t in (r.logp, r.reference_logp)])
    return dict(zip(roles, zip(grads[::2], grads[1::2], strict=True), strict=True))


def the_gradient_is_the_slope_of_the_loss(objective: Objective) -> None:
    """Compared with a central difference. Raises PropertyWarning only, since detaching a part of the loss may be intended."""
    for seed in range(2):
        batch = make_batch(objective, seed=seed)
        value = float(weighted_loss(objective, batch).detach())
        for role, grad in logp_grads(objective, batch).items():
            expected = float(grad.sum())
            differences = [_difference(objective, batch, role, step) for step in STEPS]
            near = 1e-3 * (abs(expected) + float(grad.abs().sum()) * 1e-2) + 1e-7 * (1 + abs(value))
            if all(abs(difference - expected) > near for difference in differences):
                raise PropertyWarning(
                    f"the gradient of {role} is {expected:.4g} where the loss has the slope {differences[0]:.4g}: a part of it "
                    "is held constant (detached, or made into a plain number)"
                )


def _difference(objective: Objective, batch: Batch, role: str, step: float) -> float:
    before, after = (float(weighted_loss(objective, shift_role(batch, role, logp=by)).detach()) for by in (-step, step))
    return (after - before) / (2 * step)
