"""The world of text: a causal language model from transformers, responses as token ids, lm-eval or a judge as benchmark.

Methods import what they need themselves: torch, transformers and lm-eval take seconds to load, and a wrong setting is found
without them. Read next: `policy.py` (the model with its adapter), `data/dataset.py` (rows -> examples),
`benchmark/lm_eval_benchmark.py`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from harness.config import EvaluationConfig, RunConfig
from harness.discovery.variants import Variant
from harness.language.data.dataset import TextDataset, load_examples
from harness.language.local_sources import check_local_sources
from harness.language.records import Example, Sample
from harness.language.text.templates import writes_date
from harness.loop.benchmark import Benchmark
from harness.loop.context import RunContext
from harness.loop.costs import Throughput
from harness.loop.suite import Suite
from harness.progress import Advance
from harness.settings.plugins import load_plugin
from harness.store.partial_results import PartialResults
from harness.world import Dataset, Diagnostics, EarlierCheckpoint, Generated, SampleRequest

if TYPE_CHECKING:
    from harness.language.phases.generate import Backend
    from harness.language.policy import Policy


class LoadBenchmark(Protocol):
    """Loads a suite's questions. Raises UserError for what the user should change."""

    def __call__(self, suite: Suite, evaluation: EvaluationConfig, mirror: Path | None) -> Benchmark: ...


def _backend(config: RunConfig) -> type[Backend]:
    return load_plugin("backend", config.generation.backend, "generation.backend")


class World:
    """See `harness.world.World`."""

    example_type, sample_type = Example, Sample

    def check_sources(self, config: RunConfig, mirror: Path | None) -> None:
        check_local_sources(config, mirror)

    def check(self, config: RunConfig) -> None:
        from harness.language.model.loading import check_device  # torch
        from harness.language.phases.diagnostics import find_distribution  # torch

        check_device(config.model.device)
        _backend(config).check(config)
        find_distribution(config.data.distribution)

    def load_benchmark(self, config: RunConfig, suite: Suite, mirror: Path | None) -> Benchmark:
        """lm-eval's tasks, or a judge's questions."""
        if suite.judge is not None:
            load: LoadBenchmark = load_plugin("benchmark", "judge", f"suite {suite.name}")
            return load(suite, config.evaluation, mirror)
        from harness.language.benchmark.lm_eval_benchmark import load_lm_eval_benchmark  # lm-eval

        return load_lm_eval_benchmark(suite, config.evaluation.limit, mirror, config.evaluation.allow_unsafe_code)

    def load_policy(self, config: RunConfig, mirror: Path | None, commit: str | None, date: datetime) -> Policy:
        from harness.language.model.loading import load_policy  # transformers

        data = config.data
        return load_policy(config.model, config.lora, data.template, mirror, commit, data.template_arguments, date)

    def check_policy(self, config: RunConfig, policy: Policy, benchmark: Benchmark, checkpointing: bool) -> None:
        from harness.language.checks import check_gradient_checkpointing, check_suite_template, set_generation_template  # torch

        check_suite_template(policy, benchmark.suite, config)
        benchmark.check_context(policy)
        check_gradient_checkpointing(policy, config, checkpointing)
        set_generation_template(policy, config)

    def load_examples(self, config: RunConfig, policy: Policy, mirror: Path | None) -> TextDataset:
        from harness.language.checks import check_generation_template  # torch
        from harness.language.phases.diagnostics import find_distribution  # torch

        distribution = find_distribution(config.data.distribution)
        data = load_examples(config.data, policy.tokenizer, policy.template, policy.context_length, mirror)
        if distribution is not None:
            for example in data.heldout[: config.probe.prompts]:
                distribution.log_prob(example.prompt, example.real)
        check_generation_template(policy, data)
        return data

    def data_settings(self, policy: Policy, date: datetime) -> dict[str, Any]:
        """The date, where the chat template writes it."""
        return {"date": date.isoformat()} if writes_date(policy.tokenizer, policy.template.arguments) else {}

    def notes(self, policy: Policy, data: Dataset) -> Iterator[str]:
        from harness.language.checks import preflight_notes  # torch

        assert isinstance(data, TextDataset)
        yield from preflight_notes(data, policy)

    def record(self, policy: Policy) -> dict[str, Any]:
        return {"base_commit": policy.commit, "template": policy.template.kind}

    def generate(
        self, policy: Policy, config: RunConfig, request: SampleRequest, advance: Advance, partial_results: PartialResults
    ) -> Generated:
        """By the run's back end; with the samples, how well their first ids alone distinguish them from real responses."""
        from harness.language.phases.generate import generate, sample_counts  # torch
        from harness.language.text.first_ids import first_id_rows  # numpy

        sampler = _backend(config)(policy, config, request.checkpoint)
        what = (request.examples, request.indices, request.iteration)
        samples = generate(sampler, *what, config.generation, request.seed, advance, partial_results)
        first_ids = first_id_rows(policy.encoder, policy.tokenizer, request.examples, samples, (request.folder,))
        counts = {**sample_counts(samples), **sampler.engine_record}
        return Generated(samples, counts, {"first_ids.json": {"first_ids": first_ids}})

    def diagnose(
        self,
        policy: Policy,
        config: RunConfig,
        examples: Sequence[Any],
        earlier: Mapping[str, EarlierCheckpoint],
        advance: Advance,
    ) -> Diagnostics:
        from harness.language.phases.diagnostics import diagnostics_settings, find_distribution, run_diagnostics  # torch

        settings, distribution = diagnostics_settings(config), find_distribution(config.data.distribution)
        return run_diagnostics(policy, examples, settings, config.model.tokens_per_pass, distribution, advance, earlier)

    def measure_throughput(self, context: RunContext, variants: Sequence[Variant]) -> Throughput:
        from harness.language.throughput import measure_throughput  # a dry run alone needs it

        return measure_throughput(context, variants)
