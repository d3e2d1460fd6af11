"""The properties of a loss as a function: computable, finite, precise, pure, row by row, and documented.

Each check takes one objective and raises `PropertyViolation`, with the likely mistake in one sentence, or `PropertyWarning`.
Legend: B prompts, K responses per prompt in a role; float64 unless said otherwise.
"""

from __future__ import annotations

import dataclasses
import inspect
import itertools
import os
import random
import signal
import threading
from collections.abc import Callable

import torch

from harness.discovery.batches import (
    BATCH_SIZE,
    PropertyViolation,
    PropertyWarning,
    all_close,
    all_tensors,
    gradients,
    logp_grads,
    logp_leaves,
    make_batch,
    map_tensors,
    responses_by_role,
    roll_samples,
    select_rows,
    shift_role,
    training_effect,
    weighted_loss,
)
from harness.discovery.process_state import preserve_process_state
from objectives import Batch, LossOutput, Objective, UndeclaredRead

NATS_SCALES = (1e-3, 1.0, 30.0, 3000.0)  # nats per token: from one likely token to a very unlikely long response
# Nats, for log-probabilities of some hundred nats: a step that half precision loses, and one that float32 loses.
HALF_PRECISION_STEP, SINGLE_PRECISION_STEP = 0.003, 1e-8


def the_loss_can_be_computed(objective: Objective) -> None:
    """Once at the start of an iteration and once later, with what `needs` declares."""
    for at_start in (True, False):
        try:
            objective.loss(make_batch(objective, at_start=at_start))
        except UndeclaredRead as error:
            raise PropertyViolation(str(error)) from error


def loss_and_metrics_have_one_value_per_prompt(objective: Objective) -> None:
    output = objective.loss(make_batch(objective))
    if not isinstance(output, LossOutput):
        raise PropertyViolation(f"the loss returns {type(output).__name__}, expected LossOutput(loss, weight, metrics)")
    named_tensors = {"loss": output.loss, "weight": output.weight, **{f"metric {k}": v for k, v in output.metrics.items()}}
    for name, value in named_tensors.items():
        if value is None and name == "weight":
            continue
        if not isinstance(value, torch.Tensor):
            raise PropertyViolation(f"{name} is {type(value).__name__}, expected a tensor of one value per prompt")
        if tuple(value.shape) != (BATCH_SIZE,):
            raise PropertyViolation(f"{name} has shape {tuple(value.shape)}, expected ({BATCH_SIZE},): reduce over K, not over B")
        if name in ("loss", "weight") and value.dtype not in (torch.float32, torch.float64):
            raise PropertyViolation(f"{name} is {value.dtype}, expected the type of the log-probabilities: leave it as computed")


def weights_count_prompts(objective: Objective) -> None:
    """The core minimises sum(weight * loss) / sum(weight) and does not differentiate the second sum."""
    for seed in range(2):
        weight = objective.loss(make_batch(objective, seed=seed)).weight
        if weight is None:
            return
        if not torch.isfinite(weight).all() or (weight < 0).any() or not weight.any():
            raise PropertyViolation(f"weight is {[round(w, 4) for w in weight.tolist()]}, expected at least 0, not all 0")
        if weight.requires_grad:
            raise PropertyViolation("weight has a gradient, but the sum is not differentiated: detach it or put it into the loss")


def loss_and_gradient_are_finite(objective: Objective) -> None:
    """Raises PropertyWarning for a loss that overflows because it is exponential, where that is not declared."""
    first_failure = ""
    for case in itertools.product(NATS_SCALES, (False, True), (torch.float64, torch.float32)):
        try:
            _check_finite(objective, *case)
        except PropertyViolation as error:
            if not _overflows_exponentially(objective, *case):
                raise
            first_failure = first_failure or str(error).partition(":")[0]
    if first_failure and not may_overflow(objective):
        raise PropertyWarning(f"{first_failure}: where it is exponential by definition, declare unbounded = True; else clip it")


def harmless_input_gives_a_finite_loss_and_gradient(objective: Objective) -> None:
    """Required of an exponential loss too: log-ratios of about one nat are in every batch."""
    _check_finite(objective, 1.0)


def _check_finite(objective: Objective, scale: float, at_start: bool = False, dtype: torch.dtype = torch.float64) -> None:
    batch = make_batch(objective, scale, at_start, dtype=dtype)
    where = f"at {scale:g} nats per token" + (", where all log-ratios are 0" if at_start else "")
    where += " in float32" if dtype is torch.float32 else ""
    value = weighted_loss(objective, batch)
    if not torch.isfinite(value):
        raise PropertyViolation(f"loss is {value.item()} {where}: use a stable form such as softplus, or a smaller scale")
    if not value.requires_grad:
        raise PropertyViolation("the loss has no gradient, so nothing would be learnt: is something detached?")
    leaves = logp_leaves(batch)
    for role, grad in zip(leaves, gradients(value, leaves.values()), strict=True):
        if not torch.isfinite(grad).all():
            raise PropertyViolation(f"the gradient of {role} is not finite {where}: use a stable form")


def _overflows_exponentially(objective: Objective, scale: float, at_start: bool, dtype: torch.dtype) -> bool:
    """Whether loss or gradient is huge just before it overflows (bisection), as an exponential is and log(1 + exp(x)) is not."""
    low, high, largest = 1e-3, scale, 0.0
    while high / low > 1.001:
        middle = (low * high) ** 0.5
        values = training_effect(objective, make_batch(objective, middle, at_start, dtype=dtype))
        if all(torch.isfinite(v).all() for v in values):
            low, largest = middle, max(float(v.abs().max()) for v in values)
        else:
            high = middle
    return largest > torch.finfo(dtype).max ** 0.5


def may_overflow(objective: Objective) -> bool:
    """Whether the loss is declared to be exponential by definition; training stops before an update that is not finite.

    SPIN's exponential form is recognized by name: its file is older than the declaration, and runs are resumed by its digest.
    """
    return bool(objective.unbounded) or getattr(objective, "form", "") == "exponential"


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
            raise PropertyViolation("a tensor made in the loss is not on the log-probabilities' device: give it that") from error
        if "Cannot copy out of meta tensor" in str(error):
            raise PropertyViolation(
                "the loss copies log-probabilities to the processor: leave out .cpu(), .to() and .tolist()"
            ) from error


def same_input_gives_same_output_and_is_unchanged(objective: Objective) -> None:
    batch = make_batch(objective)
    before = [tensor.detach().clone() for tensor in all_tensors(batch)]
    first = objective.loss(batch).loss.detach().clone()
    if any(not torch.equal(old, new) for old, new in zip(before, all_tensors(batch), strict=True)):
        raise PropertyViolation("the loss changed its input in place")
    second = objective.loss(batch).loss.detach().clone()
    objective.loss(make_batch(objective, seed=1))
    later = objective.loss(batch).loss
    if not all_close([first, first], [second, later], 0.0):
        raise PropertyViolation("two calls on the same batch differ: the loss must be pure, without random numbers or state")


def random_numbers_and_settings_are_left_alone(objective: Objective) -> None:
    with preserve_process_state() as changed:
        torch.rand(1)  # so that a loss that sets the same seed again is noticed
        random.random()
        before = _state_beside_settings()
        objective.loss(make_batch(objective))
        changed += [name for name, value in _state_beside_settings().items() if value != before[name]]
    if changed:
        raise PropertyViolation(f"the loss changes {changed[0]}, which the rest of the run uses")


def _state_beside_settings() -> dict[str, object]:
    return {
        "torch's random numbers": torch.get_rng_state().numpy().tobytes(),
        "Python's random numbers": random.getstate(),
        "the handlers of signals": [signal.getsignal(number) for number in sorted(signal.valid_signals())],
        "the threads that run": threading.active_count(),
        "the environment": dict(os.environ),
    }


def rows_do_not_depend_on_each_other(objective: Objective) -> None:
    if objective.needs.couples_batch:
        return
    batch = make_batch(objective)
    batch_loss = objective.loss(batch).loss
    for row in range(BATCH_SIZE):
        row_loss = objective.loss(select_rows(batch, [row])).loss
        if not all_close([batch_loss[row : row + 1]], [row_loss], 1e-9):
            raise PropertyViolation(f"row {row} depends on other rows (averaged over the batch?); or declare couples_batch=True")


def order_of_rows_and_samples_does_not_matter(objective: Objective) -> None:
    """Rows of one batch come in any order, and the samples of one prompt are draws of one distribution."""
    for seed in range(2):
        batch, order = make_batch(objective, seed=seed), [2, 0, 3, 1]
        leaves = logp_leaves(batch).values()
        original, permuted = (weighted_loss(objective, b) for b in (batch, select_rows(batch, order)))
        if not all_close([original, *gradients(original, leaves)], [permuted, *gradients(permuted, leaves)], 1e-9):
            raise PropertyViolation("permuted rows give another loss or gradient: something depends on a row's position")
        if not all_close([objective.loss(batch).loss], [objective.loss(roll_samples(batch)).loss], 1e-9):
            raise PropertyViolation("the order of a prompt's samples changes its loss, though they are draws of one distribution")


def splitting_the_batch_adds_up_to_the_same_gradient(objective: Objective) -> None:
    if objective.needs.couples_batch:
        return
    batch = make_batch(objective)
    leaves = logp_leaves(batch)
    total = weighted_loss(objective, batch)
    parts = torch.stack([weighted_loss(objective, select_rows(batch, rows)) for rows in ([0], [1, 2], [3])]).sum()
    whole, split = (gradients(value, leaves.values()) for value in (total, parts))
    for role, batch_grad, split_grad in zip(leaves, whole, split, strict=True):
        if not all_close([batch_grad], [split_grad], 1e-10):
            raise PropertyViolation(
                f"micro-batches give another gradient of {role}: return sums per row and a weight, not a mean over rows"
            )


def a_batch_of_one_row_is_finite(objective: Objective) -> None:
    """The last optimizer step of an epoch may hold one prompt; tested where rows are coupled."""
    if objective.needs.couples_batch and not torch.isfinite(weighted_loss(objective, select_rows(make_batch(objective), [0]))):
        raise PropertyWarning("a batch of one row has no finite loss (a deviation over rows?): training stops where one is left")


def hyper_parameters_are_documented(objective: Objective) -> None:
    for spec in dataclasses.fields(objective):
        if not spec.metadata.get("doc"):
            raise PropertyViolation(f"{spec.name} has no documentation: declare it with param(default, doc, bounds)")


def title_citation_and_docstring_are_there(objective: Objective) -> None:
    cls = type(objective)
    missing = [name for name in ("title", "citation") if not hasattr(cls, name)]
    if missing:
        raise PropertyViolation(f"no {missing[0]}: a reader of the report must be able to find the paper")
    if not all(dataclasses.astuple(cls.citation)):
        raise PropertyViolation("a part of the citation is empty: label, title, url and where are all needed")
    if "Departures from the paper:" not in (inspect.getdoc(cls) or ""):
        raise PropertyViolation('the docstring does not say "Departures from the paper:", even if there are none')


# Run before every training run: failing one of these ends in a crash or in meaningless numbers.
PREFLIGHT_CHECKS: tuple[Callable[[Objective], None], ...] = (
    loss_and_metrics_have_one_value_per_prompt,
    harmless_input_gives_a_finite_loss_and_gradient,
    same_input_gives_same_output_and_is_unchanged,
    rows_do_not_depend_on_each_other,
)
