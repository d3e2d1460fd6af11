"""The optimizer steps of an iteration: the order of examples, the learning rate of every step, the optimizer."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from harness.records import Group, keyed_seed

if TYPE_CHECKING:
    from harness.config import TrainingConfig


@dataclass(frozen=True)
class Step:
    """One optimizer step: its number in the iteration, its epoch, its learning rate and the groups of its batch."""

    number: int
    epoch: int
    lr: float
    groups: list[Group]


def plan_steps(groups: Sequence[Group], settings: TrainingConfig, shuffle_key: tuple[object, ...]) -> list[Step]:
    """All steps of one iteration. settings: its own, schedules resolved."""
    batches = list(optimizer_batches(groups, int(settings.epochs), settings.batch_size, shuffle_key))  # type: ignore[arg-type]
    return [Step(n, epoch, learning_rate(settings, n, len(batches)), batch) for n, (epoch, batch) in enumerate(batches)]


def optimizer_batches(
    groups: Sequence[Group], epochs: int, batch_size: int, shuffle_key: tuple[object, ...]
) -> Iterator[tuple[int, list[Group]]]:
    """(epoch, groups of one optimizer step): a fresh keyed permutation per epoch, then sorted by length within the batch.

    The last batch of an epoch may be smaller; its gradient is divided by its own weight.
    """
    for epoch in range(epochs):
        order = list(range(len(groups)))
        random.Random(keyed_seed(*shuffle_key, "order", epoch)).shuffle(order)
        for start in range(0, len(order), batch_size):
            batch = [groups[i] for i in order[start : start + batch_size]]
            yield epoch, sorted(batch, key=_group_length)


def _group_length(group: Group) -> int:
    return len(group.prompt) + max(len(response.content) for _, response in group.responses())


def optimizer_options(settings: TrainingConfig) -> dict[str, Any]:
    """Everything that the update depends on beside the rate: set here, not left to a library's defaults.

    RMSProp (Tieleman and Hinton, 2012) with torch's values, which the papers' code uses; AdamW (arXiv:1711.05101) likewise.
    """
    options = {
        "rmsprop": {"alpha": 0.99, "eps": 1e-8, "momentum": 0.0, "centered": False},
        "adamw": {"betas": [0.9, 0.999], "eps": 1e-8, "amsgrad": False},
    }
    return {**options[settings.optimizer], "weight_decay": settings.weight_decay}


def make_optimizer(parameters: list[torch.nn.Parameter], settings: TrainingConfig) -> torch.optim.Optimizer:
    """RMSProp as in the papers, or AdamW; new for every iteration."""
    classes = {"rmsprop": torch.optim.RMSprop, "adamw": torch.optim.AdamW}
    return classes[settings.optimizer](parameters, lr=0.0, **optimizer_options(settings))


def learning_rate(settings: TrainingConfig, step: int, total_steps: int) -> float:
    """Rate of one step: linear warm-up over the first `warmup` share of steps, then linear decay to 0 or constant."""
    peak = float(settings.lr)  # type: ignore[arg-type]
    warmup_steps = math.ceil(settings.warmup * total_steps)
    if step < warmup_steps:
        return peak * (step + 1) / warmup_steps
    if settings.schedule == "constant":
        return peak
    return peak * (total_steps - step) / max(1, total_steps - warmup_steps)
