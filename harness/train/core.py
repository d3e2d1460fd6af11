"""The training core. Independent of an objective's name, the iteration number and paths.

For each optimizer batch: the main player's log-probabilities of every response, their stored references, the objective's
loss, gradients of sum(weight * loss), then one division by the batch's total weight, clipping and one step.
Summing and dividing once makes accumulation exact: the micro-batch changes speed and memory, never the gradient.

Legend: B prompts in a micro-batch, K responses per prompt in one role, N = B * (responses per prompt) responses.
"""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from harness.progress import Advance
from harness.records import Group, PromptGroup, Role, StepRecord
from harness.train.checkpointing import NO_CHECKPOINT, TrainerState, TrainingCheckpointer
from harness.train.nonfinite_step import TrainingStopped, nonfinite_step_error
from harness.train.oom import empty_cache
from harness.train.prefetch import prefetch
from harness.train.schedule import learning_rate, make_optimizer, optimizer_batches
from harness.world import Policy
from objectives import Batch, LossOutput, Objective, Responses

if TYPE_CHECKING:
    from harness.config import TrainingConfig

ROLE_ORDER: tuple[Role, ...] = ("real", "synthetic", "proto")
# Largest |log_ratio| per response token allowed before the first update, by precision of the base: what batches of
# different shape may differ by, far below what a wrong adapter, template or active dropout would cause.
STEP0_TOLERANCE = {"float64": 1e-9, "float32": 1e-4, "bfloat16": 5e-2, "float16": 1e-2}
# Responses per prompt from which "auto" takes a second forward pass, so that memory does not grow with their number.
GRAD_CACHE_MIN_RESPONSES = 5


@dataclass(frozen=True)
class MicroBatch:
    """The prompts whose losses are computed together. With `grad_cache`, each of the `chunks` of their responses runs twice."""

    groups: list[Group]
    chunks: list[Any]
    grad_cache: bool


@dataclass(frozen=True)
class MicroBatchStats:
    """One micro-batch's contribution to the step record: detached sums."""

    loss: float
    weight: float
    logp: dict[Role, tuple[float, int]]  # role -> (sum, number of responses)
    log_ratio: dict[Role, tuple[float, int]]
    metrics: dict[str, tuple[float, int]]
    step0: float | None  # largest |log_ratio| per token

    def totals(self) -> list[float]:
        """The sums of log-probabilities and log-ratios: not finite where one of them is not."""
        return [total for sums in (self.logp, self.log_ratio) for total, _ in sums.values()]


def train(
    policy: Policy,
    groups: Sequence[Group],
    objective: Objective,
    settings: TrainingConfig,
    shuffle_key: tuple[object, ...],
    advance: Advance,
    on_step: Callable[[StepRecord], None],
    checkpointer: TrainingCheckpointer = NO_CHECKPOINT,
) -> dict[str, float | int | None]:
    """Train the adapter in `policy`'s slot in place; returns counts for the manifest.

    groups: the training set, with stored references where the objective needs them. settings: one iteration's, schedules
    resolved. shuffle_key: seed of the order of examples, together with the epoch. on_step: called with each StepRecord.
    checkpointer: saves the state of training, and restores that of an earlier attempt.
    Raises TrainingStopped before an update on a non-finite loss, gradient or log-probability, or when the step-0 invariant
    fails; and after one that left weights that are not finite.
    """
    parameters = [p for _, p in policy.adapter_parameters()]
    optimizer = make_optimizer(parameters, settings)
    epochs, batch_size = int(settings.epochs), settings.batch_size  # type: ignore[arg-type]
    steps = epochs * math.ceil(len(groups) / batch_size)
    batcher = MicroBatcher(policy, objective, settings)
    state = checkpointer.restore(parameters, optimizer) or TrainerState(0, 0, None, batcher.micro_batch)
    step0, tokens, batcher.micro_batch = state.step0, state.tokens, state.micro_batch
    if policy.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(policy.device)
    batches = itertools.islice(optimizer_batches(groups, epochs, batch_size, shuffle_key), state.step, None)
    advance(
        sum(len(batch) for _, batch in itertools.islice(optimizer_batches(groups, epochs, batch_size, shuffle_key), state.step))
    )
    prefetched = prefetch((epoch, batch, batcher.split(batch)) for epoch, batch in batches)
    for step, (epoch, batch, micro_batches) in enumerate(prefetched, start=state.step):
        began = time.perf_counter()
        lr = learning_rate(settings, step, steps)
        for param_group in optimizer.param_groups:
            param_group["lr"] = lr
        with policy.gradient_checkpointing(settings.gradient_checkpointing):
            stats = batcher.accumulate(batch, micro_batches)
        weight = sum(p.weight for p in stats)
        loss = sum(p.loss for p in stats) / weight if weight else math.nan
        for parameter in parameters:
            if parameter.grad is not None:
                parameter.grad /= weight
        grad_norm = float(torch.nn.utils.clip_grad_norm_(parameters, settings.max_grad_norm))
        if not all(map(math.isfinite, (loss, grad_norm, *(total for p in stats for total in p.totals())))):
            raise nonfinite_step_error(
                policy, batch, batcher.single_example_loss, step=step, epoch=epoch, loss=loss, gradient_norm=grad_norm
            )
        if step == 0:
            step0 = check_reference_matches(stats, policy.precision)
        optimizer.step()
        if not math.isfinite(weight_norm := float(torch.nn.utils.get_total_norm(parameters))):
            raise TrainingStopped(f"step {step}: weights of norm {weight_norm} after the update; lower training.lr (here {lr:g})")
        optimizer.zero_grad(set_to_none=True)
        batch_tokens = sum(len(g.prompt) + len(r.content) for g in batch for _, r in g.responses())
        tokens += batch_tokens
        on_step(
            StepRecord(
                step=step,
                epoch=epoch,
                loss=loss,
                grad_norm=grad_norm,
                lr=lr,
                logp=_means([p.logp for p in stats]),
                log_ratio=_means([p.log_ratio for p in stats]),
                metrics={k: v for k, v in _means([p.metrics for p in stats]).items() if math.isfinite(v)},
                tokens=batch_tokens,
                seconds=round(time.perf_counter() - began, 4),
                example_ids=[group.example_id for group in batch],
                example_iterations=[group.iteration for group in batch],
            )
        )
        if checkpointer.should_save() and step + 1 < steps:
            checkpointer.save(TrainerState(step + 1, tokens, step0, batcher.micro_batch), parameters, optimizer)
        advance(len(batch))
    peak_memory = torch.cuda.max_memory_allocated(policy.device) if policy.device.type == "cuda" else None
    return {
        "steps": steps,
        "groups": len(groups),
        "tokens": tokens,
        "step0_max_abs_log_ratio_per_token": step0,
        "peak_device_memory_bytes": peak_memory,
        "micro_batch": batcher.micro_batch,
    }


class MicroBatcher:
    """Micro-batches of prompts; their size is the setting's, halved at every out-of-memory error, never raised.

    Gradients are sums over the optimizer batch whatever the micro-batches, so halving changes them by rounding only.
    """

    def __init__(self, policy: Policy, objective: Objective, settings: TrainingConfig) -> None:
        self.policy, self.objective, self.settings = policy, objective, settings
        self.micro_batch = settings.micro_batch

    def split(self, batch: Sequence[Group]) -> list[MicroBatch]:
        return make_micro_batches(self.policy, batch, self.objective, self.settings, self.micro_batch)

    def single_example_loss(self, group: Group) -> tuple[float, float] | None:
        """Weighted loss and weight of one example by itself, its gradient left on the adapter; None where rows are coupled."""
        if self.objective.needs.couples_batch:
            return None
        (stats,) = accumulate(
            self.policy, make_micro_batches(self.policy, [group], self.objective, self.settings, 1), self.objective
        )
        return stats.loss, stats.weight

    def accumulate(self, batch: Sequence[Group], micro_batches: list[MicroBatch]) -> list[MicroBatchStats]:
        """`accumulate` over one optimizer batch. Raises TrainingStopped when not even one prompt at a time fits."""
        if self.micro_batch < self.settings.micro_batch:
            micro_batches = self.split(batch)  # these were prefetched, perhaps before memory ran out
        while True:
            try:
                return accumulate(self.policy, micro_batches, self.objective)
            except torch.OutOfMemoryError as error:
                if self.micro_batch == 1 or self.objective.needs.couples_batch:
                    raise TrainingStopped(
                        f"the device's memory is too small for {self.micro_batch} prompt(s) at a time "
                        f"({str(error).splitlines()[0]}); "
                        "use a smaller model, shorter responses (--set data.max_response_tokens=N) or a larger device"
                    ) from None
            self.micro_batch = max(1, self.micro_batch // 2)
            for _, parameter in self.policy.adapter_parameters():
                parameter.grad = None
            empty_cache()
            micro_batches = self.split(batch)


def make_micro_batches(
    policy: Policy, batch: Sequence[Group], objective: Objective, settings: TrainingConfig, micro_batch: int | None = None
) -> list[MicroBatch]:
    """One optimizer batch as micro-batches of prompts; with gradient caching, their responses in chunks."""
    couples_batch = objective.needs.couples_batch
    per_prompt = len(batch[0].responses())
    grad_cache = (
        couples_batch or (settings.two_pass is True) or (settings.two_pass == "auto" and per_prompt >= GRAD_CACHE_MIN_RESPONSES)
    )
    micro_batch = micro_batch or settings.micro_batch
    size = len(batch) if couples_batch else micro_batch
    micro_batches = []
    count = -(-len(batch) // size)
    for index in range(count):
        groups = list(batch[index::count])  # each has prompts of every length, so that all take the same time
        prefixed = [PromptGroup(g.prompt, [r.content for _, r in g.responses()]) for g in groups]
        chunks = split_into_chunks(prefixed, micro_batch) if grad_cache else [prefixed]
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


def accumulate(policy: Policy, micro_batches: Sequence[MicroBatch], objective: Objective) -> list[MicroBatchStats]:
    """Add the gradient of sum(weight * loss) over one optimizer batch to the adapter: computed in parallel, added in order.

    With gradient caching (GradCache, arXiv:2101.06983) the loss is first differentiated with respect to the log-probabilities,
    then each chunk of responses is run again and backpropagated alone: the same gradient, with memory independent of the number
    of responses per prompt, and exact over the whole optimizer batch for a loss that couples its rows.
    """
    parameters = [p for _, p in policy.adapter_parameters()]

    def compute_grads(total: torch.Tensor) -> Sequence[torch.Tensor]:
        """Zero for a layer that these tokens did not go through, such as an expert that was not chosen."""
        return torch.autograd.grad(total, parameters, allow_unused=True, materialize_grads=True)

    def full_pass(micro_batch: MicroBatch) -> tuple[MicroBatchStats, Sequence[torch.Tensor]]:
        total, stats = weighted_loss(micro_batch.groups, policy.response_logps(micro_batch.chunks[0]), objective)
        return stats, compute_grads(total)

    def chunk_pass(chunk: tuple[Any, torch.Tensor]) -> Sequence[torch.Tensor]:
        packed, logp_grads = chunk
        return compute_grads((policy.response_logps(packed) * logp_grads).sum())

    def add_to_grads(gradients: Iterable[Sequence[torch.Tensor]]) -> None:
        for gradient in gradients:
            for parameter, value in zip(parameters, gradient, strict=True):
                parameter.grad = value if parameter.grad is None else parameter.grad.add_(value)

    if not micro_batches[0].grad_cache:
        results = policy.pool.map(full_pass, micro_batches)
        add_to_grads(gradients for _, gradients in results)
        return [batch_stats for batch_stats, _ in results]
    stats = []
    for micro_batch in micro_batches:
        with torch.no_grad():
            logps = torch.cat(policy.pool.map(policy.response_logps, micro_batch.chunks))
        logps.requires_grad_()
        total, batch_stats = weighted_loss(micro_batch.groups, logps, objective)
        (logp_grads,) = torch.autograd.grad(total, logps)
        split_grads = logp_grads.split([c.count for c in micro_batch.chunks])
        add_to_grads(policy.pool.map(chunk_pass, zip(micro_batch.chunks, split_grads, strict=True)))
        stats.append(batch_stats)
    return stats


def weighted_loss(groups: Sequence[Group], logps: torch.Tensor, objective: Objective) -> tuple[torch.Tensor, MicroBatchStats]:
    """(N,) log-probabilities, rows in the order of `Group.responses` -> sum(weight * loss) and its statistics."""
    by_role = responses_by_role(groups, logps, objective.needs.reference)
    batch = Batch(by_role["real"], by_role.get("synthetic"), by_role.get("proto"))
    output: LossOutput = objective.loss(batch)
    weight = torch.ones_like(output.loss) if output.weight is None else output.weight
    if output.loss.shape != (len(groups),) or weight.shape != (len(groups),):
        raise TrainingStopped(f"the objective returned a loss of shape {tuple(output.loss.shape)}, not ({len(groups)},)")
    total = (weight * output.loss).sum()
    with torch.no_grad():
        ratios: dict[Role, torch.Tensor] = {role: r.log_ratio for role, r in by_role.items() if r.reference is not None}
        max_ratios = [float((ratio / by_role[role].length).abs().max()) for role, ratio in ratios.items()]
        stats = MicroBatchStats(
            loss=float(total),
            weight=float(weight.sum()),
            logp={role: (float(r.logp.sum()), r.logp.numel()) for role, r in by_role.items()},
            log_ratio={role: (float(ratio.sum()), ratio.numel()) for role, ratio in ratios.items()},
            metrics={name: (float(m.sum()), m.numel()) for name, m in output.metrics.items()},
            step0=max(max_ratios) if max_ratios else None,
        )
    return total, stats


def responses_by_role(groups: Sequence[Group], logps: torch.Tensor, reference: bool) -> dict[Role, Responses]:
    """(N,) values -> role -> Responses of (B, K) tensors; roles without responses are absent."""
    table = logps.view(len(groups), -1)  # (B, responses per prompt)
    by_role: dict[Role, Responses] = {}
    start = 0
    for role in ROLE_ORDER:
        rows = [[r for name, r in group.responses() if name == role] for group in groups]
        width = len(rows[0])
        if width == 0:
            continue
        tensor_options = {"dtype": logps.dtype, "device": logps.device}
        by_role[role] = Responses(
            logp=table[:, start : start + width],
            length=torch.tensor([[len(r.content) for r in row] for row in rows], **tensor_options),
            reference=torch.tensor([[r.reference_logp for r in row] for row in rows], **tensor_options) if reference else None,
        )
        start += width
    return by_role


def check_reference_matches(stats: Sequence[MicroBatchStats], precision: str) -> float | None:
    """Largest |log_ratio| per token of the first batch, before any update. Raises TrainingStopped above tolerance.

    The main player starts as the opponent, so it must be about 0: this catches a wrong adapter, active dropout, and any
    difference in template or padding between scoring and training.
    """
    max_ratios = [p.step0 for p in stats if p.step0 is not None]
    if not max_ratios:
        return None
    max_ratio, limit = max(max_ratios), STEP0_TOLERANCE[precision]
    if not max_ratio <= limit:
        raise TrainingStopped(
            f"before the first update a log-ratio per token is {max_ratio:.3g}, expected at most {limit} in {precision}: "
            "the policy in training is not the opponent that was scored"
        )
    return max_ratio


def _means(sums_by_batch: Sequence[dict]) -> dict[str, float]:
    """Means of (sum, count) entries added up over micro-batches."""
    totals: dict[str, list[float]] = {}
    for sums in sums_by_batch:
        for name, (value, count) in sums.items():
            running = totals.setdefault(name, [0.0, 0.0])
            running[0] += value
            running[1] += count
    return {name: value / count for name, (value, count) in totals.items()}
