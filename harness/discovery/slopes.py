"""Where a loss pushes at the start of an iteration, and whether its sides are counted in one unit and against one reference.

The slope of a role is the derivative of the loss in its log-probability: below 0, training makes the response likelier.
Legend: B prompts, K responses per prompt in a role; float64, log-probabilities in nats summed over a response's tokens.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch

from harness.discovery.batches import (
    ROLES,
    Broken,
    Doubtful,
    equal_start,
    make_batch,
    mapped,
    moved,
    roles,
    same,
    slopes,
    tensors,
    times,
    total,
)
from objectives import Batch, Objective, Responses

LENGTHS, NATS = (10, 2, 40, 10), (1.0, 2.0, 0.5, 0.05)  # tokens and nats per token of the rows of a start
FACTOR = 3.0  # by which lengths and log-probabilities are multiplied
STEPS = (1e-5, 1e-2)  # nats, of a central difference; the longer one is for a loss that rounds, as to float32
SHIFTS = (0.7, 30.0, -30.0)  # nats, near and beyond where a hinge or a sigmoid is flat


def _starts(objective: Objective) -> Iterator[Batch]:
    """Starts of an iteration: all responses to a prompt alike, then some of a role much less likely, then any."""
    yield equal_start(objective, LENGTHS, NATS)
    for role in ROLES[1:]:
        yield equal_start(objective, LENGTHS, NATS, unlikely=role)
    for seed in range(2):
        yield make_batch(objective, at_start=True, seed=seed)


def the_start_pushes_the_real_response_up(objective: Objective) -> None:
    for number, batch in enumerate(_starts(objective)):
        slope = slopes(objective, batch)["real"]
        if number == 0 and (slope > _nil(slope)).any():
            raise Broken("at the start of an iteration a likelier real response raises the loss: is a sign turned around?")
        if (slope < -_nil(slope)).any():
            return
    raise Broken("at the start of an iteration the real response has no gradient, so nothing would be learnt from it")


def the_start_pushes_no_other_response_up(objective: Objective) -> None:
    """For each other role that `pushes_up` does not name. A role that is pushed down from some start is held back by something
    else in another (T-SPIN's synthetic response, between the real and the proto one); one that never is has its sign turned.
    """
    named = objective.pushes_up
    if isinstance(named, str) or not set(named) <= set(ROLES[1:]):
        raise Broken(f"pushes_up={named!r} is not a tuple of roles, for example ('synthetic',)")
    down: dict[str, bool] = {}
    up: dict[str, bool] = {}
    for batch in _starts(objective):
        for role, slope in slopes(objective, batch).items():
            down[role] = down.get(role, False) or bool((slope > _nil(slope)).any())
            up[role] = up.get(role, False) or bool((slope < -_nil(slope)).any())
    for role in up.keys() - {"real"}:
        if up[role] and not down[role] and role not in named:
            raise Broken(
                f"at the start of an iteration the loss pushes the {role} response up, as it does the real one: is a sign turned "
                f"around? Where it is meant (a penalty for leaving the opponent), declare pushes_up = ({role!r},)"
            )
        if role in named and not up[role]:
            raise Broken(f"pushes_up names {role} but no start of an iteration pushes it up: leave it out")


def _nil(slope: torch.Tensor) -> float:
    return 1e-10 * max(1.0, float(slope.abs().max()))


def said_of_the_start(objective: Objective) -> str:
    """The slopes of each role at the start, in words; ten tokens of one nat each, all responses to a prompt alike."""
    batch = equal_start(objective)
    output = objective.loss(batch)
    weight = 1.0 if output.weight is None else float(output.weight.sum())
    parts = []
    for role, slope in slopes(objective, batch).items():
        value, count = float(slope.sum()) / weight, slope.shape[1]
        of = f"the {role} response's" if count == 1 else f"that of the {count} {role} responses together"
        way = (
            "is not moved" if abs(value) < 1e-9 else f"is pushed {'up' if value < 0 else 'down'} with slope {_number(abs(value))}"
        )
        parts.append(f"{of} {'' if parts or count > 1 else 'log-probability '}{way}")
    said = parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
    return f"at the start {said} (loss per nat, all responses alike: 10 tokens of 1 nat)"


def _number(value: float) -> str:
    return f"{value:.2f}" if value >= 0.1 else f"{value:.2g}"


# ---------------------------------------------------------------- one unit on all sides


def all_sides_are_counted_in_one_unit(objective: Objective) -> None:
    """All per token or all summed, and each response by its own length.

    A role is per token where its log-probabilities, reference and length may be multiplied together, and summed where its length
    may be multiplied alone. Raises Doubtful where a side is linear in its log-probability: it may be a term of its own, as
    a negative log-likelihood per token beside a penalty is.
    """
    batches = [make_batch(objective, scale, seed=seed) for scale, seed in ((0.05, 0), (0.3, 1))]
    used = [role for role in tensors(batches[0]) if all(slopes(objective, b)[role].any() for b in batches)]

    def unchanged(role: str, other: str, logp: float, length: float) -> bool:
        return all(
            same(_rows(objective, batch), _rows(objective, times(times(batch, role, logp, logp), other, length=length)), 1e-8)
            for batch in batches
        )

    summed = [role for role in used if unchanged(role, role, 1.0, FACTOR)]
    per_token = [role for role in used if role not in summed and unchanged(role, role, FACTOR, FACTOR)]
    for role in (role for role in used if role not in per_token):
        for other in (other for other in used if other not in (role, *summed)):
            if unchanged(role, other, FACTOR, FACTOR):
                raise Broken(f"the {role} log-probability is divided by the length of the {other} response, not by its own")
    if summed and per_token:
        said = f"the {per_token[0]} log-probability counts per token and the {summed[0]} one summed over tokens"
        if any(_linear(objective, batches[1], role) for role in (summed[0], per_token[0])):
            raise Doubtful(f"{said}: their weights differ with the lengths")
        raise Broken(f"{said}: divide both by their lengths, or none")


def _rows(objective: Objective, batch: Batch) -> list[torch.Tensor]:
    return [objective.loss(batch).loss.detach()]


def _linear(objective: Objective, batch: Batch, role: str) -> bool:
    """Whether the role's slopes stay the same when its log-probability moves, near and far and by other nats in each row."""
    before = slopes(objective, batch)[role]
    shifted = (slopes(objective, moved(batch, role, logp=shift * _uneven(batch)))[role] for shift in SHIFTS)
    return all(same([before], [slope], 1e-9) for slope in shifted)


def _uneven(batch: Batch) -> torch.Tensor:
    """(B, 1) factors about 1, another in each row, so that a loss of means over rows sees them too."""
    return torch.linspace(0.5, 1.5, len(batch.real.logp), dtype=torch.float64)[:, None]


# ---------------------------------------------------------------- the reference


def each_response_is_held_against_its_own_reference(objective: Objective) -> None:
    """A likelier response and a likelier reference push the loss to opposite sides, equally where only their log-ratio counts.

    Taken from the gradient in the reference. A response without a reference of its own is held against another's where only the
    difference of the two moves its slope. Raises Doubtful where a response counts beyond its log-ratio and not linearly (a
    missing or half normalised reference), and where one role has a reference and another, not linear, has none.
    """
    if not objective.needs.reference:
        return
    batches = [make_batch(objective, scale, seed=seed) for scale, seed in ((0.02, 0), (0.3, 0), (0.3, 1))]
    both = [_slopes_and_reference_slopes(objective, batch) for batch in batches]
    compared, bare = [], []
    for role in tensors(batches[0]):
        pairs = [(found[role][0], found[role][1]) for found in both]
        if not any(own.any() for own, _ in pairs):
            continue
        if not any(of_reference.any() for _, of_reference in pairs):
            bare.append(role)
            continue
        compared.append(role)
        products = torch.cat([(own * of_reference).flatten() for own, of_reference in pairs])
        if (products > 0).any() and not (products < 0).any():
            raise Broken(
                f"a likelier {role} response and a likelier reference of it change the loss the same way: is the reference added "
                "instead of subtracted, or that of another role?"
            )
    for role, other in ((role, other) for role in bare for other in compared):
        if _against_the_reference_of(objective, batches[0], role, other):
            raise Broken(f"the {role} response is held against the reference of the {other} one, not against its own")
    for role in compared:
        level = _level(objective, batches[0], role, 0.0)
        if any((_level(objective, batches[0], role, shift) - level).abs().gt(1e-7 * (1 + level.abs())).any() for shift in SHIFTS):
            raise Doubtful(f"the {role} response counts beyond its log-ratio: is a length missing on one side of it?")
    for role in bare if compared else ():
        if not _linear(objective, batches[0], role) and not _follows_reference(objective, batches[0], role):
            raise Doubtful(f"the {compared[0]} response is held against its reference, the {role} one is not")


def _against_the_reference_of(objective: Objective, batch: Batch, role: str, other: str) -> bool:
    """Whether a role's slope stays where its log-probability and the other's reference move together, and only then."""

    def stays(logp: float, reference: float) -> bool:
        shifted = moved(moved(batch, role, logp=logp), other, reference=reference)
        return same([slopes(objective, batch)[role]], [slopes(objective, shifted)[role]], 1e-9)

    return stays(0.7, 0.7) and not stays(0.7, 0.0) and not stays(0.0, 0.7)


def _level(objective: Objective, batch: Batch, role: str, shift: float) -> torch.Tensor:
    """(B, K), the slope in a role's log-probability and reference moved together, after its reference alone has been moved."""
    own, of_reference = _slopes_and_reference_slopes(objective, moved(batch, role, reference=shift * _uneven(batch)))[role]
    return own + of_reference


def _follows_reference(objective: Objective, batch: Batch, role: str) -> bool:
    return not same(_rows(objective, batch), _rows(objective, moved(batch, role, reference=0.7)))


def _slopes_and_reference_slopes(objective: Objective, batch: Batch) -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
    """Role -> (B, K) slopes of the summed loss in the log-probability and in the reference."""

    def leaf(_: str, r: Responses) -> Responses:
        assert r.reference is not None
        return Responses(r.logp.detach().requires_grad_(), r.length, r.reference.detach().requires_grad_())

    fresh = mapped(batch, leaf)
    found = {}
    value = total(objective, fresh)
    for role, r in roles(fresh).items():
        assert r.reference is not None
        grads = torch.autograd.grad(value, (r.logp, r.reference), retain_graph=True, allow_unused=True)
        found[role] = tuple(torch.zeros_like(r.logp) if g is None else g for g in grads)
    return found


# ---------------------------------------------------------------- the gradient


def the_gradient_is_the_slope_of_the_loss(objective: Objective) -> None:
    """Against a central difference. Raises Doubtful: to hold a part of the loss constant is a technique of its own."""
    for seed in range(2):
        batch = make_batch(objective, seed=seed)
        value = float(total(objective, batch).detach())
        for role, slope in slopes(objective, batch).items():
            expected = float(slope.sum())
            differences = [_difference(objective, batch, role, step) for step in STEPS]
            near = 1e-3 * (abs(expected) + float(slope.abs().sum()) * 1e-2) + 1e-7 * (1 + abs(value))
            if all(abs(difference - expected) > near for difference in differences):
                raise Doubtful(
                    f"the gradient of {role} is {expected:.4g} where the loss has the slope {differences[0]:.4g}: a part of it "
                    "is held constant (detached, or made into a plain number)"
                )


def _difference(objective: Objective, batch: Batch, role: str, step: float) -> float:
    before, after = (float(total(objective, moved(batch, role, logp=by)).detach()) for by in (-step, step))
    return (after - before) / (2 * step)
