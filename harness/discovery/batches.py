"""Synthetic batches of log-probabilities on which an objective's properties are tested, and ways to change one thing in them.

Legend: B prompts, K responses per prompt in a role; everything in float64 unless said otherwise, log-probabilities in nats.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

import torch

from objectives import Batch, Objective, Responses

BATCH_SIZE = 4
ROLE_NAMES = ("real", "synthetic", "proto")

Shift = float | torch.Tensor


class PropertyViolation(Exception):
    """A property does not hold; the message says why."""


class PropertyWarning(Exception):
    """Something that is rarely intended; the message says what."""


# ---------------------------------------------------------------- the objectives that are tested


def variations(base: Objective) -> Iterator[Objective]:
    """The objective as given, then each hyper-parameter in turn at other legal values."""
    yield base
    for spec in dataclasses.fields(base):
        others = other_settings(base, spec)
        yield from others if "choices" in spec.metadata else others[:1]


def form_variations(base: Objective) -> Iterator[Objective]:
    """The objective as given, then each choice and each switch in turn at its other values: forms of the loss, not its scales."""
    yield base
    for spec in dataclasses.fields(base):
        if "choices" in spec.metadata or isinstance(getattr(base, spec.name), bool):
            yield from other_settings(base, spec)


def other_settings(base: Objective, spec: dataclasses.Field) -> list[Objective]:
    """The objective with one hyper-parameter at each of its other values that it does not refuse."""
    others = []
    for value in _other_values(spec, getattr(base, spec.name)):
        with contextlib.suppress(ValueError, TypeError):
            others.append(replace(base, **{spec.name: value}))
    return others


def _other_values(spec: dataclasses.Field, value: object) -> list[object]:
    """Other values of a hyper-parameter, some of which its bounds may refuse; none for a text without choices."""
    if "choices" in spec.metadata:
        return [choice for choice in spec.metadata["choices"] if choice != value]
    low = spec.metadata.get("at_least", spec.metadata.get("above"))
    high = spec.metadata.get("at_most")
    if isinstance(value, bool):
        return [not value]
    if value is None:
        start = 1 if low is None else int(low)
        return [start + 1, start, float(start) + 0.5, True]
    if isinstance(value, int):
        candidates = [value + 1, value + 2, value - 1, value // 2, value * 3 + 1]
    elif isinstance(value, float):
        candidates = [value * 3 + 0.5, value * 0.5 + 0.01, value + 0.01, value * 1e-3, 1.0, -value]
        candidates += [(value + end) / 2 for end in (low, high) if end is not None]
    else:
        return []
    return [v for v in candidates if v != value and (low is None or v >= low) and (high is None or v <= high)]


def format_difference(base: Objective, other: Objective) -> str:
    """` (with form='hinge')`: the settings in which another objective of the class differs; empty for the same one."""
    settings = [f"{name}={value!r}" for name, value in vars(other).items() if value != getattr(base, name)]
    return f" (with {', '.join(settings)})" if settings else ""


def make_batch(
    objective: Objective,
    scale: float = 1.0,
    at_start: bool = False,
    seed: int = 0,
    prompts: int = BATCH_SIZE,
    dtype: torch.dtype = torch.float64,
) -> Batch:
    """A batch with what `needs` declares: about -scale nats per token, lengths 3 to 12; at_start: every log-ratio is 0."""
    generator = torch.Generator().manual_seed(seed)

    def make_role(_: str, width: int) -> Responses:
        length = torch.randint(3, 13, (prompts, width), generator=generator).double()
        logp = -scale * length * (0.5 + torch.rand((prompts, width), generator=generator, dtype=torch.float64))
        drift = 0.5 * scale * torch.randn((prompts, width), generator=generator, dtype=torch.float64)
        reference = logp.clone() if at_start else logp + drift
        return Responses(logp.to(dtype).requires_grad_(), length.to(dtype), reference.to(dtype))

    return _needed(objective, make_role)


def equal_start_batch(
    objective: Objective, lengths: Sequence[int] = (10,), nats: Sequence[float] = (1.0,), unlikely: str | None = None
) -> Batch:
    """The start of an iteration where all responses to a prompt are equally long and likely: row i has `lengths[i]` tokens of
    `nats[i]`. unlikely: a role whose responses have ten times as many nats."""
    tokens = torch.tensor(lengths, dtype=torch.float64)[:, None]
    logp = -tokens * torch.tensor(nats, dtype=torch.float64)[:, None]

    def make_role(name: str, width: int) -> Responses:
        role_logp = (logp * 10 if name == unlikely else logp).expand(-1, width)
        return Responses(role_logp.clone().requires_grad_(), tokens.expand(-1, width).clone(), role_logp.clone())

    return _needed(objective, make_role)


def _needed(objective: Objective, make_role: Callable[[str, int], Responses]) -> Batch:
    """The roles that `needs` declares, in their widths, with a reference where it declares one."""
    needs = objective.needs
    widths = zip(ROLE_NAMES, (1, needs.synthetic, needs.proto), strict=True)
    batch = _from_roles({name: make_role(name, width) for name, width in widths if width})
    return batch if needs.reference else map_roles(batch, lambda _, r: replace(r, reference=None))


def _from_roles(roles: Mapping[str, Responses]) -> Batch:
    return Batch(roles["real"], roles.get("synthetic"), roles.get("proto"))


def responses_by_role(batch: Batch) -> dict[str, Responses]:
    """Name -> responses of every role that the batch has."""
    named = zip(ROLE_NAMES, (batch.real, batch.maybe_synthetic, batch.maybe_proto), strict=True)
    return {name: responses for name, responses in named if responses is not None}


def logp_leaves(batch: Batch) -> dict[str, torch.Tensor]:
    """Role -> its log-probabilities, the leaves of the gradients."""
    return {name: responses.logp for name, responses in responses_by_role(batch).items()}


def all_tensors(batch: Batch) -> list[torch.Tensor]:
    return [t for r in responses_by_role(batch).values() for t in (r.logp, r.length, r.reference) if t is not None]


def map_roles(batch: Batch, change: Callable[[str, Responses], Responses]) -> Batch:
    return _from_roles({name: change(name, responses) for name, responses in responses_by_role(batch).items()})


def map_tensors(batch: Batch, change: Callable[[torch.Tensor], torch.Tensor]) -> Batch:
    def change_role(_: str, r: Responses) -> Responses:
        return Responses(change(r.logp), change(r.length), None if r.reference is None else change(r.reference))

    return map_roles(batch, change_role)


def select_rows(batch: Batch, rows: Sequence[int]) -> Batch:
    """The batch with these rows, in this order; gradients flow to the original batch."""
    indices = list(rows)
    return map_tensors(batch, lambda t: t[indices])


def roll_samples(batch: Batch) -> Batch:
    """The batch with the responses of each prompt and role rotated by one."""
    return map_tensors(batch, lambda t: t.roll(1, dims=1))


def scale_role(batch: Batch, role: str, logp: float = 1.0, length: float = 1.0) -> Batch:
    """A copy with one role's log-probabilities and references multiplied by `logp`, its lengths by `length`."""

    def scale(r: Responses) -> Responses:
        return Responses(r.logp * logp, r.length * length, None if r.reference is None else r.reference * logp)

    return _change_role(batch, role, scale)


def shift_role(batch: Batch, role: str, sample: int | None = None, logp: Shift = 0.0, reference: Shift = 0.0) -> Batch:
    """A copy with one role's tensors shifted, in one column or in all. logp, reference: nats, a number or one per row, (B, 1)."""

    def shift(r: Responses) -> Responses:
        mask = torch.zeros_like(r.logp)
        mask[:, slice(None) if sample is None else slice(sample, sample + 1)] = 1.0
        return Responses(r.logp + mask * logp, r.length, None if r.reference is None else r.reference + mask * reference)

    return _change_role(batch, role, shift)


def _change_role(batch: Batch, role: str, change: Callable[[Responses], Responses]) -> Batch:
    """A copy with one role changed; the log-probabilities of all are fresh leaves."""

    def copy(name: str, r: Responses) -> Responses:
        r = replace(r, logp=r.logp.detach())
        r = change(r) if name == role else r
        return replace(r, logp=r.logp.clone().requires_grad_())

    return map_roles(batch, copy)


def weighted_loss(objective: Objective, batch: Batch) -> torch.Tensor:
    """Sum over the batch of weight times loss, which the training core differentiates."""
    loss, weight = _loss_and_weight(objective, batch)
    return (weight * loss).sum()


def _loss_and_weight(objective: Objective, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
    output = objective.loss(batch)
    return output.loss, torch.ones_like(output.loss) if output.weight is None else output.weight


def training_effect(objective: Objective, batch: Batch) -> list[torch.Tensor]:
    """Everything that training uses of a batch: losses, weights, and the gradient of each role, zeros where there is none."""
    loss, weight = _loss_and_weight(objective, batch)
    return [loss.detach(), weight.detach(), *gradients((weight * loss).sum(), logp_leaves(batch).values())]


def gradients(value: torch.Tensor, leaves: Iterable[torch.Tensor]) -> list[torch.Tensor]:
    """The gradient of a scalar in each leaf, zeros where there is none."""
    if not value.requires_grad:
        return [torch.zeros_like(leaf) for leaf in leaves]
    return list(torch.autograd.grad(value, list(leaves), allow_unused=True, materialize_grads=True))


def logp_grads(objective: Objective, batch: Batch) -> dict[str, torch.Tensor]:
    """Role -> (B, K), the gradient of the batch's summed loss in each log-probability; zeros where there is none."""
    return dict(zip(logp_leaves(batch), training_effect(objective, batch)[2:], strict=True))


def all_close(first: Sequence[torch.Tensor], second: Sequence[torch.Tensor], tolerance: float = 1e-11) -> bool:
    """Whether two lists of tensors agree to rounding; NaN equals NaN."""
    return len(first) == len(second) and all(
        a.shape == b.shape and torch.allclose(a, b, rtol=tolerance, atol=tolerance * 1e-3, equal_nan=True)
        for a, b in zip(first, second, strict=True)
    )
