"""How fast this machine runs this run: each kind of phase timed on a little of the real work, by the real code. Nothing is kept.

A timing grows until it has taken a few seconds or covers everything, so that start-up costs and half-empty batches weigh little.
Responses are those of the initial policy: the response lengths of later checkpoints are not known yet.
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
from harness.language.benchmark.lm_eval_benchmark import LmEvalBenchmark, evaluate
from harness.language.phases.diagnostics import find_distribution, run_diagnostics
from harness.language.phases.generate import generate
from harness.language.policy import MAX_REQUESTS_PER_BATCH, Policy
from harness.language.records import Example, Sample
from harness.loop.benchmark import Benchmark
from harness.loop.context import RunContext
from harness.loop.costs import EvaluationEstimate, Throughput, Timing
from harness.loop.phases.score import responses_to_score
from harness.loop.trials import training_settings
from harness.records import Group, StepRecord
from harness.store.provenance import peak_memory_bytes
from harness.train.core import train
from harness.train.groups import build_groups, with_reference_logps
from harness.train.score import score
from harness.world import EarlierCheckpoint

MIN_SECONDS = 3.0  # seconds after which a timing is long enough
INITIAL_ITEMS = 32  # of each lm-eval task, in the first timing of the evaluation


def measure_throughput(context: RunContext, variants: Sequence[Variant]) -> Throughput:
    """Time every kind of phase that the variants need; afterwards the initial policy is loaded again."""
    began = time.perf_counter()
    config, policy, examples = context.config, cast(Policy, context.policy), context.data.train
    seed = config.seeds[0]
    policy.reset_adapter(seed)
    if policy.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(policy.device)
    generation, samples = _time_generation(context)
    peak_bytes = torch.cuda.max_memory_allocated(policy.device) if policy.device.type == "cuda" else 0
    lengths = [len(s.token_ids) for s in samples]
    mean_tokens = sum(lengths) / len(lengths)
    stderr = math.sqrt(sum((n - mean_tokens) ** 2 for n in lengths) / max(1, len(lengths) - 1) / len(lengths))
    initial_seconds, later_seconds = _time_diagnostics(context)
    throughput = Throughput(
        prompt_tokens=sum(len(policy.encoder.prompt(e)) for e in examples) / len(examples),
        real_tokens=sum(len(policy.encoder.real(e)) for e in examples) / len(examples),
        generated_tokens=mean_tokens,
        generated_tokens_stderr=stderr,
        truncated_fraction=sum(not s.finished for s in samples) / len(samples),
        generation=generation,
        cached_logp_agrees=_cached_logp_agrees(policy, examples, samples),
        evaluation=_time_evaluation(context, generation.seconds_per_item / mean_tokens),
        initial_diagnostics_seconds=initial_seconds,
        later_diagnostics_seconds=later_seconds,
        sample_bytes=sum(len(s.text.encode()) + 6 * len(s.token_ids) + 150 for s in samples) / len(samples),
        adapter_bytes=sum(p.numel() * p.element_size() for _, p in policy.adapter_parameters()),
    )
    for variant in variants:
        for t, objective in enumerate(variant.objectives(config.iterations)):
            needs = objective.needs
            if t < 2:  # later iterations are as the second
                groups = _make_groups(policy, examples, samples, needs.synthetic, needs.proto)
                throughput.training[variant.label, t] = _time_training(config, policy, variant, t, groups)
            if needs.reference:
                for count in {1, responses_to_score(needs, t, throughput.cached_logp_agrees)} - throughput.scoring.keys():
                    throughput.scoring[count] = _time_scoring(policy, examples, samples, count, config.model.tokens_per_pass)
    policy.reset_adapter(seed)
    if policy.device.type == "cuda":
        throughput.peak_device_bytes = max(peak_bytes, torch.cuda.max_memory_allocated(policy.device))
    throughput.peak_process_bytes = peak_memory_bytes()
    throughput.measuring_seconds = time.perf_counter() - began
    return throughput


# ---------------------------------------------------------------- timings


def _time_growing(attempt: Callable[[int], float], start: int, total: int) -> Timing:
    """Time `start` items, then four times as many, until it has taken long enough or covers everything."""
    count = min(start, total)
    while True:
        seconds = attempt(count)
        if count == total or seconds >= MIN_SECONDS:
            return Timing(count, seconds)
        count = min(4 * count, total)


def _timed(policy: Policy, work: Callable[[], Any]) -> float:
    began = time.perf_counter()
    work()
    if policy.device.type == "cuda":
        torch.cuda.synchronize(policy.device)
    return time.perf_counter() - began


def _time_generation(context: RunContext) -> tuple[Timing, list[Sample]]:
    """Seconds of one synthetic response per prompt. On a CPU the timing may keep fewer cores busy than the run will."""
    policy, examples, settings = cast(Policy, context.policy), context.data.train, context.config.generation
    samples: list[Sample] = []

    def attempt(count: int) -> float:
        def work() -> None:
            samples[:] = generate(policy, examples[:count], [0], 0, settings, context.config.seeds[0], lambda n: None)

        return _timed(policy, work)

    timing = _time_growing(attempt, 32, len(examples))
    threads_timed, threads_full = (
        min(policy.pool.num_threads, -(-n // MAX_REQUESTS_PER_BATCH)) for n in (timing.count, len(examples))
    )
    return Timing(timing.count, timing.seconds * threads_timed / threads_full), samples


def _make_groups(
    policy: Policy, examples: Sequence[Example], samples: Sequence[Sample], synthetic: int, proto: int
) -> list[Group]:
    """Training groups of the timed prompts: responses are other prompts' where a prompt needs several."""
    count = len(samples)

    def borrowed_samples(offset: int, per_prompt: int) -> list[Sample]:
        return [
            replace(samples[(n + offset + k) % count], example_id=samples[n].example_id, index=k)
            for n in range(count)
            for k in range(per_prompt)
        ]

    return build_groups(policy.encoder, examples[:count], 0, borrowed_samples(0, synthetic), borrowed_samples(synthetic, proto))


def _cached_logp_agrees(policy: Policy, examples: Sequence[Example], samples: Sequence[Sample]) -> bool:
    """Whether `score` takes over the log-probabilities computed while sampling."""
    if policy.encoder.generation_template is not None:
        return False  # sampled after another prompt than it is scored after
    groups = build_groups(policy.encoder, examples[: len(samples)], 0, samples, (), {"synthetic"})[:8]
    scored = score(policy, groups, 2048, lambda n: None)
    return scored.num_scored < 2 * len(groups) + len(groups)  # compared, then only the real ones; else everything again


def _time_scoring(
    policy: Policy, examples: Sequence[Example], samples: Sequence[Sample], count: int, max_tokens_per_batch: int
) -> Timing:
    """Seconds of scoring `count` responses per prompt, without cached log-probabilities."""
    if count == 0:
        return Timing(1, 0.0)
    groups = _make_groups(policy, examples, samples, count - 1, 0)
    return _time_growing(
        lambda n: _timed(policy, lambda: score(policy, groups[:n], max_tokens_per_batch, lambda _: None)), 64, len(groups)
    )


class _StopTiming(Exception):
    pass


def _time_training(config: RunConfig, policy: Policy, variant: Variant, t: int, groups: list[Group]) -> Timing:
    """Seconds per prompt of optimizer steps, the first of which does not count where there are more."""
    settings = training_settings(config, variant).at_iteration(t)
    objective = variant.objective(t)
    if objective.needs.reference:
        groups = with_reference_logps(groups, score(policy, groups, config.model.tokens_per_pass, lambda n: None).scores)
    steps: list[StepRecord] = []

    def on_step(record: StepRecord) -> None:
        steps.append(record)
        if len(steps) > 1 and sum(s.seconds for s in steps[1:]) >= MIN_SECONDS:
            raise _StopTiming

    try:
        train(policy, groups, objective, settings, (0, "calibration"), lambda n: None, on_step)
    except _StopTiming:
        pass
    finally:
        policy.reset_adapter(config.seeds[0])
    timed_steps = steps[1:] or steps
    return Timing(sum(len(s.example_ids) for s in timed_steps), sum(s.seconds for s in timed_steps))


def _time_diagnostics(context: RunContext) -> tuple[float, float]:
    """Seconds of diagnostics, of the initial policy and of a checkpoint that is compared with earlier ones."""
    policy, config = cast(Policy, context.policy), context.config
    examples = context.data.heldout[: config.probe.prompts]
    max_new_tokens = config.probe.max_new_tokens or config.generation.max_new_tokens
    settings = config.generation.model_copy(update={"max_new_tokens": max_new_tokens})

    samples: list[Any] = []

    def attempt(count: int, earlier: dict[str, EarlierCheckpoint]) -> float:
        max_tokens_per_batch, distribution = config.model.tokens_per_pass, find_distribution(config.data.distribution)

        def work() -> None:
            samples[:] = run_diagnostics(
                policy, examples[:count], settings, max_tokens_per_batch, distribution, lambda n: None, earlier
            ).samples

        return _timed(policy, work)

    timing = _time_growing(lambda count: attempt(count, {}), 32, len(examples))
    earlier_checkpoint = EarlierCheckpoint(lambda: None, list(samples))
    later_seconds = attempt(timing.count, {"previous": earlier_checkpoint, "initial": earlier_checkpoint})
    scale = len(examples) / timing.count
    return timing.seconds * scale, later_seconds * scale


# ---------------------------------------------------------------- evaluation


@dataclass
class _Meter:
    """Tokens and seconds that went through the policy during an evaluation."""

    loglikelihood_seconds: float = 0.0
    loglikelihood_tokens: int = 0
    generation_seconds: float = 0.0
    generation_tokens: int = 0


@contextmanager
def _metered(policy: Policy) -> Iterator[_Meter]:
    meter = _Meter()
    loglikelihood, generate_tokens = policy.loglikelihood, policy.generate_tokens

    def timed_loglikelihood(groups: Any, *args: Any, **kwargs: Any) -> Any:
        began = time.perf_counter()
        scores = loglikelihood(groups, *args, **kwargs)
        meter.loglikelihood_seconds += time.perf_counter() - began
        meter.loglikelihood_tokens += sum(len(g.prompt) + sum(map(len, g.responses)) for g in groups)
        return scores

    def timed_generate_tokens(requests: Any, *args: Any, **kwargs: Any) -> Any:
        began = time.perf_counter()
        completions = generate_tokens(requests, *args, **kwargs)
        meter.generation_seconds += time.perf_counter() - began
        meter.generation_tokens += sum(len(r.prompt_ids) for r in requests) + sum(len(tokens.ids) for tokens in completions)
        return completions

    policy.loglikelihood, policy.generate_tokens = timed_loglikelihood, timed_generate_tokens  # type: ignore[method-assign]
    try:
        yield meter
    finally:
        del policy.loglikelihood, policy.generate_tokens


def _time_evaluation(context: RunContext, seconds_per_token: float) -> EvaluationEstimate:
    """The benchmark timed on the first items of every task, more of them until that takes long enough.

    Scoring and generating are scaled by their own share of items; what lm-eval does around them by all of them.
    seconds_per_token: of generation, for a suite whose responses a judge rates.
    """
    benchmark, policy, config = context.benchmark, cast(Policy, context.policy), context.config
    item_counts = benchmark.items()
    if not isinstance(benchmark, LmEvalBenchmark):
        return _estimate_judged(benchmark, sum(item_counts.values()), seconds_per_token)
    max_items = max(len(t.eval_docs) for row in benchmark.loaded_tasks.values() for t in row["tasks"].values())
    limit = min(INITIAL_ITEMS, max_items)
    while True:
        item_limit = min(limit, benchmark.limit or limit)
        partial_benchmark = replace(benchmark, limit=item_limit)
        evaluate(policy, partial_benchmark, config.model.tokens_per_pass, config.evaluation.batch_size, lambda n: None)
        began = time.perf_counter()
        with _metered(policy) as meter:
            result = evaluate(
                policy, partial_benchmark, config.model.tokens_per_pass, config.evaluation.batch_size, lambda n: None
            )
        seconds = time.perf_counter() - began
        if seconds >= MIN_SECONDS or partial_benchmark.items() == item_counts:
            break
        limit *= 4
    generates_text = {
        name: any(t.OUTPUT_TYPE == "generate_until" for t in row["tasks"].values())
        for name, row in benchmark.loaded_tasks.items()
    }
    timed_counts = partial_benchmark.items()

    def scale(generates: bool | None) -> float:
        rows = [name for name in item_counts if generates is None or generates_text[name] is generates]
        return sum(item_counts[n] for n in rows) / max(1, sum(timed_counts[n] for n in rows))

    overhead_seconds = seconds - meter.loglikelihood_seconds - meter.generation_seconds
    sample_bytes = sum(len(str(s)) for rows in result.samples.values() for s in rows)
    return EvaluationEstimate(
        seconds=meter.loglikelihood_seconds * scale(False)
        + meter.generation_seconds * scale(True)
        + overhead_seconds * scale(None),
        tokens=meter.loglikelihood_tokens * scale(False) + meter.generation_tokens * scale(True),
        disk_bytes=sample_bytes * scale(None),
        timed_items=sum(timed_counts.values()),
        items=sum(item_counts.values()),
    )


def _estimate_judged(benchmark: Benchmark, num_questions: int, seconds_per_token: float) -> EvaluationEstimate:
    """A judged suite: two responses to every question, at their full length. The judge is not timed, it may cost money."""
    assert benchmark.suite.judge is not None
    tokens = 2 * num_questions * benchmark.suite.judge.max_new_tokens
    return EvaluationEstimate(tokens * seconds_per_token, tokens, 6.0 * tokens, 0, num_questions)
