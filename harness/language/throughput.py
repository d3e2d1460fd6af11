"""How fast this machine plays this run: each kind of phase tried on a little of the real work, by the real code. Nothing is kept.

A trial grows until it has taken a few seconds or covers everything, so that start-up costs and half-empty batches weigh little.
What is drawn and scored belongs to the initial policy: how long later players' responses are, nobody knows yet.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, cast

import torch

from harness.config import RunConfig
from harness.discovery.variants import Variant
from harness.language.benchmark import lm_eval_benchmark as evaluating
from harness.language.phases.diagnostics import find_distribution, probe
from harness.language.phases.generate import generate
from harness.language.policy import STREAM, Policy
from harness.language.records import Example, Sample
from harness.loop.benchmark import Benchmark
from harness.loop.phase_runner import Rounds
from harness.loop.plan import fresh_responses
from harness.loop.trials import training_settings
from harness.planning.throughput import Calibration, Evaluation, Trial
from harness.records import Group, StepRecord
from harness.store.provenance import peak_memory_bytes
from harness.train.core import train
from harness.train.groups import groups_of_iteration, with_references
from harness.train.score import score
from harness.world import EarlierCheckpoint

ENOUGH = 3.0  # seconds after which a trial is long enough
FIRST_ITEMS = 32  # of each lm-eval task, in the first trial of the leaderboard


def calibrate(rounds: Rounds, variants: Sequence[Variant]) -> Calibration:
    """Try every kind of phase that the variants need; afterwards the initial policy sits in the slot again."""
    began = time.perf_counter()
    config, policy, examples = rounds.config, cast(Policy, rounds.policy), rounds.data.train
    seed = config.seeds[0]
    policy.reset_adapter(seed)
    if policy.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(policy.device)
    draw, samples = _drawing(rounds)
    peak = torch.cuda.max_memory_allocated(policy.device) if policy.device.type == "cuda" else 0
    lengths = [len(s.token_ids) for s in samples]
    mean = sum(lengths) / len(lengths)
    spread = math.sqrt(sum((n - mean) ** 2 for n in lengths) / max(1, len(lengths) - 1) / len(lengths))
    first, later = _probing(rounds)
    found = Calibration(
        prompt_tokens=sum(len(policy.encoder.prompt(e)) for e in examples) / len(examples),
        real_tokens=sum(len(policy.encoder.real(e)) for e in examples) / len(examples),
        drawn_tokens=mean,
        drawn_stderr=spread,
        truncated=sum(not s.finished for s in samples) / len(samples),
        draw=draw,
        known_agree=_known_agree(policy, examples, samples),
        evaluation=_evaluation(rounds, draw.each / mean),
        probe_first=first,
        probe_later=later,
        sample_bytes=sum(len(s.text.encode()) + 6 * len(s.token_ids) + 150 for s in samples) / len(samples),
        adapter_bytes=sum(p.numel() * p.element_size() for _, p in policy.adapter_parameters()),
    )
    for variant in variants:
        for t, objective in enumerate(variant.objectives(config.iterations)):
            needs = objective.needs
            if t < 2:  # later iterations are as the second
                groups = _groups(policy, examples, samples, needs.synthetic, needs.proto)
                found.train[variant.label, t] = _training(config, policy, variant, t, groups)
            if needs.reference:
                for count in {1, fresh_responses(needs, t, found.known_agree)} - found.score.keys():
                    found.score[count] = _scoring(policy, examples, samples, count, config.model.tokens_per_pass)
    policy.reset_adapter(seed)
    if policy.device.type == "cuda":
        found.device_bytes = max(peak, torch.cuda.max_memory_allocated(policy.device))
    found.process_bytes = peak_memory_bytes()
    found.seconds = time.perf_counter() - began
    return found


# ---------------------------------------------------------------- trials


def _grown(attempt: Callable[[int], float], start: int, whole: int) -> Trial:
    """Try with `start`, then four times as much, until a trial has taken long enough or covers everything."""
    count = min(start, whole)
    while True:
        seconds = attempt(count)
        if count == whole or seconds >= ENOUGH:
            return Trial(count, seconds)
        count = min(4 * count, whole)


def _clocked(policy: Policy, work: Callable[[], Any]) -> float:
    began = time.perf_counter()
    work()
    if policy.device.type == "cuda":
        torch.cuda.synchronize(policy.device)
    return time.perf_counter() - began


def _drawing(rounds: Rounds) -> tuple[Trial, list[Sample]]:
    """Seconds of one synthetic response per prompt. On a CPU the trial may keep fewer cores busy than the run will."""
    policy, examples, settings = cast(Policy, rounds.policy), rounds.data.train, rounds.config.generation
    kept: list[Sample] = []

    def attempt(count: int) -> float:
        def work() -> None:
            kept[:] = generate(policy, examples[:count], [0], 0, settings, rounds.config.seeds[0], lambda n: None)

        return _clocked(policy, work)

    trial = _grown(attempt, 32, len(examples))
    busy, later = (min(policy.pool.count, -(-n // STREAM)) for n in (trial.count, len(examples)))
    return Trial(trial.count, trial.seconds * busy / later), kept


def _groups(policy: Policy, examples: Sequence[Example], samples: Sequence[Sample], synthetic: int, proto: int) -> list[Group]:
    """Training groups of the trial's prompts: responses are other prompts' where a prompt needs several."""
    count = len(samples)

    def given(offset: int, many: int) -> list[Sample]:
        return [
            replace(samples[(n + offset + k) % count], example_id=samples[n].example_id, index=k)
            for n in range(count)
            for k in range(many)
        ]

    return groups_of_iteration(policy.encoder, examples[:count], 0, given(0, synthetic), given(synthetic, proto))


def _known_agree(policy: Policy, examples: Sequence[Example], samples: Sequence[Sample]) -> bool:
    """Whether log-probabilities found while drawing are taken over by `score` here."""
    if policy.encoder.asking is not None:
        return False  # drawn after another prompt than it is scored after
    groups = groups_of_iteration(policy.encoder, examples[: len(samples)], 0, samples, (), {"synthetic"})[:8]
    done = score(policy, groups, 2048, lambda n: None)
    return done.computed < 2 * len(groups) + len(groups)  # compared, then only the real ones; else everything again


def _scoring(policy: Policy, examples: Sequence[Example], samples: Sequence[Sample], count: int, columns: int) -> Trial:
    """Seconds of scoring `count` responses per prompt; nothing of them is known."""
    if count == 0:
        return Trial(1, 0.0)
    groups = _groups(policy, examples, samples, count - 1, 0)
    return _grown(lambda n: _clocked(policy, lambda: score(policy, groups[:n], columns, lambda _: None)), 64, len(groups))


class _Enough(Exception):
    pass


def _training(config: RunConfig, policy: Policy, variant: Variant, t: int, groups: list[Group]) -> Trial:
    """Seconds per prompt of optimizer steps, the first of which does not count where there are more."""
    settings = training_settings(config, variant).at(t)
    objective = variant.objective(t)
    if objective.needs.reference:
        groups = with_references(groups, score(policy, groups, config.model.tokens_per_pass, lambda n: None).scores)
    steps: list[StepRecord] = []

    def on_step(record: StepRecord) -> None:
        steps.append(record)
        if len(steps) > 1 and sum(s.seconds for s in steps[1:]) >= ENOUGH:
            raise _Enough

    try:
        train(policy, groups, objective, settings, (0, "calibration"), lambda n: None, on_step)
    except _Enough:
        pass
    finally:
        policy.reset_adapter(config.seeds[0])
    counted = steps[1:] or steps
    return Trial(sum(len(s.example_ids) for s in counted), sum(s.seconds for s in counted))


def _probing(rounds: Rounds) -> tuple[float, float]:
    """Seconds of one probe, of the initial policy and of a player that has forerunners."""
    policy, config = cast(Policy, rounds.policy), rounds.config
    examples = rounds.data.heldout[: config.probe.prompts]
    longest = config.probe.max_new_tokens or config.generation.max_new_tokens
    how = config.generation.model_copy(update={"max_new_tokens": longest})

    said: list[Any] = []

    def attempt(count: int, earlier: dict[str, EarlierCheckpoint]) -> float:
        columns, distribution = config.model.tokens_per_pass, find_distribution(config.data.distribution)

        def work() -> None:
            said[:] = probe(policy, examples[:count], how, columns, distribution, lambda n: None, earlier).samples

        return _clocked(policy, work)

    trial = _grown(lambda count: attempt(count, {}), 32, len(examples))
    stay = EarlierCheckpoint(lambda: None, list(said))
    seconds = attempt(trial.count, {"previous": stay, "initial": stay})
    scale = len(examples) / trial.count
    return trial.seconds * scale, seconds * scale


# ---------------------------------------------------------------- the leaderboard


@dataclass
class _Meter:
    """Tokens and seconds that went through the policy while a leaderboard was answered."""

    judge_seconds: float = 0.0
    judge_tokens: int = 0
    draw_seconds: float = 0.0
    draw_tokens: int = 0


@contextmanager
def _metered(policy: Policy) -> Iterator[_Meter]:
    meter = _Meter()
    judge, draw = policy.loglikelihood, policy.draw

    def judged(groups: Any, *rest: Any, **more: Any) -> Any:
        began = time.perf_counter()
        found = judge(groups, *rest, **more)
        meter.judge_seconds += time.perf_counter() - began
        meter.judge_tokens += sum(len(g.prompt) + sum(map(len, g.responses)) for g in groups)
        return found

    def drawn(requests: Any, *rest: Any, **more: Any) -> Any:
        began = time.perf_counter()
        found = draw(requests, *rest, **more)
        meter.draw_seconds += time.perf_counter() - began
        meter.draw_tokens += sum(len(r.prompt_ids) for r in requests) + sum(len(one.ids) for one in found)
        return found

    policy.loglikelihood, policy.draw = judged, drawn  # type: ignore[method-assign]
    try:
        yield meter
    finally:
        del policy.loglikelihood, policy.draw


def _evaluation(rounds: Rounds, per_token: float) -> Evaluation:
    """The leaderboard tried on the first items of every task, more of them until that takes long enough.

    Scoring and generating are scaled by their own share of items; what lm-eval does around them by all of them.
    per_token: seconds of drawing, for a suite whose answers a judge rates.
    """
    board, policy, config = rounds.board, cast(Policy, rounds.policy), rounds.config
    whole = board.items()
    if not isinstance(board, evaluating.Leaderboard):
        return _answers(board, sum(whole.values()), per_token)
    longest = max(len(t.eval_docs) for row in board.loaded.values() for t in row["tasks"].values())
    limit = min(FIRST_ITEMS, longest)
    while True:
        fewer = min(limit, board.limit or limit)
        tried = replace(board, limit=fewer)
        evaluating.evaluate(policy, tried, config.model.tokens_per_pass, config.evaluation.batch_size, lambda n: None)
        began = time.perf_counter()
        with _metered(policy) as meter:
            done = evaluating.evaluate(policy, tried, config.model.tokens_per_pass, config.evaluation.batch_size, lambda n: None)
        seconds = time.perf_counter() - began
        if seconds >= ENOUGH or tried.items() == whole:
            break
        limit *= 4
    writes = {name: any(t.OUTPUT_TYPE == "generate_until" for t in row["tasks"].values()) for name, row in board.loaded.items()}
    counted = tried.items()

    def scale(kind: bool | None) -> float:
        rows = [name for name in whole if kind is None or writes[name] is kind]
        return sum(whole[n] for n in rows) / max(1, sum(counted[n] for n in rows))

    around = seconds - meter.judge_seconds - meter.draw_seconds
    kept = sum(len(str(s)) for rows in done.samples.values() for s in rows)
    return Evaluation(
        seconds=meter.judge_seconds * scale(False) + meter.draw_seconds * scale(True) + around * scale(None),
        tokens=meter.judge_tokens * scale(False) + meter.draw_tokens * scale(True),
        bytes_kept=kept * scale(None),
        tried=sum(counted.values()),
        items=sum(whole.values()),
    )


def _answers(board: Benchmark, questions: int, per_token: float) -> Evaluation:
    """A judged suite: two answers to every question, at their full length. The judge is not tried, it may cost money."""
    assert board.suite.judge is not None
    tokens = 2 * questions * board.suite.judge.max_new_tokens
    return Evaluation(tokens * per_token, tokens, 6.0 * tokens, 0, questions)
