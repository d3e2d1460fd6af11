"""Which examples of an optimizer step made its numbers bad: each of them computed alone, before the step is given up."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch

from harness.records import Group, PromptGroup
from harness.train.nonfinite import BadNumbers, Spoken, Suspect, names_of
from harness.world import Policy

Alone = Callable[[Group], tuple[float, float] | None]


class TrainingStopped(BadNumbers):
    """Training ended before an update that would have been wrong; the message says why and names the examples."""


def stopped(policy: Policy, batch: Sequence[Group], alone: Alone, **facts: float) -> TrainingStopped:
    """Why a step was given up, with the examples whose own log-probability, loss, weight or gradient is not finite.

    Where none is bad by itself (a sum that overflowed, a loss that couples its rows), all of them. alone: an example's weighted
    loss and its weight, its gradient left on the adapter; None where it has none of its own. facts: numbers of the whole step,
    `step`, `loss` and `gradient_norm` among them.
    """
    every = [_suspect(policy, number, group, alone) for number, group in enumerate(batch)]
    found = [one for one in every if one.bad] or every
    which = f"examples {names_of(found)}" + (f" of {len(batch)}" if found[0].bad else ", none of them bad alone")
    said = f"step {facts['step']}: loss {facts['loss']}, gradient norm {facts['gradient_norm']}; nothing was updated; {which}"
    return TrainingStopped(said, found, **facts)


def _suspect(policy: Policy, number: int, group: Group, alone: Alone) -> Suspect:
    said = group.responses()
    with torch.no_grad():
        logps = policy.response_logps(policy.collate([PromptGroup(group.prompt, [r.content for _, r in said])])).tolist()
    parameters = [p for _, p in policy.adapter_parameters()]
    for parameter in parameters:
        parameter.grad = None
    numbers: dict[str, float] = {}
    if (own := alone(group)) is not None:
        norm = math.sqrt(sum(float(p.grad.double().pow(2).sum()) for p in parameters if p.grad is not None))
        numbers = {"loss": own[0], "weight": own[1], "gradient_norm": norm}
    spoken = [Spoken(role, r.content, logp, r.reference_logp) for (role, r), logp in zip(said, logps, strict=True)]
    return Suspect(number, group.prompt, spoken, numbers, group.example_id)
