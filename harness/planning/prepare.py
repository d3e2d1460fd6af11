"""From a validated configuration to a TrainingLoop: everything that can be wrong is found here, before training."""

from __future__ import annotations

import dataclasses
import gc
import sys
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from harness import __version__
from harness.discovery.copies import save_copy
from harness.discovery.variants import Variant
from harness.errors import UserError
from harness.files import write_json
from harness.loop.context import RunContext
from harness.loop.phase_runner import PhaseRunner
from harness.loop.phases.data import commit_data
from harness.loop.plan import plan_phases
from harness.loop.training_loop import TrainingLoop
from harness.loop.trials import Trial, initial_adapter_folder, training_settings
from harness.planning.disk import check_disk
from harness.planning.preflight import check_objectives
from harness.planning.remaining import remaining_phases
from harness.planning.request import RunRequest
from harness.planning.source_digests import source_digests
from harness.planning.unchanged import check_same_base, check_unchanged
from harness.progress import Reporter
from harness.progress.reporter import Line
from harness.security.redact import redact, redact_command
from harness.settings.paths import PACKAGE
from harness.sources.offline import go_offline
from harness.store.phase_cache import PhaseCache
from harness.store.provenance import PROGRAM, git_state, package_versions
from harness.store.run_folder import FORMAT_VERSION, RunFolder
from harness.store.small_files import drop_outdated
from harness.store.versions import version_warning
from harness.train.machine import hardware, manifest_hardware
from harness.world import load_world


def prepare_run(request: RunRequest, run: RunFolder, reporter: Reporter) -> TrainingLoop:
    """Load and check tasks, model and data, and open the run. The caller holds the run's lock.

    Raises UserError for anything the user should change; nothing is trained or overwritten then.
    """
    config, variants = request.config, request.variants
    run.show_line = reporter.show_line
    check_unchanged(run, config, variants)
    load_world(config.world).check(config)
    reporter.show_line(f"run {run.root}: loading model, tasks and data")
    planned = plan_phases(config, variants, request.suite.name)
    initial_adapters = [initial_adapter_folder(seed) for seed in config.seeds]
    run.verify_phases(["data", *initial_adapters, *(phase.folder for phase in planned)], config.recompute)
    for phase in drop_outdated(run.root):
        run.journal("taken out of the small files", phase=phase)
    to_do = remaining_phases(run.root, planned)
    loop = build_loop(
        request, run, reporter, ping_judge=any(phase.kind == "evaluate" for phase in to_do), rewrite_data=bool(to_do)
    )
    check_disk(run, to_do, loop.runner.context.policy)
    is_embedded = all(str(part).startswith("builtin:") for part in (config.data.source, config.model.path))
    for number, line in enumerate(preflight_notes(loop)):  # of data and a model that come with the program one line is enough
        reporter.send(Line(line, is_detail=is_embedded and number > 0 and not line.startswith("WARNING")))
    if (line := continued_run_warning(loop)) is not None:
        reporter.show_line(line)
        run.journal("other versions", said=line)
    loop.check_same_benchmark()  # before run.json records a suite or a judge that the scores do not come from
    run.write_record(run_record(request, run, loop))
    return loop


def build_loop(
    request: RunRequest,
    run: RunFolder,
    reporter: Reporter,
    ping_judge: bool = False,
    dry_run: bool = False,
    rewrite_data: bool = True,
) -> TrainingLoop:
    """The training loop of a run: model, tasks and data loaded and checked, the data committed. Every process has its own.

    ping_judge: check that the judge's endpoint answers; one process of a run does, where there is something to judge. dry_run:
    commit nothing; such a loop can be inspected and timed, not run. rewrite_data: write the data's folder again where only its
    small files are here; a run with nothing to do does not need it.
    """
    config, variants, mirror = request.config, request.variants, request.mirror
    if mirror is not None:
        go_offline()
    check_objectives(variants, config.iterations)
    world = load_world(config.world)
    benchmark = world.load_benchmark(config, request.suite, mirror)
    if not dry_run:
        benchmark.check_ready(ping_judge)
    base_commit = (run.record() or {}).get("base_commit")
    date = template_date(run)
    policy = world.load_policy(config, mirror, base_commit, date)
    check_same_base(run, config, policy.base_digest)
    checkpointing = any(training_settings(config, variant).gradient_checkpointing for variant in variants)
    world.check_policy(config, policy, benchmark, checkpointing)
    data = world.load_examples(config, policy, mirror)
    for variant in variants:
        if variant.examples is not None and variant.examples > len(data.train):
            raise UserError(
                f"{variant.label}: data.examples={variant.examples}, but {config.data.source} has {len(data.train)} pairs"
            )
    run.hardware, run.show_line = manifest_hardware(policy), reporter.show_line
    context = RunContext(config, benchmark.suite.name, run, world, policy, data, benchmark)
    runner = PhaseRunner(context, reporter, PhaseCache(run) if config.share else None)
    if not dry_run:
        commit_data(runner, date, rewrite_data)
    trials = [Trial(variant, seed) for variant in variants for seed in config.seeds]
    gc.collect()
    gc.freeze()  # tasks and data stay to the end, so later garbage collections skip them
    return TrainingLoop(trials, runner)


def preflight_notes(loop: TrainingLoop) -> Iterator[str]:
    """Lines for the user before training starts."""
    context = loop.runner.context
    yield from context.world.notes(context.policy, context.data)
    yield from context.benchmark.notices()


def template_date(run: RunFolder) -> datetime:
    """The date for chat templates that write one: when the run was started, else now.

    It is recorded with the data, and in run.json in case the data is gone.
    """
    data_manifest = run.manifest_of("data")
    recorded_date = data_manifest.settings.get("date") if data_manifest else (run.record() or {}).get("date")
    return datetime.fromisoformat(recorded_date) if recorded_date else datetime.now().replace(microsecond=0)


def run_record(request: RunRequest, run: RunFolder, loop: TrainingLoop) -> dict[str, Any]:
    """The content of run.json: resolved settings and options, variants with source digest and citation, hardware."""
    previous, redactors = run.record() or {}, {str: redact, list: redact_command}
    context = loop.runner.context
    config, policy, suite = request.config, context.policy, context.benchmark.suite
    variant_records = {v.label: describe_variant(v, config.iterations) for v in request.variants}
    for variant in request.variants:
        save_copy(run, variant, previous.get("variants", {}))
    return {
        "name": run.name,
        "format_version": FORMAT_VERSION,
        "created_by_version": previous.get("created_by_version", __version__),
        "begun": begun(previous),
        **git_state(PACKAGE),
        "command": redact_command(["harness", *sys.argv[1:]]),
        "passed": {key: redactors.get(type(value), lambda value: value)(value) for key, value in request.options.items()},
        "sources": {key: redact(source) for key, source in config.origins().items()},
        # As the run was begun with, where a path has changed since and leads to the same.
        "identity": config.identity() | previous.get("identity", {}),
        "config": config.recorded(),
        "source_digests": source_digests(config) | previous.get("source_digests", {}),
        "iterations": max(config.iterations, previous.get("iterations", 0)),
        "seeds": sorted({*config.seeds, *previous.get("seeds", [])}),
        "variants": {**previous.get("variants", {}), **variant_records},
        "suites": {**previous.get("suites", {}), suite.name: suite.model_dump(exclude={"source"})},
        "suite": suite.name,
        "hardware": hardware(policy),
        "base_digest": policy.base_digest,
        **context.world.record(policy),
        "date": data_manifest.settings.get("date") if (data_manifest := run.manifest_of("data")) else previous.get("date"),
        "versions": package_versions(),
        "study": dict(request.study) if request.study else previous.get("study"),
    }


def begun(previous: Mapping[str, Any]) -> str | None:
    """The UTC date on which the run was begun, YYYY-MM-DD: today of a new one; None where an earlier version did not record it.

    previous: the content of run.json so far, empty for a new run.
    """
    return previous.get("begun") if previous else datetime.now(UTC).date().isoformat()


def continued_run_warning(loop: TrainingLoop) -> str | None:
    """The line for a run continued with other libraries or on another machine than its finished phases.

    vLLM counts where the run samples with it. This program's release does not count: the version of its numbers does.
    """
    run, backend = loop.runner.context.run, loop.runner.context.config.generation.backend
    ignored = {PROGRAM} | ({"vllm"} - {backend})
    versions = {name: version for name, version in package_versions().items() if name not in ignored}
    return version_warning(run, versions | run.hardware)


def describe_variant(variant: Variant, iterations: int) -> dict[str, Any]:
    """run.json's entry of a variant: settings as given, and the resolved hyper-parameters of every iteration."""
    objectives = variant.objectives(iterations)
    first = objectives[0]
    return {
        "name": variant.name,
        "title": first.title,
        "citation": dataclasses.asdict(first.citation),
        "source_digest": variant.source_digest,
        "params": dict(variant.params),
        "training": dict(variant.training),
        "examples": variant.examples,
        **({"shown_as": variant.shown_as} if variant.shown_as else {}),
        "resolved": [dataclasses.asdict(o) for o in objectives],
        "needs": [dataclasses.asdict(o.needs) for o in objectives],
    }


def write_failed_trials(run: RunFolder, failed: Mapping[str, str]) -> None:
    """failed.json: the trials that failed in the last invocation, empty when none did."""
    if (run.root / "failed.json").is_dir():
        run.set_aside("failed.json", f"{run.root / 'failed.json'}: a folder, not a list of failed trials")
    write_json(run.root / "failed.json", {trial: redact(error) for trial, error in failed.items()})
