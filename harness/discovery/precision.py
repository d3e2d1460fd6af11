"""Whether a loss keeps the precision of its log-probabilities and works on whatever device they are on.

Legend: B prompts, K responses per prompt in a role; float64 unless said otherwise.
"""

from __future__ import annotations

import torch

from harness.discovery.batches import (
    PropertyViolation,
    PropertyWarning,
    logp_grads,
    logp_leaves,
    make_batch,
    map_tensors,
    responses_by_role,
    shift_role,
)
from harness.discovery.checks import may_overflow
from objectives import Batch, Objective

# Nats, for log-probabilities of some hundred nats: a step that half precision loses, and one that float32 loses.
HALF_PRECISION_STEP, SINGLE_PRECISION_STEP = 0.003, 1e-8


def precision_is_kept(objective: Objective) -> None:
    """float32 gives the loss of float64 up to the rounding of log-probabilities, and small steps of every input change it."""
    batch = make_batch(objective, 1.0 if may_overflow(objective) else 30.0, at_start=True)
    for number, role in enumerate(responses_by_role(batch)):
        batch = shift_role(batch, role, logp=0.3 + 0.1 * number)
    exact = objective.loss(batch).loss.detach()
    leaves = logp_leaves(batch)
    terms = [(s * leaves[role].detach()).abs().sum(dim=1) for role, s in logp_grads(objective, batch).items()]
    rounding = torch.stack(terms).sum(dim=0)
    loss = objective.loss(map_tensors(batch, lambda t: t.float())).loss.detach().double()
    differs = (loss - exact).abs() > 1e-5 * (1 + exact.abs()) + 1e-6 * rounding
    if (differs & torch.isfinite(exact) & torch.isfinite(loss)).any():
        raise PropertyViolation(
            "float32 log-probabilities give another loss than float64 ones: is a large number added and taken away again?"
        )
    for role in leaves:
        for kind in ("logp", "reference") if objective.needs.reference else ("logp",):
            if not _follows_step(objective, batch, role, kind, HALF_PRECISION_STEP):
                raise PropertyViolation(
                    f"steps of {HALF_PRECISION_STEP} nats in the {role} {kind} are lost: is something "
                    "rounded or cast to half precision?"
                )
            if not _follows_step(objective, batch, role, kind, SINGLE_PRECISION_STEP):
                raise PropertyWarning(
                    f"steps of {SINGLE_PRECISION_STEP} nats in the {role} {kind} are lost in float64: leave out casts as .float()"
                )


def _follows_step(objective: Objective, batch: Batch, role: str, kind: str, step: float) -> bool:
    """Whether a small step changes most rows that a few nats change in both directions and that have a gradient there."""

    def loss_after(shift: float) -> torch.Tensor:
        other = shift_role(batch, role, logp=shift) if kind == "logp" else shift_role(batch, role, reference=shift)
        return objective.loss(other).loss.detach()

    base_loss, stepped, lowered, raised = (loss_after(shift) for shift in (0.0, step, -4.0, 4.0))
    smaller_change = torch.minimum((lowered - base_loss).abs(), (raised - base_loss).abs())
    loss_scale = 1 + base_loss.abs() + lowered.abs() + raised.abs()
    is_sensitive = smaller_change * step > 1e-13 * loss_scale  # far above the rounding of the loss itself
    is_sensitive &= logp_grads(objective, batch)[role].any(dim=1)
    return not is_sensitive.any() or bool((stepped != base_loss)[is_sensitive].double().mean() > 0.5)


def the_loss_works_on_any_device(objective: Objective) -> None:
    """On torch's meta device, which cannot be mixed with another; a loss that reads values cannot be tested this way."""
    try:
        objective.loss(map_tensors(make_batch(objective), lambda t: t.detach().to("meta")))
    except (RuntimeError, NotImplementedError, TypeError) as error:
        if "expected device" in str(error) or "same device" in str(error):
            raise PropertyViolation(
                "a tensor made in the loss is not on the log-probabilities' device: give it their device"
            ) from error
        if "Cannot copy out of meta tensor" in str(error):
            raise PropertyViolation(
                "the loss copies log-probabilities to the processor: leave out .cpu(), .to() and .tolist()"
            ) from error
