"""One optimizer batch in micro-batches of prompts: their size changes speed and memory, the gradient by rounding only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch

from harness.errors import error_line
from harness.records import Group, PromptGroup
from harness.train.grad_cache import MicroBatch, accumulate
from harness.train.loss import MicroBatchStats
from harness.train.nonfinite import TrainingStopped
from harness.train.oom import empty_cache
from harness.world import Policy
from objectives import Objective

if TYPE_CHECKING:
    from harness.config import TrainingConfig

# Responses per prompt from which "auto" takes a second forward pass, so that memory does not grow with their number.
GRAD_CACHE_MIN_RESPONSES = 5


class MicroBatcher:
    """Gradients in micro-batches of `size` prompts: the setting's size, halved at every out-of-memory error, never raised."""

    def __init__(self, policy: Policy, objective: Objective, settings: TrainingConfig) -> None:
        self.policy, self.objective, self.settings, self.size = policy, objective, settings, settings.micro_batch
        self.parameters = [p for _, p in policy.adapter_parameters()]

    def accumulate(self, batch: Sequence[Group]) -> list[MicroBatchStats]:
        """`accumulate` over one optimizer batch. Raises TrainingStopped when not even one prompt at a time fits."""
        while True:
            try:
                return self._accumulate(batch, self.size)
            except torch.OutOfMemoryError as error:
                if self.size == 1 or self.objective.needs.couples_batch:
                    raise TrainingStopped(
                        f"the device's memory is too small for {self.size} prompt(s) at a time ({error_line(error)}); "
                        "use a smaller model, shorter responses (--set data.max_response_tokens=N) or a larger device"
                    ) from None
            self.size = max(1, self.size // 2)
            self.clear_grads()
            empty_cache()

    def accumulate_alone(self, group: Group) -> MicroBatchStats | None:
        """One example by itself, its gradient alone left on the adapter; None for a loss that couples its rows."""
        self.clear_grads()
        return None if self.objective.needs.couples_batch else self._accumulate([group], 1)[0]

    def clear_grads(self) -> None:
        for parameter in self.parameters:
            parameter.grad = None

    def _accumulate(self, batch: Sequence[Group], size: int) -> list[MicroBatchStats]:
        micro_batches = make_micro_batches(self.policy, batch, self.objective, self.settings, size)
        with self.policy.gradient_checkpointing(self.settings.gradient_checkpointing):
            return accumulate(self.policy, micro_batches, self.objective)


def make_micro_batches(
    policy: Policy, batch: Sequence[Group], objective: Objective, settings: TrainingConfig, size: int | None = None
) -> list[MicroBatch]:
    """One optimizer batch as micro-batches of prompts; with gradient caching, their responses in chunks of `size`."""
    size = size or settings.micro_batch
    couples_batch, two_pass = objective.needs.couples_batch, settings.two_pass
    if two_pass == "auto":
        two_pass = len(batch[0].responses()) >= GRAD_CACHE_MIN_RESPONSES
    grad_cache = couples_batch or two_pass
    count = 1 if couples_batch else -(-len(batch) // size)
    micro_batches = []
    for index in range(count):
        groups = list(batch[index::count])  # each has prompts of every length, so that all take the same time
        prompt_groups = [PromptGroup(g.prompt, [r.content for _, r in g.responses()]) for g in groups]
        chunks = split_into_chunks(prompt_groups, size) if grad_cache else [prompt_groups]
        micro_batches.append(MicroBatch(groups, [policy.collate(chunk) for chunk in chunks], grad_cache))
    return micro_batches


def split_into_chunks(groups: Sequence[PromptGroup], size: int) -> list[list[PromptGroup]]:
    """Lists of at most `size` responses, in order; a prompt is repeated in every list that has some of its responses."""
    chunks: list[list[PromptGroup]] = [[]]
    capacity = size
    for group in groups:
        remaining = list(group.responses)
        while remaining:
            if capacity == 0:
                chunks.append([])
                capacity = size
            chunks[-1].append(PromptGroup(group.prompt, remaining[:capacity]))
            remaining, capacity = remaining[capacity:], capacity - len(remaining[:capacity])
    return chunks
