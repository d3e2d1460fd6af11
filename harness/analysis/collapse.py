"""Detect collapse of a checkpoint by rules over plain numbers, with the evidence; independent of the objective.

Every rule compares a checkpoint with the initial policy on the same held-out prompts, or the end of an iteration's training with
its start. The thresholds are conventions: they are defined here alone, and each finding records the one it passed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

LENGTH_FACTOR = 2.0  # responses this many times as long as the initial policy's
REPETITION_RISE = 0.2  # share of a response's bigrams that occurred in it before
TRUNCATION_RISE = 0.2  # share of responses that no longer end
MAX_LOSS_LEFT = 0.05  # share of an iteration's first loss that is left in its last quarter
MIN_MARGIN_NATS = 0.05  # mean difference of real and synthetic log-ratio below which the margin counts as vanished
MIN_SCORE_DROP = 0.05  # fall of the mean over tasks within one iteration, if it is twice its error of sampling items
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
    """Loss of the mean over tasks against the iteration before, in score units, and its error of sampling items."""

    drop: float
    item_stderr: float


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
    if score_drop is not None and score_drop.drop >= max(MIN_SCORE_DROP, 2 * score_drop.item_stderr):
        drop_points, error_points = 100 * score_drop.drop, 100 * score_drop.item_stderr
        evidence = f"the mean over tasks fell by {drop_points:.1f} points in one iteration (item error {error_points:.1f})"
        yield Finding("score fall", evidence, score_drop.drop, max(MIN_SCORE_DROP, 2 * score_drop.item_stderr))


def _detect_in_training(training: TrainingSummary, margin: float) -> Iterator[Finding]:
    if training.uses_reference and abs(margin) <= MIN_MARGIN_NATS:
        evidence = (
            f"real and synthetic log-ratios end {margin:+.3f} nats apart after {training.steps} steps: the two kinds "
            "cannot be told apart, and a loss of their difference has no gradient"
        )
        yield Finding("vanishing margin", evidence, margin, MIN_MARGIN_NATS)
    elif margin > 0 and training.first_loss > 0 and training.last_loss <= MAX_LOSS_LEFT * training.first_loss:
        evidence = (
            f"the loss fell from {training.first_loss:.3g} to {training.last_loss:.3g} within the iteration "
            f"(margin {margin:.1f} nats): there is little left to learn from these responses"
        )
        yield Finding("reward saturation", evidence, training.last_loss, MAX_LOSS_LEFT * training.first_loss)
