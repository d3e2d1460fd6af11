"""Detect collapse of a checkpoint by rules over plain numbers, with the evidence; independent of the objective.

Every rule compares a checkpoint with the initial policy or with earlier checkpoints of the same seed, on the same held-out
prompts and items, or the end of an iteration's training with its start. The thresholds are conventions: they are defined here
alone, and each finding records the one it passed.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

LENGTH_FACTOR = 2.0  # responses this many times as long as the initial policy's
REPETITION_RISE = 0.2  # share of a response's bigrams that occurred in it before
TRUNCATION_RISE = 0.2  # share of responses that no longer end
MAX_LOSS_LEFT = 0.05  # share of an iteration's first loss that is left in its last quarter
MIN_MARGIN_NATS = 0.05  # mean difference of real and synthetic log-ratio below which the margin counts as vanished
MIN_SCORE_DROP = 0.05  # fall of the mean over tasks within one iteration, if it is twice its error of sampling items
TASK_SHARE_LEFT = 0.5  # of a task's best score above chance so far, if the loss is twice its error of sampling items
UNANSWERED_RISE = 0.2  # share of a task's items in whose response no answer is found
MIN_TRAINING_STEPS = 10  # optimizer steps below which an iteration's training is not judged


@dataclass(frozen=True)
class TrainingSummary:
    """One iteration's training in a few numbers. Losses: first step, mean of the last quarter of the steps.

    margin: nats per response, mean of the last quarter: real minus synthetic, log-ratios where there is a reference, else
    log-probabilities; None without synthetic responses.
    """

    steps: int
    first_loss: float
    last_loss: float
    margin: float | None
    uses_reference: bool


@dataclass(frozen=True)
class ScoreDrop:
    """Loss of the mean over tasks against the iteration before (the initial policy before the first), in score units, and its
    error of sampling items."""

    drop: float
    item_stderr: float


@dataclass(frozen=True)
class Change:
    """A quantity at an earlier checkpoint and at this one, with the standard error of the difference in its own unit."""

    before: float
    after: float
    stderr: float

    @property
    def has_risen(self) -> bool:
        return self.after - self.before >= _twice(self.stderr) and self.after > self.before

    @property
    def has_fallen(self) -> bool:
        return self.before - self.after >= _twice(self.stderr) and self.after < self.before


@dataclass(frozen=True)
class DataDrift:
    """Against the earlier checkpoint (`since`, -1 the initial policy) that was nearest to the data. kl: KL(policy || data),
    nats per response; entropy: of the policy, nats per token; score: the mean over tasks, None where there is none."""

    since: int
    kl: Change
    entropy: Change
    score: Change | None


@dataclass(frozen=True)
class TaskChange:
    """One task's score against its best so far, and the share of its items without an answer against the initial policy's.

    score: as shares of 1; chance: likewise, 0 where there is none; unanswered: None where answers are not generated.
    """

    label: str
    chance: float
    score: Change
    unanswered: Change | None


@dataclass(frozen=True)
class Finding:
    """A rule that applies: its evidence in words, the value, and the bound that the value passed."""

    name: str
    evidence: str
    value: float
    bound: float


def detect(
    initial: Mapping[str, float], checkpoint: Mapping[str, float], training: TrainingSummary | None, score_drop: ScoreDrop | None
) -> Iterator[Finding]:
    """The findings for one checkpoint. initial, checkpoint: diagnostics by name; a rule without its measurement is skipped.

    score_drop: None where this iteration or the one before has no mean over tasks.
    """

    def before_and_after(name: str) -> tuple[float, float] | None:
        return (initial[name], checkpoint[name]) if name in initial and name in checkpoint else None

    if (pair := before_and_after("response_length")) and pair[1] >= LENGTH_FACTOR * pair[0]:
        before, after = pair
        evidence = f"responses of {after:.1f} tokens on average, {before:.1f} before training"
        yield Finding("length blow-up", evidence, after, LENGTH_FACTOR * before)
    if (pair := before_and_after("repetition")) and pair[1] - pair[0] >= REPETITION_RISE:
        before, after = pair
        evidence = f"{after:.0%} of a response's token pairs are repeats, {before:.0%} before training"
        yield Finding("repetition", evidence, after, before + REPETITION_RISE)
    if (pair := before_and_after("truncation_rate")) and pair[1] - pair[0] >= TRUNCATION_RISE:
        before, after = pair
        evidence = f"{after:.0%} of the responses do not end, {before:.0%} before training"
        yield Finding("end of response lost", evidence, after, before + TRUNCATION_RISE)
    if training is not None and training.margin is not None and training.steps >= MIN_TRAINING_STEPS:
        yield from _detect_in_training(training, training.margin)
    if score_drop is not None and score_drop.drop >= (bound := max(MIN_SCORE_DROP, _twice(score_drop.item_stderr))):
        error = "unknown" if math.isnan(score_drop.item_stderr) else f"{100 * score_drop.item_stderr:.1f}"
        evidence = f"the mean over tasks fell by {100 * score_drop.drop:.1f} points in one iteration (item error {error})"
        yield Finding("score fall", evidence, score_drop.drop, bound)


def _twice(stderr: float) -> float:
    """Of an error that is not known nothing is asked: a collapse is rather named than passed over."""
    return 0.0 if math.isnan(stderr) else 2 * stderr


def detect_drift(drift: DataDrift) -> Iterator[Finding]:
    """Away from the data while the score does not show it."""
    rises_unseen = drift.score is not None and drift.score.after >= drift.score.before
    if drift.kl.has_risen and drift.entropy.has_risen and rises_unseen:
        assert drift.score is not None
        when = "the initial policy" if drift.since < 0 else f"iteration {drift.since}"
        evidence = (
            f"KL(policy || data) rose from {drift.kl.before:.1f} to {drift.kl.after:.1f} nats per response and entropy from "
            f"{drift.entropy.before:.2f} to {drift.entropy.after:.2f} nats per token since {when}, while the mean over tasks "
            f"went from {100 * drift.score.before:.1f} to {100 * drift.score.after:.1f} %: the scores do not show it"
        )
        yield Finding("drift from the data", evidence, drift.kl.after, drift.kl.before + 2 * drift.kl.stderr)


def detect_in_task(task: TaskChange) -> Iterator[Finding]:
    """A task that lost half of what it had, or whose answers are no answers any more."""
    bound = task.chance + TASK_SHARE_LEFT * (task.score.before - task.chance)
    if task.score.before > task.chance and task.score.after <= bound and task.score.has_fallen:
        above = f", chance {100 * task.chance:.0f} %" if task.chance else ""
        evidence = f"{task.label} fell from {100 * task.score.before:.1f} to {100 * task.score.after:.1f} %{above}"
        yield Finding("task halved", evidence, task.score.after, bound)
    if task.unanswered is not None and task.unanswered.after - task.unanswered.before >= UNANSWERED_RISE:
        before, after = task.unanswered.before, task.unanswered.after
        evidence = f"{task.label}: no answer is found in {after:.0%} of the responses, {before:.0%} before training"
        yield Finding("answers lost", evidence, after, before + UNANSWERED_RISE)


def _detect_in_training(training: TrainingSummary, margin: float) -> Iterator[Finding]:
    if training.uses_reference and abs(margin) <= MIN_MARGIN_NATS:
        evidence = (
            f"real and synthetic log-ratios end {margin:+.3f} nats apart after {training.steps} steps: training has not learnt "
            "to tell the two kinds apart, because they are alike or because its rate is too small"
        )
        yield Finding("vanishing margin", evidence, margin, MIN_MARGIN_NATS)
    elif margin > 0 and training.first_loss > 0 and training.last_loss <= MAX_LOSS_LEFT * training.first_loss:
        evidence = (
            f"the loss fell from {training.first_loss:.3g} to {training.last_loss:.3g} within the iteration "
            f"(margin {margin:.1f} nats): there is little left to learn from these responses"
        )
        yield Finding("reward saturation", evidence, training.last_loss, MAX_LOSS_LEFT * training.first_loss)
