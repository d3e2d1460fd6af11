"""How fast this machine runs this run: each kind of phase timed on a little of the real work, by the real code. Nothing is kept.

A timing grows until it has taken a few seconds or covers everything, so that start-up costs and half-empty batches weigh little.
Responses are those of the initial policy: the response lengths of later checkpoints are not known yet.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from typing import Any

import torch

from harness.config import RunConfig
from harness.discovery.variants import Variant
from harness.files import packed_size
from harness.language.benchmark.lm_eval_benchmark import LmEvalBenchmark, evaluate
from harness.language.phases.diagnostics import diagnostics_settings, find_distribution, run_diagnostics
from harness.language.phases.generate import generate
from harness.language.policy import Policy
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
    config, policy, examples = context.config, context.policy, context.data.train
    assert isinstance(policy, Policy)
    on_gpu = policy.device.type == "cuda"
    policy.reset_adapter(config.seeds[0])
    if on_gpu:
        torch.cuda.reset_peak_memory_stats(policy.device)
    generation, samples = _time_generation(policy, config, examples)
    peak_bytes = torch.cuda.max_memory_allocated(policy.device) if on_gpu else 0
    lengths = [len(s.token_ids) for s in samples]
    mean_tokens = sum(lengths) / len(lengths)
    stderr = math.sqrt(sum((n - mean_tokens) ** 2 for n in lengths) / max(1, len(lengths) - 1) / len(lengths))
    initial_seconds, later_seconds = _time_diagnostics(policy, config, context.data.heldout)
    throughput = Throughput(
        prompt_tokens=sum(len(policy.encoder.prompt(e)) for e in examples) / len(examples),
        real_tokens=sum(len(policy.encoder.real(e)) for e in examples) / len(examples),
        generated_tokens=mean_tokens,
        generated_tokens_stderr=stderr,
        truncated_fraction=sum(not s.finished for s in samples) / len(samples),
        generation=generation,
        cached_logp_agrees=_cached_logp_agrees(policy, examples, samples),
        evaluation=_time_evaluation(policy, config, context.benchmark, generation.seconds_per_item / mean_tokens),
        initial_diagnostics_seconds=initial_seconds,
        later_diagnostics_seconds=later_seconds,
        sample_bytes=packed_size(samples) / len(samples),
        adapter_bytes=sum(p.numel() * p.element_size() for _, p in policy.adapter_parameters()),
    )
    timed: dict[Any, Timing] = {}
    for variant in variants:
        for t, objective in enumerate(variant.objectives(config.iterations)):
            needs = objective.needs
            if t < 2:  # later iterations are as the second
                if (key := training_cost_key(config, variant, t)) not in timed:
                    groups = _make_groups(policy, examples, samples, needs.synthetic, needs.proto)
                    timed[key] = _time_training(config, policy, variant, t, groups)
                throughput.training[variant.label, t] = timed[key]
            if needs.reference:
                for count in {1, responses_to_score(needs, t, throughput.cached_logp_agrees)} - throughput.scoring.keys():
                    throughput.scoring[count] = _time_scoring(policy, examples, samples, count, config.model.tokens_per_pass)
    policy.reset_adapter(config.seeds[0])
    if on_gpu:
        throughput.peak_device_bytes = max(peak_bytes, torch.cuda.max_memory_allocated(policy.device))
    throughput.peak_process_bytes = peak_memory_bytes()
    throughput.measuring_seconds = time.perf_counter() - began
    return throughput


# ---------------------------------------------------------------- timings


def _time_growing(policy: Policy, work: Callable[[int], Any], start: int, total: int) -> Timing:
    """Time `work` on `start` items, then four times as many, until it has taken long enough or covers everything."""
    count = min(start, total)
    while True:
        seconds = _timed(policy, lambda: work(count))  # noqa: B023  # called at once
        if count == total or seconds >= MIN_SECONDS:
            return Timing(count, seconds)
        count = min(4 * count, total)


def _timed(policy: Policy, work: Callable[[], Any]) -> float:
    began = time.perf_counter()
    work()
    if policy.device.type == "cuda":
        torch.cuda.synchronize(policy.device)
    return time.perf_counter() - began


def _time_generation(policy: Policy, config: RunConfig, examples: Sequence[Example]) -> tuple[Timing, list[Sample]]:
    """Seconds of one synthetic response per prompt. On a CPU the timing may keep fewer cores busy than the run will."""
    samples: list[Sample] = []

    def work(count: int) -> None:
        samples[:] = generate(policy, examples[:count], [0], 0, config.generation, config.seeds[0], lambda n: None)

    timing = _time_growing(policy, work, 32, len(examples))
    threads_timed, threads_full = (
        min(policy.pool.num_threads, policy.num_generation_batches(n, config.generation.batch_size))
        for n in (timing.count, len(examples))
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
    return score(policy, groups, 2048, lambda n: None).num_scored < 3 * len(groups)  # compared, then only the real ones


def _time_scoring(
    policy: Policy, examples: Sequence[Example], samples: Sequence[Sample], count: int, max_tokens_per_batch: int
) -> Timing:
    """Seconds of scoring `count` responses per prompt, without cached log-probabilities."""
    if count == 0:
        return Timing(1, 0.0)
    groups = _make_groups(policy, examples, samples, count - 1, 0)
    return _time_growing(policy, lambda n: score(policy, groups[:n], max_tokens_per_batch, lambda _: None), 64, len(groups))


class _StopTiming(Exception):
    pass


def training_cost_key(config: RunConfig, variant: Variant, t: int) -> Any:
    """Equal for variants whose optimizer steps cost the same: one objective at several learning rates is timed once."""
    settings = training_settings(config, variant).at_iteration(t)
    return repr(variant.objective(t)), settings.model_copy(update={"lr": 1.0, "epochs": 1}).model_dump_json()


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
        with suppress(_StopTiming):
            train(policy, groups, objective, settings, (0, "calibration"), lambda n: None, on_step)
    finally:
        policy.reset_adapter(config.seeds[0])
    timed_steps = steps[1:] or steps
    return Timing(sum(len(s.example_ids) for s in timed_steps), sum(s.seconds for s in timed_steps))


def _time_diagnostics(policy: Policy, config: RunConfig, heldout: Sequence[Example]) -> tuple[float, float]:
    """Seconds of diagnostics, of the initial policy and of a checkpoint that is compared with earlier ones."""
    examples = heldout[: config.probe.prompts]
    settings, distribution = diagnostics_settings(config), find_distribution(config.data.distribution)
    samples: list[Any] = []

    def work(count: int, earlier: dict[str, EarlierCheckpoint]) -> None:
        max_tokens = config.model.tokens_per_pass
        diagnostics = run_diagnostics(policy, examples[:count], settings, max_tokens, distribution, lambda n: None, earlier)
        samples[:] = diagnostics.samples

    timing = _time_growing(policy, lambda count: work(count, {}), 32, len(examples))
    checkpoint = EarlierCheckpoint(lambda: None, list(samples))
    later_seconds = _timed(policy, lambda: work(timing.count, {"previous": checkpoint, "initial": checkpoint}))
    scale = len(examples) / timing.count
    return timing.seconds * scale, later_seconds * scale


# ---------------------------------------------------------------- evaluation


@dataclass
class _Meter:
    """Seconds and tokens of a method of the policy."""

    seconds: float = 0.0
    tokens: int = 0


@contextmanager
def _metered(policy: Policy, method: str, num_tokens: Callable[[Any, Any], int]) -> Iterator[_Meter]:
    """num_tokens: of the method's first argument and its result."""
    meter, original = _Meter(), getattr(policy, method)

    def timed(items: Any, *args: Any, **kwargs: Any) -> Any:
        began = time.perf_counter()
        results = original(items, *args, **kwargs)
        meter.seconds += time.perf_counter() - began
        meter.tokens += num_tokens(items, results)
        return results

    setattr(policy, method, timed)
    try:
        yield meter
    finally:
        delattr(policy, method)


def _scored_tokens(groups: Any, _: Any) -> int:
    return sum(len(g.prompt) + sum(map(len, g.responses)) for g in groups)


def _written_tokens(requests: Any, completions: Any) -> int:
    return sum(len(r.prompt_ids) for r in requests) + sum(len(c.ids) for c in completions)


def _time_evaluation(policy: Policy, config: RunConfig, benchmark: Benchmark, seconds_per_token: float) -> EvaluationEstimate:
    """The benchmark timed on the first items of every task, more of them until that takes long enough.

    Scoring and generating are scaled by their own share of items; what lm-eval does around them by all of them.
    seconds_per_token: of generation, for a suite whose responses a judge rates, of which each has its full length. The judge is
    not timed, it may cost money.
    """
    item_counts = benchmark.items()
    num_items = sum(item_counts.values())
    if not isinstance(benchmark, LmEvalBenchmark):
        assert benchmark.suite.judge is not None
        tokens = 2 * num_items * benchmark.suite.judge.max_new_tokens
        return EvaluationEstimate(tokens * seconds_per_token, tokens, 6.0 * tokens, 0, num_items)

    limit = min(INITIAL_ITEMS, max(len(task.eval_docs) for row in benchmark.suite.task for task in benchmark.tasks(row).values()))
    while True:
        part = replace(benchmark, limit=min(limit, benchmark.limit or limit))
        options = (config.model.tokens_per_pass, config.evaluation.batch_size, lambda n: None)
        evaluate(policy, part, *options)  # builds the prompts
        with (
            _metered(policy, "loglikelihood", _scored_tokens) as scoring,
            _metered(policy, "generate_tokens", _written_tokens) as writing,
        ):
            began = time.perf_counter()
            result = evaluate(policy, part, *options)
            seconds = time.perf_counter() - began
        timed_counts = part.items()
        if seconds >= MIN_SECONDS or timed_counts == item_counts:
            break
        limit *= 4
    generating = {
        row.name for row in benchmark.suite.task for t in benchmark.tasks(row).values() if t.OUTPUT_TYPE == "generate_until"
    }

    def scale(rows: set[str]) -> float:
        return sum(item_counts[name] for name in rows) / max(1, sum(timed_counts[name] for name in rows))

    scale_all, scale_scoring, scale_writing = scale(set(item_counts)), scale(item_counts.keys() - generating), scale(generating)
    sample_bytes = sum(map(packed_size, result.samples.values()))
    return EvaluationEstimate(
        seconds=scoring.seconds * scale_scoring
        + writing.seconds * scale_writing
        + (seconds - scoring.seconds - writing.seconds) * scale_all,
        tokens=scoring.tokens * scale_scoring + writing.tokens * scale_writing,
        disk_bytes=sample_bytes * scale_all,
        timed_items=sum(timed_counts.values()),
        items=num_items,
    )
