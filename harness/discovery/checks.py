"""The properties of a loss as a function: computable, finite, pure, row by row, and written about.

Each check takes one objective and raises `Broken`, which says in one sentence what was probably done, or `Doubtful`.
Legend: B prompts, K responses per prompt in a role; float64 unless said otherwise.
"""

from __future__ import annotations

import dataclasses
import inspect
import os
import random
import signal
import threading
from collections.abc import Callable

import torch

from harness.discovery.batches import (
    PROMPTS,
    Broken,
    Doubtful,
    effect,
    given,
    make_batch,
    pick,
    same,
    shuffled_samples,
    tensors,
    total,
)
from objectives import LossOutput, Objective, UndeclaredRead

SCALES = (1e-3, 1.0, 30.0, 3000.0)  # nats per token: from one likely token to a very unlikely long response


def the_loss_can_be_computed(objective: Objective) -> None:
    """Once at the start of an iteration and once later, with what `needs` declares."""
    for at_start in (True, False):
        try:
            objective.loss(make_batch(objective, at_start=at_start))
        except UndeclaredRead as error:
            raise Broken(str(error)) from error


def loss_and_metrics_have_one_value_per_prompt(objective: Objective) -> None:
    output = objective.loss(make_batch(objective))
    if not isinstance(output, LossOutput):
        raise Broken(f"the loss returns {type(output).__name__}, expected LossOutput(loss, weight, metrics)")
    named = {"loss": output.loss, "weight": output.weight, **{f"metric {k}": v for k, v in output.metrics.items()}}
    for name, value in named.items():
        if value is None and name == "weight":
            continue
        if not isinstance(value, torch.Tensor):
            raise Broken(f"{name} is {type(value).__name__}, expected a tensor of one value per prompt")
        if tuple(value.shape) != (PROMPTS,):
            raise Broken(f"{name} has shape {tuple(value.shape)}, expected ({PROMPTS},): reduce over K, not over B")
        if name in ("loss", "weight") and value.dtype not in (torch.float32, torch.float64):
            raise Broken(f"{name} is {value.dtype}, expected the type of the log-probabilities: leave it as it was computed")


def weights_count_prompts(objective: Objective) -> None:
    """The core minimises sum(weight * loss) / sum(weight) and does not differentiate the second sum."""
    for seed in range(2):
        weight = objective.loss(make_batch(objective, seed=seed)).weight
        if weight is None:
            return
        if not torch.isfinite(weight).all() or (weight < 0).any() or not weight.any():
            raise Broken(f"weight is {[round(w, 4) for w in weight.tolist()]}, expected numbers of at least 0, not all of them 0")
        if weight.requires_grad:
            raise Broken("weight has a gradient, but their sum is not differentiated: detach it, or put it into the loss")


# ---------------------------------------------------------------- finite


def loss_and_gradient_are_finite(objective: Objective) -> None:
    """Raises Doubtful for a loss that leaves floating point because it is exponential, where that is not declared."""
    exponential = ""
    for scale in SCALES:
        for at_start in (False, True):
            for dtype in (torch.float64, torch.float32):
                try:
                    _finite_at(objective, scale, at_start, dtype)
                except Broken as error:
                    if not _grows_out_of_bounds(objective, scale, at_start, dtype):
                        raise
                    exponential = exponential or str(error).partition(":")[0]
    if exponential and not may_overflow(objective):
        raise Doubtful(f"{exponential}: where it is exponential by definition, declare unbounded = True; else clip it")


def harmless_input_gives_a_finite_loss_and_gradient(objective: Objective) -> None:
    """Asked of an exponential loss too: log-ratios of about one nat come in every batch."""
    _finite_at(objective, 1.0)


def _finite_at(objective: Objective, scale: float, at_start: bool = False, dtype: torch.dtype = torch.float64) -> None:
    batch = make_batch(objective, scale, at_start, dtype=dtype)
    where = f"at {scale:g} nats per token" + (", where all log-ratios are 0" if at_start else "")
    where += " in float32" if dtype is torch.float32 else ""
    value = total(objective, batch)
    if not torch.isfinite(value):
        raise Broken(f"loss is {value.item()} {where}: use a stable form such as softplus, or a smaller scale")
    if not value.requires_grad:
        raise Broken("the loss has no gradient, so nothing would be learnt: is something detached?")
    value.backward()
    for role, leaf in tensors(batch).items():
        if leaf.grad is not None and not torch.isfinite(leaf.grad).all():
            raise Broken(f"the gradient of {role} is not finite {where}: use a stable form")


def _grows_out_of_bounds(objective: Objective, scale: float, at_start: bool, dtype: torch.dtype) -> bool:
    """Whether loss or gradient is huge just before it leaves floating point, as an exponential is and log(1 + exp(x)) is not.

    The last finite scale is searched by bisection along the same batch.
    """
    low, high, largest = 1e-3, scale, 0.0
    while high / low > 1.001:
        middle = (low * high) ** 0.5
        values = effect(objective, make_batch(objective, middle, at_start, dtype=dtype))
        if all(torch.isfinite(v).all() for v in values):
            low, largest = middle, max(float(v.abs().max()) for v in values)
        else:
            high = middle
    return largest > torch.finfo(dtype).max ** 0.5


def may_overflow(objective: Objective) -> bool:
    """Whether the loss is declared to be exponential by definition; training stops before an update by a number that is none.

    SPIN's exponential form is known by name: its file is older than the declaration, and runs are resumed by the file's digest.
    """
    return bool(objective.unbounded) or getattr(objective, "form", "") == "exponential"


# ---------------------------------------------------------------- pure


def same_input_gives_same_output_and_is_unchanged(objective: Objective) -> None:
    batch = make_batch(objective)
    before = [tensor.detach().clone() for tensor in given(batch)]
    first = objective.loss(batch).loss.detach().clone()
    if any(not torch.equal(was, now) for was, now in zip(before, given(batch), strict=True)):
        raise Broken("the loss changed its input in place")
    again = objective.loss(batch).loss.detach().clone()
    objective.loss(make_batch(objective, seed=1))
    later = objective.loss(batch).loss
    if not (_alike(first, again) and _alike(first, later)):
        raise Broken("two calls on the same batch differ: the loss must be pure, without random numbers or state")


def _alike(one: torch.Tensor, other: torch.Tensor) -> bool:
    return torch.allclose(one, other, rtol=0, atol=0, equal_nan=True)


def random_numbers_and_settings_are_left_alone(objective: Objective) -> None:
    kept = torch.get_rng_state(), random.getstate()
    try:
        torch.rand(1)  # so that a loss that sets the seed it has already set is seen
        random.random()
        before = _surroundings()
        objective.loss(make_batch(objective))
        after = _surroundings()
    finally:
        torch.set_rng_state(kept[0])
        random.setstate(kept[1])
    for name, now in after.items():
        if now != before[name]:
            raise Broken(f"the loss changes {name}, which the rest of the run uses")


def _surroundings() -> dict[str, object]:
    return {
        "torch's random numbers": torch.get_rng_state().numpy().tobytes(),
        "Python's random numbers": random.getstate(),
        "torch's default dtype": torch.get_default_dtype(),
        "torch's grad mode": torch.is_grad_enabled(),
        "torch's deterministic algorithms": torch.are_deterministic_algorithms_enabled(),
        "torch's anomaly mode": torch.is_anomaly_enabled(),
        "torch's default device": torch.empty(0).device,
        "the number of threads": torch.get_num_threads(),
        "the handlers of signals": [signal.getsignal(number) for number in sorted(signal.valid_signals())],
        "the threads that run": threading.active_count(),
        "the environment": dict(os.environ),
        "the working folder": os.getcwd(),
    }


# ---------------------------------------------------------------- row by row


def rows_do_not_depend_on_each_other(objective: Objective) -> None:
    if objective.needs.couples_batch:
        return
    batch = make_batch(objective)
    whole = objective.loss(batch).loss
    for row in range(PROMPTS):
        alone = objective.loss(pick(batch, [row])).loss
        if not torch.allclose(whole[row : row + 1], alone, rtol=1e-9, atol=1e-12, equal_nan=True):
            raise Broken(f"row {row} depends on other rows (did you average over the batch?); or declare couples_batch=True")


def order_of_rows_and_samples_does_not_matter(objective: Objective) -> None:
    """Rows of one batch come in any order, and the samples of one prompt are draws of one distribution."""
    for seed in range(2):
        batch, order = make_batch(objective, seed=seed), [2, 0, 3, 1]
        whole, permuted = total(objective, batch), total(objective, pick(batch, order))
        grads, others = (
            torch.autograd.grad(value, list(tensors(batch).values()), allow_unused=True) for value in (whole, permuted)
        )
        pairs = [(a, b) for a, b in zip(grads, others, strict=True) if a is not None and b is not None]
        if not (same([whole], [permuted], 1e-9) and all(same([a], [b], 1e-9) for a, b in pairs)):
            raise Broken("permuted rows give another loss or gradient: something depends on a row's position in the batch")
        if not same([objective.loss(batch).loss], [objective.loss(shuffled_samples(batch)).loss], 1e-9):
            raise Broken("the order of a prompt's samples changes its loss, though they are draws of one distribution")


def splitting_the_batch_adds_up_to_the_same_gradient(objective: Objective) -> None:
    if objective.needs.couples_batch:
        return
    batch = make_batch(objective)
    leaves = tensors(batch)
    whole = torch.autograd.grad(total(objective, batch), list(leaves.values()), allow_unused=True)
    parts = sum(total(objective, pick(batch, rows)) for rows in ([0], [1, 2], [3]))
    assert isinstance(parts, torch.Tensor)
    split = torch.autograd.grad(parts, list(leaves.values()), allow_unused=True)
    for role, one, other in zip(leaves, whole, split, strict=True):
        if one is not None and (other is None or not torch.allclose(one, other, rtol=1e-10, atol=1e-14)):
            raise Broken(f"micro-batches give another gradient of {role}: return sums per row and a weight, not a mean over rows")


def a_batch_of_one_row_is_finite(objective: Objective) -> None:
    """The last optimizer step of an epoch may hold one prompt; asked where rows are coupled."""
    if objective.needs.couples_batch and not torch.isfinite(total(objective, pick(make_batch(objective), [0]))):
        raise Doubtful("a batch of one row has no finite loss (a deviation over rows?): training stops where one is left over")


# ---------------------------------------------------------------- what is written about it


def hyper_parameters_are_documented(objective: Objective) -> None:
    for spec in dataclasses.fields(objective):
        if not spec.metadata.get("doc"):
            raise Broken(f"{spec.name} has no documentation: declare it with param(default, doc, bounds)")


def title_citation_and_docstring_are_there(objective: Objective) -> None:
    cls = type(objective)
    missing = [name for name in ("title", "citation") if not hasattr(cls, name)]
    if missing:
        raise Broken(f"no {missing[0]}: a reader of the report must be able to find the paper")
    if not all(dataclasses.astuple(cls.citation)):
        raise Broken("a part of the citation is empty: label, title, url and where are all needed")
    if "Departures from the paper:" not in (inspect.getdoc(cls) or ""):
        raise Broken('the docstring does not say "Departures from the paper:", even if there are none')


# What a run asks of its objectives before it begins: failing one of these ends in a crash or in numbers that mean nothing.
BEFORE_A_RUN: tuple[Callable[[Objective], None], ...] = (
    loss_and_metrics_have_one_value_per_prompt,
    harmless_input_gives_a_finite_loss_and_gradient,
    same_input_gives_same_output_and_is_unchanged,
    rows_do_not_depend_on_each_other,
)
