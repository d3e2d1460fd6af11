"""The training core: a loop over optimizer steps. Independent of an objective's name, the iteration number and paths.

For each optimizer batch: the main player's log-probabilities of every response, their stored references, the objective's
loss, gradients of sum(weight * loss), then one division by the batch's total weight, clipping and one update.
Summing and dividing once makes accumulation exact: the micro-batch changes speed and memory, never the gradient.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from harness.progress import Advance
from harness.records import Group, PromptGroup, StepRecord
from harness.train.checkpointing import NO_CHECKPOINT, TrainerState, TrainingCheckpointer
from harness.train.loss import MicroBatchStats, mean_of_sums
from harness.train.micro_batches import MicroBatcher
from harness.train.nonfinite import BadExample, ResponseValues, TrainingStopped
from harness.train.numerics import BEFORE_FIRST_UPDATE
from harness.train.schedule import Step, make_optimizer, plan_steps
from harness.world import Policy
from objectives import Objective

if TYPE_CHECKING:
    from harness.config import TrainingConfig


@dataclass(frozen=True)
class StepResult:
    """Loss over the whole batch, gradient norm before clipping, and what the micro-batches add to the record."""

    loss: float
    grad_norm: float
    stats: list[MicroBatchStats]


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
    checkpointer: saves the state of training, and restores that of an earlier attempt. Raises TrainingStopped as `train_step`.
    """
    batcher = MicroBatcher(policy, objective, settings)
    optimizer = make_optimizer(batcher.parameters, settings)
    steps = plan_steps(groups, settings, shuffle_key)
    state = checkpointer.restore(batcher.parameters, optimizer) or TrainerState(0, 0, None, batcher.size)
    tokens, step0, batcher.size = state.tokens, state.step0, state.micro_batch
    if policy.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(policy.device)
    advance(sum(len(step.groups) for step in steps[: state.step]))
    with policy.training_arithmetic():
        for step in steps[state.step :]:
            began = time.perf_counter()
            result = train_step(batcher, optimizer, step)
            if step.number == 0:
                step0 = max((s.step0 for s in result.stats if s.step0 is not None), default=None)
            record = step_record(step, result, time.perf_counter() - began)
            tokens += record.tokens
            on_step(record)
            if checkpointer.should_save() and step is not steps[-1]:
                checkpointer.save(TrainerState(step.number + 1, tokens, step0, batcher.size), batcher.parameters, optimizer)
            advance(len(step.groups))
    return {
        "steps": len(steps),
        "groups": len(groups),
        "tokens": tokens,
        "step0_max_abs_log_ratio_per_token": step0,
        "peak_device_memory_bytes": torch.cuda.max_memory_allocated(policy.device) if policy.device.type == "cuda" else None,
        "micro_batch": batcher.size,
    }


def train_step(batcher: MicroBatcher, optimizer: torch.optim.Optimizer, step: Step) -> StepResult:
    """One optimizer step.

    Raises TrainingStopped before the update on a non-finite loss, gradient or log-probability, or when the step-0 invariant
    fails; and after one that left weights that are not finite.
    """
    parameters = batcher.parameters
    stats = batcher.accumulate(step.groups)
    weight = sum(s.weight for s in stats)
    loss = sum(s.loss for s in stats) / weight if weight else math.nan
    for parameter in parameters:
        if parameter.grad is not None:
            parameter.grad /= weight
    grad_norm = float(torch.nn.utils.clip_grad_norm_(parameters, batcher.settings.max_grad_norm))
    totals = (total for s in stats for sums in (s.logp, s.log_ratio) for total, _ in sums.values())
    if not all(map(math.isfinite, (loss, grad_norm, *totals))):
        raise nonfinite_step_error(batcher, step, loss, grad_norm)
    if step.number == 0:
        check_reference_matches(stats, batcher.policy.training_precision)
    for param_group in optimizer.param_groups:
        param_group["lr"] = step.lr
    optimizer.step()
    if not math.isfinite(weight_norm := float(torch.nn.utils.get_total_norm(parameters))):
        raise TrainingStopped(
            f"step {step.number}: weights of norm {weight_norm} after the update; lower training.lr (here {step.lr:g})"
        )
    optimizer.zero_grad(set_to_none=True)
    return StepResult(loss, grad_norm, stats)


def step_record(step: Step, result: StepResult, seconds: float) -> StepRecord:
    metrics = mean_of_sums([s.metrics for s in result.stats])
    return StepRecord(
        step=step.number,
        epoch=step.epoch,
        loss=result.loss,
        grad_norm=result.grad_norm,
        lr=step.lr,
        logp=mean_of_sums([s.logp for s in result.stats]),
        log_ratio=mean_of_sums([s.log_ratio for s in result.stats]),
        metrics={name: value for name, value in metrics.items() if math.isfinite(value)},
        tokens=sum(len(g.prompt) + len(r.content) for g in step.groups for _, r in g.responses()),
        seconds=round(seconds, 4),
        example_ids=[group.example_id for group in step.groups],
        example_iterations=[group.iteration for group in step.groups],
    )


def check_reference_matches(stats: Sequence[MicroBatchStats], precision: str) -> None:
    """Raises TrainingStopped where a |log_ratio| of the first batch, before any update, is above tolerance.

    The main player starts as the opponent, so it must be about 0: this catches a wrong adapter, active dropout, and any
    difference in template or padding between scoring and training.
    """
    limit = BEFORE_FIRST_UPDATE[precision]
    for max_ratio in (s.step0_per_root for s in stats if s.step0_per_root is not None):
        if not max_ratio <= limit:
            raise TrainingStopped(
                f"before the first update a log-ratio is {max_ratio:.3g} times the root of its number of tokens, expected at "
                f"most {limit} in {precision}: the policy in training is not the opponent that was scored"
            )


def nonfinite_step_error(batcher: MicroBatcher, step: Step, loss: float, grad_norm: float) -> TrainingStopped:
    """The error of an abandoned step, with the examples whose log-probability, loss, weight or gradient is not finite alone.

    Where none is bad by itself (a sum that overflowed, a loss that couples its rows), it has all of them.
    """
    examples = []
    for group in step.groups:
        responses = group.responses()
        packed = batcher.policy.collate([PromptGroup(group.prompt, [r.content for _, r in responses])])
        with torch.no_grad():
            logps = batcher.policy.response_logps(packed).tolist()
        values = {}
        if (alone := batcher.accumulate_alone(group)) is not None:
            norm = math.sqrt(sum(float(p.grad.double().pow(2).sum()) for p in batcher.parameters if p.grad is not None))
            values = {"loss": alone.loss, "weight": alone.weight, "gradient_norm": norm}
        response_values = [
            ResponseValues(role, r.content, x, r.reference_logp) for (role, r), x in zip(responses, logps, strict=True)
        ]
        examples.append(BadExample(group.example_id, group.prompt, response_values, values))
    num_bad = sum(example.is_bad for example in examples)
    whose = f"{num_bad} of {len(examples)} examples" if num_bad else "no example non-finite by itself, in the batch"
    return TrainingStopped(
        f"step {step.number}: loss {loss}, gradient norm {grad_norm}; nothing was updated; {whose}",
        examples,
        step=step.number,
        epoch=step.epoch,
        loss=loss,
        gradient_norm=grad_norm,
    )
