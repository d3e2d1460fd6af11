"""Gradients of one optimizer batch: each micro-batch in one pass, or with gradient caching.

Gradient caching (GradCache, Gao et al. 2021, arXiv:2101.06983): the loss is first differentiated with respect to the
log-probabilities, computed without a graph; then each chunk of responses runs again, alone, and is backpropagated with that
gradient. The result is the same gradient, in memory that does not grow with the number of responses per prompt, and exact over
the whole optimizer batch for a loss that couples its rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from harness.records import Group
from harness.train.loss import MicroBatchStats, weighted_loss
from harness.world import Policy
from objectives import Objective

Gradients = Sequence[torch.Tensor]  # one per parameter of the adapter


@dataclass(frozen=True)
class MicroBatch:
    """The prompts whose losses are computed together. With `grad_cache`, each of the `chunks` of their responses runs twice."""

    groups: list[Group]
    chunks: list[Any]
    grad_cache: bool


def accumulate(policy: Policy, micro_batches: Sequence[MicroBatch], objective: Objective) -> list[MicroBatchStats]:
    """Add the gradient of sum(weight * loss) over one optimizer batch to the adapter: computed in parallel, added in order."""
    parameters = [p for _, p in policy.adapter_parameters()]

    def gradients_of(total: torch.Tensor) -> Gradients:
        """Zero for a layer that these tokens did not go through, such as an expert that was not chosen."""
        return torch.autograd.grad(total, parameters, allow_unused=True, materialize_grads=True)

    def add_to_grads(all_gradients: Iterable[Gradients]) -> None:
        for gradients in all_gradients:
            for parameter, value in zip(parameters, gradients, strict=True):
                parameter.grad = value if parameter.grad is None else parameter.grad.add_(value)

    def one_pass(micro_batch: MicroBatch) -> tuple[MicroBatchStats, Gradients]:
        total, stats = weighted_loss(micro_batch.groups, policy.response_logps(micro_batch.chunks[0]), objective)
        return stats, gradients_of(total)

    def second_pass(chunk_and_grads: tuple[Any, torch.Tensor]) -> Gradients:
        chunk, logp_grads = chunk_and_grads
        return gradients_of((policy.response_logps(chunk) * logp_grads).sum())

    def grad_cached(micro_batch: MicroBatch) -> MicroBatchStats:
        with torch.no_grad():
            logps = torch.cat(policy.pool.map(policy.response_logps, micro_batch.chunks))
        logps.requires_grad_()
        total, stats = weighted_loss(micro_batch.groups, logps, objective)
        (logp_grads,) = torch.autograd.grad(total, logps)
        split_grads = logp_grads.split([chunk.count for chunk in micro_batch.chunks])
        add_to_grads(policy.pool.map(second_pass, zip(micro_batch.chunks, split_grads, strict=True)))
        return stats

    if micro_batches[0].grad_cache:
        return [grad_cached(micro_batch) for micro_batch in micro_batches]
    results = policy.pool.map(one_pass, micro_batches)
    add_to_grads(gradients for _, gradients in results)
    return [stats for stats, _ in results]
