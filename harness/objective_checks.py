"""The properties every objective must have: what `harness objectives check` runs, and the tests for every file.

Each check answers one question about a class and, when it fails, says in one sentence what was probably done.
Legend: B prompts, K responses per prompt in a role; everything in float64.
"""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import torch

from objectives import Batch, LossOutput, Objective, Responses, UndeclaredRead

PROMPTS = 4
SCALES = (1e-3, 1.0, 30.0, 3000.0)  # nats: from one likely token to a very unlikely long response


class Broken(Exception):
    """A property does not hold; the message says why."""


@dataclass(frozen=True)
class CheckResult:
    """One property of one objective. `reason` is empty when it holds."""

    name: str
    passed: bool
    reason: str = ""


def check_objective(cls: type[Objective]) -> list[CheckResult]:
    """Every property over the default hyper-parameters and some other legal ones."""
    results = []
    for check in CHECKS:
        name = check.__name__.replace("_", " ")
        try:
            for objective in variations(cls):
                check(objective)
        except Broken as error:
            results.append(CheckResult(name, False, str(error)))
        except Exception as error:  # any exception of the file is a finding about it
            results.append(CheckResult(name, False, f"{type(error).__name__}: {error}"))
        else:
            results.append(CheckResult(name, True))
    return results


def variations(cls: type[Objective]) -> Iterator[Objective]:
    """The default, then each hyper-parameter in turn at another legal value."""
    default = cls()
    yield default
    for spec in dataclasses.fields(cls):
        value, meta = getattr(default, spec.name), spec.metadata
        if "choices" in meta:
            others = [c for c in meta["choices"] if c != value]
        elif isinstance(value, bool):
            others = [not value]
        elif isinstance(value, int):
            others = [value + 1]
        elif isinstance(value, float):
            others = [value * 3 + 0.5]
        else:
            others = []
        for other in others:
            try:
                yield replace(default, **{spec.name: other})
            except ValueError:
                continue


def make_batch(objective: Objective, scale: float = 1.0, at_start: bool = False, seed: int = 0) -> Batch:
    """A batch with exactly what `needs` declares: log-probabilities about -scale per token, lengths 3 to 12.

    at_start: the main player is the opponent, so every log-ratio is 0.
    """
    generator = torch.Generator().manual_seed(seed)
    needs = objective.needs

    def role(width: int) -> Responses | None:
        if width == 0:
            return None
        length = torch.randint(3, 13, (PROMPTS, width), generator=generator).double()
        logp = -scale * length * (0.5 + torch.rand((PROMPTS, width), generator=generator, dtype=torch.float64))
        drift = 0.5 * scale * torch.randn((PROMPTS, width), generator=generator, dtype=torch.float64)
        reference = logp.clone() if at_start else logp + drift
        return Responses(logp.requires_grad_(), length, reference if needs.reference else None)

    real = role(1)
    assert real is not None
    return Batch(real, role(needs.synthetic), role(needs.proto))


def tensors(batch: Batch) -> dict[str, torch.Tensor]:
    """Role -> its log-probabilities, the leaves that gradients arrive at."""
    roles = {"real": batch.real, "synthetic": batch.maybe_synthetic, "proto": batch.maybe_proto}
    return {name: r.logp for name, r in roles.items() if r is not None}


def pick(batch: Batch, rows: list[int]) -> Batch:
    """The same batch with other rows, or the same in another order."""

    def take(r: Responses | None) -> Responses | None:
        return r and Responses(r.logp[rows], r.length[rows], None if r.reference is None else r.reference[rows])

    real = take(batch.real)
    assert real is not None
    return Batch(real, take(batch.maybe_synthetic), take(batch.maybe_proto))


def total(objective: Objective, batch: Batch) -> torch.Tensor:
    output = objective.loss(batch)
    weight = torch.ones_like(output.loss) if output.weight is None else output.weight
    return (weight * output.loss).sum()


# ---------------------------------------------------------------- the properties


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


def loss_and_gradient_are_finite(objective: Objective) -> None:
    for scale in SCALES:
        if not (_may_overflow(objective) and scale > 100):
            _finite_at(objective, scale)


def harmless_input_gives_a_finite_loss_and_gradient(objective: Objective) -> None:
    _finite_at(objective, 1.0)


def _finite_at(objective: Objective, scale: float) -> None:
    batch = make_batch(objective, scale)
    value = total(objective, batch)
    if not torch.isfinite(value):
        raise Broken(f"loss is {value.item()} at {scale} nats per token: use a stable form such as softplus")
    if not value.requires_grad:
        raise Broken("the loss has no gradient, so nothing would be learnt: is something detached?")
    value.backward()
    for role, leaf in tensors(batch).items():
        if leaf.grad is not None and not torch.isfinite(leaf.grad).all():
            raise Broken(f"the gradient of {role} is not finite at {scale} nats per token: use a stable form")


def _may_overflow(objective: Objective) -> bool:
    """An exponential loss is unbounded by design; the core stops on it before an update."""
    return getattr(objective, "form", "") == "exponential"


def rows_do_not_depend_on_each_other(objective: Objective) -> None:
    if objective.needs.couples_batch:
        return
    batch = make_batch(objective)
    whole = objective.loss(batch).loss
    for row in range(PROMPTS):
        alone = objective.loss(pick(batch, [row])).loss
        if not torch.allclose(whole[row : row + 1], alone, rtol=1e-9, atol=1e-12):
            raise Broken(f"row {row} depends on other rows (did you average over the batch?); or declare couples_batch=True")


def same_input_gives_same_output_and_is_unchanged(objective: Objective) -> None:
    batch = make_batch(objective)
    before = [tensor.detach().clone() for tensor in _given(batch)]
    first = objective.loss(batch).loss.detach().clone()
    if any(not torch.equal(was, now) for was, now in zip(before, _given(batch), strict=True)):
        raise Broken("the loss changed its input in place")
    if not torch.equal(first, objective.loss(batch).loss):
        raise Broken("two calls on the same batch differ: the loss must be pure, without random numbers or state")


def _given(batch: Batch) -> list[torch.Tensor]:
    """Every tensor of a batch."""
    roles = [r for r in (batch.real, batch.maybe_synthetic, batch.maybe_proto) if r is not None]
    return [tensor for r in roles for tensor in (r.logp, r.length, r.reference) if tensor is not None]


def permuted_rows_give_permuted_losses(objective: Objective) -> None:
    batch, order = make_batch(objective), [2, 0, 3, 1]
    if not torch.allclose(objective.loss(batch).loss[order], objective.loss(pick(batch, order)).loss, rtol=1e-9):
        raise Broken("the losses of permuted rows are not the permuted losses: something depends on the row's position")


def raising_the_real_log_probability_never_raises_the_loss(objective: Objective) -> None:
    batch = make_batch(objective, at_start=True)
    total(objective, batch).backward()
    slope = batch.real.logp.grad
    if slope is None or not (slope <= 1e-12).all():
        raise Broken("at the start of an iteration a likelier real response raises the loss: is a sign turned around?")
    if not (slope < 0).any():
        raise Broken("at the start of an iteration the real response has no gradient, so nothing would be learnt from it")


def declared_needs_suffice_and_are_used(objective: Objective) -> None:
    try:
        batch = make_batch(objective)
        total(objective, batch).backward()
    except UndeclaredRead as error:
        raise Broken(str(error)) from error
    for role, leaf in tensors(batch).items():
        if leaf.grad is None or not leaf.grad.any():
            raise Broken(f"needs declares {role} responses but the loss does not depend on them")


def splitting_the_batch_adds_up_to_the_same_gradient(objective: Objective) -> None:
    if objective.needs.couples_batch:
        return
    whole, parts = make_batch(objective), make_batch(objective)
    total(objective, whole).backward()
    for rows in ([0], [1, 2], [3]):
        total(objective, pick(parts, rows)).backward()
    for role, leaf in tensors(whole).items():
        other = tensors(parts)[role]
        assert leaf.grad is not None
        assert other.grad is not None
        if not torch.allclose(leaf.grad, other.grad, rtol=1e-10, atol=1e-14):
            raise Broken(f"micro-batches give another gradient of {role}: return sums per row and a weight, not a mean over rows")


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


CHECKS: tuple[Callable[[Objective], None], ...] = (
    loss_and_metrics_have_one_value_per_prompt,
    loss_and_gradient_are_finite,
    rows_do_not_depend_on_each_other,
    same_input_gives_same_output_and_is_unchanged,
    permuted_rows_give_permuted_losses,
    raising_the_real_log_probability_never_raises_the_loss,
    declared_needs_suffice_and_are_used,
    splitting_the_batch_adds_up_to_the_same_gradient,
    hyper_parameters_are_documented,
    title_citation_and_docstring_are_there,
)
# What a run asks of its objectives before it begins: failing one of these ends in a crash or in numbers that mean nothing.
BEFORE_A_RUN: tuple[Callable[[Objective], None], ...] = (
    loss_and_metrics_have_one_value_per_prompt,
    harmless_input_gives_a_finite_loss_and_gradient,
    same_input_gives_same_output_and_is_unchanged,
    rows_do_not_depend_on_each_other,
)
