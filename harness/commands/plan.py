"""The plan and cost estimate of a run: phases, tokens, time, disk, memory, smallest detectable difference."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rich.table import Table

from harness.commands.console import console, echo
from harness.config import RunConfig
from harness.store.run_folder import RunFolder

MAX_LISTED = 50


@dataclass(frozen=True)
class Plan:
    """All phases of a run in their order, and those that are not finished."""

    phases: list[Phase]
    to_do: list[Phase]

    @property
    def done(self) -> list[Phase]:
        to_do = {phase.folder for phase in self.to_do}
        return [phase for phase in self.phases if phase.folder not in to_do]


if TYPE_CHECKING:
    from harness.loop.benchmark import Benchmark
    from harness.loop.costs import Throughput
    from harness.loop.phases.phase import Phase
    from harness.planning.cost_estimate import CostEstimate
    from harness.planning.request import RunRequest


def print_request(request: RunRequest, run: RunFolder) -> None:
    """Print what is asked for, as far as it is known before torch is loaded."""
    config, variants, suite = request.config, request.variants, request.suite
    echo(
        f"run {run.root}: {_format_list([v.shown_as or v.label for v in variants])}; seed{'s' * (len(config.seeds) != 1)} "
        f"{_format_list(config.seeds)}; {_count(config.iterations, 'iteration')}; suite {suite.name} v{suite.version} "
        f"({_count(len(suite.task), 'task')})"
    )
    if unaveraged_tasks := suite.unaveraged_tasks():
        echo(f"beside the mean over tasks, each in its own unit: {'; '.join(unaveraged_tasks.values())}")
    if "torch" not in sys.modules:
        echo("loading torch and the objectives")


def find_plan(request: RunRequest, run: RunFolder) -> Plan:
    """The phases of a run, and those that are still to do."""
    from harness.loop.plan import plan_phases
    from harness.planning.remaining import remaining_phases

    phases = plan_phases(request.config, request.variants, request.suite.name)
    return Plan(phases, remaining_phases(run.root, phases, ignore_damaged=request.config.recompute))


def print_plan(plan: Plan, pdf: Path) -> None:
    """Print what will be done, what is there already, and where the answer will be."""
    echo(f"plan: {len(plan.to_do)} phases to do, {len(plan.done)} to reuse; report: {pdf}")


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'s' * (number != 1)}"


def _format_list(items: Sequence[object]) -> str:
    """The items, or the first ones and the total of a long list."""
    listed_text = ", ".join(map(str, items[:MAX_LISTED]))
    return listed_text if len(items) <= MAX_LISTED else f"{listed_text}, … ({len(items):,} in all)"


def print_cost_estimate(request: RunRequest, run: RunFolder, to_do: Sequence[Phase], num_workers: int) -> None:
    """Load everything as the run would, time a small part of each kind of phase, and print what the phases to do will cost.

    Raises UserError for whatever would stop the run before training. Writes nothing.
    """
    from harness.loop.costs import Sizes
    from harness.planning.cost_estimate import estimate_cost
    from harness.planning.prepare import build_loop, continued_run_warning, preflight_notes
    from harness.progress import Reporter

    config = request.config
    loop = build_loop(request, run, Reporter(), dry_run=True)
    context = loop.runner.context
    if to_do:
        throughput = context.world.measure_throughput(context, request.variants)
        sizes = Sizes(len(context.data.train), min(config.probe.prompts, len(context.data.heldout)), config.training.batch_size)
        # on a CPU one trial already keeps every core busy
        num_parallel = num_workers if context.policy.device.type == "cuda" else 1
        _print_cost_table(estimate_cost(to_do, throughput, sizes, num_parallel))
        _print_cost_basis(config, throughput, str(context.policy.device), num_workers)
    echo("")
    print_power(config, context.benchmark)
    echo("")
    for line in preflight_notes(loop):
        echo(line)
    if (line := continued_run_warning(loop)) is not None:
        echo(line)


def _print_cost_table(cost_estimate: CostEstimate) -> None:
    from harness.loop.plan import PHASES

    table = Table(title="cost estimate of what is to do", title_justify="left", box=None, pad_edge=False)
    table.add_column("phase")
    for column in ("to do", "prompts or items", "tokens", "time in one process", "disk"):
        table.add_column(column, justify="right")
    titles = {phase.kind: phase.title or phase.kind for phase in PHASES}
    for kind, (count, cost) in cost_estimate.costs_by_kind.items():
        if count:
            amounts = (f"{cost.count:,.0f}", f"{cost.tokens:,.0f}", format_seconds(cost.seconds), format_bytes(cost.disk_bytes))
            table.add_row(titles[kind], str(count), *amounts)
    total, num_phases = cost_estimate.total, sum(count for count, _ in cost_estimate.costs_by_kind.values())
    table.add_row(
        "all", str(num_phases), "", f"{total.tokens:,.0f}", format_seconds(total.seconds), format_bytes(total.disk_bytes)
    )
    echo("")
    console.print(table)
    echo(f"\ntime from start to end: about {format_seconds(cost_estimate.wall_seconds)}, without loading and the report")


def _print_cost_basis(config: RunConfig, throughput: Throughput, device: str, num_workers: int) -> None:
    """Print where the estimate comes from and what it leaves out."""
    num_responses, backend = throughput.generation.count, config.generation.backend
    echo(
        f"from: a throughput measurement of {format_seconds(throughput.measuring_seconds)} on {device}: "
        f"{num_responses} responses of the initial policy, "
        f"{throughput.generated_tokens:.1f} ± {throughput.generated_tokens_stderr:.1f} tokens (s.e.), "
        f"{100 * throughput.truncated_fraction:.0f} % cut off at "
        f"{config.generation.max_new_tokens}; optimizer steps of every objective; "
        f"{throughput.evaluation.timed_items} of {throughput.evaluation.items} items of the leaderboard. "
        "Later checkpoints may write longer or shorter responses."
        + ("" if throughput.evaluation.timed_items else " Answers are assumed to have full length; the judge's time is unknown.")
        + (f" Generation was timed with transformers, not {backend}." if backend != "transformers" else "")
    )
    memory = f"{format_bytes(throughput.peak_process_bytes)} per process"
    if throughput.peak_device_bytes is not None:
        memory = f"{format_bytes(throughput.peak_device_bytes)} on the device, {memory}"
    echo(
        f"peak memory in it: {memory}, {num_workers} trial(s) at once (--jobs); micro-batch {config.training.micro_batch}, "
        f"{config.model.tokens_per_pass} tokens per pass, {config.generation.batch_size} responses at once"
    )


def format_seconds(seconds: float) -> str:
    """Seconds, minutes or hours, whichever reads best."""
    if seconds < 99.5:
        return f"{seconds:.1f} s" if seconds < 9.95 else f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5970 else f"{seconds / 3600:.1f} h"


def format_bytes(num_bytes: float) -> str:
    """Bytes in the unit that reads best."""
    for unit in ("kB", "MB", "GB"):
        num_bytes /= 1000
        if num_bytes < 999.5 or unit == "GB":
            return f"{num_bytes:.1f} {unit}" if num_bytes < 9.95 else f"{num_bytes:,.0f} {unit}"
    raise AssertionError


def print_power(config: RunConfig, benchmark: Benchmark) -> None:
    """Print the smallest difference that this plan can show, from the number of items per task alone."""
    from harness.analysis.clusters import effective_sample_size
    from harness.analysis.stats import MIN_SEEDS_FOR_INTERVAL, minimum_detectable_effect

    items = {name: count for name, count in benchmark.items().items() if name not in benchmark.suite.unaveraged_tasks()}
    if not items:
        return  # nothing is averaged over tasks
    effective_counts = {
        name: round(effective_sample_size(clusters)) for name, clusters in benchmark.clusters().items() if name in items
    }
    is_clustered = any(count < items[name] for name, count in effective_counts.items())
    counts = [effective_counts.get(name, count) for name, count in items.items()]
    # the variance of one item's difference: right or wrong on a share of the items, or ratings that differ by so many tenths
    has_judge = benchmark.suite.judge is not None
    min_points, max_points = (
        100 * minimum_detectable_effect(counts, variance) for variance in ((0.1**2, 0.2**2) if has_judge else (0.1, 0.3))
    )
    min_assumption, max_assumption = (
        ("their ratings of a question differ with a standard deviation of 1 point of 10", "2 points")
        if has_judge
        else ("they disagree on 10 % of the items", "30 %")
    )
    echo(
        f"power: {sum(items.values())} items in {len(counts)} tasks; two checkpoints on the same items must "
        f"differ by {min_points:.1f} points in the mean over tasks (if {min_assumption}) to {max_points:.1f} points "
        f"({max_assumption}) to be told apart with 80 % power at the 5 % level"
        + ("; items of a cluster are assumed to be answered alike" if is_clustered else "")
    )
    num_seeds = len(config.seeds)
    echo(
        f"power: that is the error of sampling items; the spread of training over {num_seeds} seed(s) adds to it"
        + (
            ""
            if num_seeds >= MIN_SEEDS_FOR_INTERVAL
            else f" and cannot be seen below {MIN_SEEDS_FOR_INTERVAL} seeds (--seeds 0,1,2)"
        )
    )
