"""THE training core. Never sees an objective's name, the iteration number or a path outside its folder.

For each optimizer batch: the main player's log-probabilities of every response, the stored reference beside them, the
objective's loss, gradients of sum(weight * loss), then one division by the batch's total weight, clipping and one step.
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
from harness.train.checkpointing import NOTHING_KEPT, Keeper, Reached
from harness.train.nonfinite_step import TrainingStopped, stopped
from harness.train.oom import release
from harness.train.prefetch import ahead
from harness.train.schedule import learning_rate, make_optimizer, optimizer_batches
from harness.world import Policy
from objectives import Batch, LossOutput, Objective, Responses

if TYPE_CHECKING:
    from harness.config import TrainingConfig

ROLES: tuple[Role, ...] = ("real", "synthetic", "proto")
# Largest |log_ratio| per response token allowed before the first update, by precision of the base: what batches of
# different shape may differ by, far below what a wrong adapter, template or active dropout would cause.
STEP0_TOLERANCE = {"float64": 1e-9, "float32": 1e-4, "bfloat16": 5e-2, "float16": 1e-2}
TWO_PASS_FROM = 5  # responses per prompt from which "auto" trades a second forward pass for memory flat in their number


@dataclass(frozen=True)
class Part:
    """The prompts whose losses are computed together. Several `chunks` of their responses mean two passes over each."""

    groups: list[Group]
    chunks: list[Any]
    two_pass: bool


@dataclass(frozen=True)
class Pass:
    """What one micro-batch contributed: detached sums that the step record is made of."""

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
    order_key: tuple[object, ...],
    advance: Advance,
    on_step: Callable[[StepRecord], None],
    keeper: Keeper = NOTHING_KEPT,
) -> dict[str, float | int | None]:
    """Train the adapter in `policy`'s slot in place; returns counts for the manifest.

    groups: the training set, with stored references where the objective needs them. settings: one iteration's, schedules
    resolved. order_key: what the order of examples is drawn from, together with the epoch. on_step: takes each StepRecord.
    keeper: keeps how far training has come, and knows how far an earlier attempt came.
    Raises TrainingStopped before an update on a non-finite loss, gradient or log-probability, or when the step-0 invariant
    fails; and after one that left weights that are not finite.
    """
    parameters = [p for _, p in policy.adapter_parameters()]
    optimizer = make_optimizer(parameters, settings)
    epochs, size = int(settings.epochs), settings.batch_size  # type: ignore[arg-type]
    steps = epochs * math.ceil(len(groups) / size)
    room = Room(policy, objective, settings)
    reached = keeper.take_up(parameters, optimizer) or Reached(0, 0, None, room.micro_batch)
    step0, tokens, room.micro_batch = reached.step0, reached.tokens, reached.micro_batch
    if policy.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(policy.device)
    batches = itertools.islice(optimizer_batches(groups, epochs, size, order_key), reached.step, None)
    advance(sum(len(batch) for _, batch in itertools.islice(optimizer_batches(groups, epochs, size, order_key), reached.step)))
    prepared = ahead((epoch, batch, room.lay_out(batch)) for epoch, batch in batches)
    for step, (epoch, batch, parts) in enumerate(prepared, start=reached.step):
        began = time.perf_counter()
        lr = learning_rate(settings, step, steps)
        for options in optimizer.param_groups:
            options["lr"] = lr
        with policy.gradient_checkpointing(settings.gradient_checkpointing):
            passes = room.accumulate(batch, parts)
        weight = sum(p.weight for p in passes)
        loss = sum(p.loss for p in passes) / weight if weight else math.nan
        for parameter in parameters:
            if parameter.grad is not None:
                parameter.grad /= weight
        norm = float(torch.nn.utils.clip_grad_norm_(parameters, settings.max_grad_norm))
        if not all(map(math.isfinite, (loss, norm, *(total for p in passes for total in p.totals())))):
            raise stopped(policy, batch, room.alone, step=step, epoch=epoch, loss=loss, gradient_norm=norm)
        if step == 0:
            step0 = checked_step0(passes, policy.precision)
        optimizer.step()
        if not math.isfinite(size_after := float(torch.nn.utils.get_total_norm(parameters))):
            raise TrainingStopped(f"step {step}: weights of norm {size_after} after the update; lower training.lr (here {lr:g})")
        optimizer.zero_grad(set_to_none=True)
        spent = sum(len(g.prompt) + len(r.content) for g in batch for _, r in g.responses())
        tokens += spent
        on_step(
            StepRecord(
                step=step,
                epoch=epoch,
                loss=loss,
                grad_norm=norm,
                lr=lr,
                logp=_means([p.logp for p in passes]),
                log_ratio=_means([p.log_ratio for p in passes]),
                metrics={k: v for k, v in _means([p.metrics for p in passes]).items() if math.isfinite(v)},
                tokens=spent,
                seconds=round(time.perf_counter() - began, 4),
                example_ids=[group.example_id for group in batch],
                example_iterations=[group.iteration for group in batch],
            )
        )
        if keeper.due() and step + 1 < steps:
            keeper.keep(Reached(step + 1, tokens, step0, room.micro_batch), parameters, optimizer)
        advance(len(batch))
    peak = torch.cuda.max_memory_allocated(policy.device) if policy.device.type == "cuda" else None
    return {
        "steps": steps,
        "groups": len(groups),
        "tokens": tokens,
        "step0_max_abs_log_ratio_per_token": step0,
        "peak_device_memory_bytes": peak,
        "micro_batch": room.micro_batch,
    }


class Room:
    """How many prompts go through the model at once: the setting's, halved whenever the device's memory runs out, never raised.

    Gradients are sums over the optimizer batch whatever its parts, so this changes them by rounding only.
    """

    def __init__(self, policy: Policy, objective: Objective, settings: TrainingConfig) -> None:
        self.policy, self.objective, self.settings = policy, objective, settings
        self.micro_batch = settings.micro_batch

    def lay_out(self, batch: Sequence[Group]) -> list[Part]:
        return laid_out(self.policy, batch, self.objective, self.settings, self.micro_batch)

    def alone(self, group: Group) -> tuple[float, float] | None:
        """Weighted loss and weight of one example by itself, its gradient left on the adapter; None where rows are coupled."""
        if self.objective.needs.couples_batch:
            return None
        (done,) = accumulate(self.policy, laid_out(self.policy, [group], self.objective, self.settings, 1), self.objective)
        return done.loss, done.weight

    def accumulate(self, batch: Sequence[Group], parts: list[Part]) -> list[Pass]:
        """`accumulate` over one optimizer batch. Raises TrainingStopped when not even one prompt at a time fits."""
        if self.micro_batch < self.settings.micro_batch:
            parts = self.lay_out(batch)  # these were laid out ahead, perhaps before memory ran out
        while True:
            try:
                return accumulate(self.policy, parts, self.objective)
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
            release()
            parts = self.lay_out(batch)


def laid_out(
    policy: Policy, batch: Sequence[Group], objective: Objective, settings: TrainingConfig, micro_batch: int | None = None
) -> list[Part]:
    """One optimizer batch as it goes through the model: micro-batches of prompts, in two-pass mode chunks of responses."""
    couples = objective.needs.couples_batch
    per_prompt = len(batch[0].responses())
    two_pass = couples or (settings.two_pass is True) or (settings.two_pass == "auto" and per_prompt >= TWO_PASS_FROM)
    micro_batch = micro_batch or settings.micro_batch
    size = len(batch) if couples else micro_batch
    parts = []
    count = -(-len(batch) // size)
    for part in range(count):
        groups = list(batch[part::count])  # every part has prompts of every length, so that parts take the same time
        prefixed = [PromptGroup(g.prompt, [r.content for _, r in g.responses()]) for g in groups]
        chunks = chunked(prefixed, micro_batch) if two_pass else [prefixed]
        parts.append(Part(groups, [policy.collate(chunk) for chunk in chunks], two_pass))
    return parts


def chunked(groups: Sequence[PromptGroup], size: int) -> list[list[PromptGroup]]:
    """Lists of at most `size` continuations, in order; a prefix is there again in every list that has some of its own."""
    chunks: list[list[PromptGroup]] = [[]]
    room = size
    for group in groups:
        left = list(group.responses)
        while left:
            if room == 0:
                chunks.append([])
                room = size
            chunks[-1].append(PromptGroup(group.prompt, left[:room]))
            left, room = left[room:], room - len(left[:room])
    return chunks


def accumulate(policy: Policy, parts: Sequence[Part], objective: Objective) -> list[Pass]:
    """Add the gradient of sum(weight * loss) over one optimizer batch to the adapter: parts side by side, added in order.

    In two-pass mode the loss is first differentiated with respect to the log-probabilities, then each chunk of responses is
    run again and backpropagated alone: the same gradient, with memory independent of the number of responses per prompt,
    and exact over the whole optimizer batch for a loss that couples its rows.
    """
    parameters = [p for _, p in policy.adapter_parameters()]

    def gradient(total: torch.Tensor) -> Sequence[torch.Tensor]:
        """Zero for a layer that these tokens did not go through, such as an expert that was not chosen."""
        return torch.autograd.grad(total, parameters, allow_unused=True, materialize_grads=True)

    def one_pass(part: Part) -> tuple[Pass, Sequence[torch.Tensor]]:
        total, done = weighted_loss(part.groups, policy.response_logps(part.chunks[0]), objective)
        return done, gradient(total)

    def second_pass(chunk: tuple[Any, torch.Tensor]) -> Sequence[torch.Tensor]:
        packed, slope = chunk
        return gradient((policy.response_logps(packed) * slope).sum())

    def add(gradients: Iterable[Sequence[torch.Tensor]]) -> None:
        for gradient in gradients:
            for parameter, value in zip(parameters, gradient, strict=True):
                parameter.grad = value if parameter.grad is None else parameter.grad.add_(value)

    if not parts[0].two_pass:
        found = policy.pool.map(one_pass, parts)
        add(gradient for _, gradient in found)
        return [done for done, _ in found]
    passes = []
    for part in parts:
        with torch.no_grad():
            leaf = torch.cat(policy.pool.map(policy.response_logps, part.chunks))
        leaf.requires_grad_()
        total, done = weighted_loss(part.groups, leaf, objective)
        (slope,) = torch.autograd.grad(total, leaf)
        add(policy.pool.map(second_pass, zip(part.chunks, slope.split([c.count for c in part.chunks]), strict=True)))
        passes.append(done)
    return passes


def weighted_loss(part: Sequence[Group], logps: torch.Tensor, objective: Objective) -> tuple[torch.Tensor, Pass]:
    """(N,) log-probabilities, rows in the order of `Group.responses` -> sum(weight * loss) and what to record of it."""
    by_role = responses_by_role(part, logps, objective.needs.reference)
    batch = Batch(by_role["real"], by_role.get("synthetic"), by_role.get("proto"))
    output: LossOutput = objective.loss(batch)
    weight = torch.ones_like(output.loss) if output.weight is None else output.weight
    if output.loss.shape != (len(part),) or weight.shape != (len(part),):
        raise TrainingStopped(f"the objective returned a loss of shape {tuple(output.loss.shape)}, not ({len(part)},)")
    total = (weight * output.loss).sum()
    with torch.no_grad():
        ratios: dict[Role, torch.Tensor] = {role: r.log_ratio for role, r in by_role.items() if r.reference is not None}
        worst = [float((ratio / by_role[role].length).abs().max()) for role, ratio in ratios.items()]
        done = Pass(
            loss=float(total),
            weight=float(weight.sum()),
            logp={role: (float(r.logp.sum()), r.logp.numel()) for role, r in by_role.items()},
            log_ratio={role: (float(ratio.sum()), ratio.numel()) for role, ratio in ratios.items()},
            metrics={name: (float(m.sum()), m.numel()) for name, m in output.metrics.items()},
            step0=max(worst) if worst else None,
        )
    return total, done


def responses_by_role(part: Sequence[Group], logps: torch.Tensor, reference: bool) -> dict[Role, Responses]:
    """(N,) values -> role -> Responses of (B, K) tensors; roles nobody has are absent."""
    table = logps.view(len(part), -1)  # (B, responses per prompt)
    found: dict[Role, Responses] = {}
    start = 0
    for role in ROLES:
        listed = [[r for name, r in group.responses() if name == role] for group in part]
        width = len(listed[0])
        if width == 0:
            continue
        like = {"dtype": logps.dtype, "device": logps.device}
        found[role] = Responses(
            logp=table[:, start : start + width],
            length=torch.tensor([[len(r.content) for r in row] for row in listed], **like),
            reference=torch.tensor([[r.reference_logp for r in row] for row in listed], **like) if reference else None,
        )
        start += width
    return found


def checked_step0(passes: Sequence[Pass], precision: str) -> float | None:
    """Largest |log_ratio| per token of the first batch, before any update. Raises TrainingStopped above tolerance.

    The main player starts as the opponent, so it must be about 0: this catches a wrong adapter, active dropout, and any
    difference in template or padding between scoring and training.
    """
    found = [p.step0 for p in passes if p.step0 is not None]
    if not found:
        return None
    worst, limit = max(found), STEP0_TOLERANCE[precision]
    if not worst <= limit:
        raise TrainingStopped(
            f"before the first update a log-ratio per token is {worst:.3g}, expected at most {limit} in {precision}: "
            "the player in training is not the opponent that was scored"
        )
    return worst


def _means(parts: Sequence[dict]) -> dict[str, float]:
    """Means of (sum, count) entries added up over micro-batches."""
    totals: dict[str, list[float]] = {}
    for part in parts:
        for name, (value, count) in part.items():
            slot = totals.setdefault(name, [0.0, 0.0])
            slot[0] += value
            slot[1] += count
    return {name: value / count for name, (value, count) in totals.items()}
