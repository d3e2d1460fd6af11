"""From log-probabilities to an objective's weighted loss and the statistics of its step.

Legend: B prompts in a micro-batch, K responses per prompt in one role, N = B * (responses per prompt) responses.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch

from harness.records import Group, Role
from harness.train.nonfinite import TrainingStopped
from objectives import Batch, LossOutput, Objective, Responses

ROLE_ORDER: tuple[Role, ...] = ("real", "synthetic", "proto")
Sums = Mapping[str, tuple[float, int]]  # name -> (sum, number of values)


@dataclass(frozen=True)
class MicroBatchStats:
    """One micro-batch's contribution to the step record: detached sums. step0: the largest |log_ratio| per token;
    step0_per_root: the largest per root of the number of tokens."""

    loss: float
    weight: float
    logp: Sums
    log_ratio: Sums
    metrics: Sums
    step0: float | None
    step0_per_root: float | None


def weighted_loss(groups: Sequence[Group], logps: torch.Tensor, objective: Objective) -> tuple[torch.Tensor, MicroBatchStats]:
    """(N,) log-probabilities, rows in the order of `Group.responses` -> sum(weight * loss) and its statistics."""
    by_role = responses_by_role(groups, logps, objective.needs.reference)
    output: LossOutput = objective.loss(Batch(by_role["real"], by_role.get("synthetic"), by_role.get("proto")))
    weight = torch.ones_like(output.loss) if output.weight is None else output.weight
    if output.loss.shape != (len(groups),) or weight.shape != (len(groups),):
        raise TrainingStopped(f"the objective returned a loss of shape {tuple(output.loss.shape)}, not ({len(groups)},)")
    total = (weight * output.loss).sum()
    with torch.no_grad():
        ratios = {role: r.log_ratio for role, r in by_role.items() if r.reference is not None}
        compared = [(r.log_ratio.abs(), r.length) for r in by_role.values() if r.reference is not None]
        stats = MicroBatchStats(
            loss=float(total),
            weight=float(weight.sum()),
            logp=_sums({role: r.logp for role, r in by_role.items()}),
            log_ratio=_sums(ratios),
            metrics=_sums(output.metrics),
            step0=max((float((ratio / length).max()) for ratio, length in compared), default=None),
            step0_per_root=max((float((ratio / length.sqrt()).max()) for ratio, length in compared), default=None),
        )
    return total, stats


def responses_by_role(groups: Sequence[Group], logps: torch.Tensor, reference: bool) -> dict[Role, Responses]:
    """(N,) values -> role -> Responses of (B, K) tensors; roles without responses are absent."""
    table = logps.view(len(groups), -1)  # (B, responses per prompt)
    by_role: dict[Role, Responses] = {}
    start = 0
    for role in ROLE_ORDER:
        rows = [[r for name, r in group.responses() if name == role] for group in groups]
        if not (width := len(rows[0])):
            continue
        by_role[role] = Responses(
            logp=table[:, start : start + width],
            length=table.new_tensor([[len(r.content) for r in row] for row in rows]),
            reference=table.new_tensor([[r.reference_logp for r in row] for row in rows]) if reference else None,
        )
        start += width
    return by_role


def _sums(values: Mapping[str, torch.Tensor]) -> Sums:
    return {name: (float(value.sum()), value.numel()) for name, value in values.items()}


def mean_of_sums(sums_by_batch: Sequence[Sums]) -> dict[str, float]:
    """Name -> mean over all micro-batches."""
    totals: dict[str, tuple[float, int]] = {}
    for sums in sums_by_batch:
        for name, (value, count) in sums.items():
            total, total_count = totals.get(name, (0.0, 0))
            totals[name] = total + value, total_count + count
    return {name: value / count for name, (value, count) in totals.items()}
