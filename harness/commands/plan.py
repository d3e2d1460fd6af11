"""What a run will do and cost, said before anything is spent: phases, tokens, time, disk, memory, smallest difference."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.table import Table

from harness.commands.console import out, say
from harness.config import RunConfig
from harness.store.run_folder import RunFolder

MOST_LISTED = 50

if TYPE_CHECKING:
    from harness.discovery.variants import Variant
    from harness.loop.benchmark import Benchmark
    from harness.loop.plan import Phase
    from harness.loop.suite import Suite
    from harness.planning.cost_estimate import Bill
    from harness.planning.throughput import Calibration


def print_plan(config: RunConfig, run: RunFolder, variants: Sequence[Variant], suite: Suite) -> list[Phase]:
    """What will be done and what is there already, said; returns the phases that are to do."""
    from harness.loop.plan import planned_phases
    from harness.planning.remaining import remaining

    phases = planned_phases(config, variants, suite.name)
    to_do = remaining(run.root, phases, forgiving=config.recompute)
    per_prompt = sum(phase.drawn for phase in phases)
    examples = config.data.max_examples
    say(
        f"run {run.root}: {_listed([v.label for v in variants])}; seeds {_listed(config.seeds)}; "
        f"{config.iterations} iterations; suite {suite.name} v{suite.version} ({len(suite.task)} tasks)"
    )
    if beside := suite.beside():
        say(f"beside the mean over tasks, each in its own unit: {'; '.join(beside.values())}")
    say(
        f"plan: {len(to_do)} phases to do, {len(phases) - len(to_do)} to reuse; "
        f"{per_prompt} synthetic responses per prompt in all" + (f", {examples} prompts at most" if examples else "")
    )
    return to_do


def _listed(items: Sequence[object]) -> str:
    """All of them, or the first and the number of a list that nobody reads."""
    few = ", ".join(map(str, items[:MOST_LISTED]))
    return few if len(items) <= MOST_LISTED else f"{few}, … ({len(items):,} in all)"


def print_bill(config: RunConfig, run: RunFolder, variants: Sequence[Variant], to_do: Sequence[Phase], at_once: int) -> None:
    """Load everything as the run would, try a little of each kind of phase, and say what the phases that are to do will cost.

    Raises UserError for whatever would stop the run before training. Writes nothing.
    """
    from harness.planning.cost_estimate import Sizes, bill
    from harness.planning.prepare import assemble, differing_versions, preflight_notes, refuse_changes
    from harness.progress import Reporter

    refuse_changes(run, config, variants)
    game = assemble(config, run, Reporter(), dry=True)
    rounds = game.rounds
    for line in preflight_notes(game):
        say(line)
    if (line := differing_versions(game)) is not None:
        say(line)
    print_power(config, rounds.board)
    if not to_do:
        return
    measured = rounds.world.measure_throughput(rounds, variants)
    sizes = Sizes(len(rounds.data.train), min(config.probe.prompts, len(rounds.data.heldout)), config.training.batch_size)
    parallel = at_once if rounds.policy.device.type == "cuda" else 1  # on a CPU one cell already keeps every core busy
    _table(bill(to_do, measured, sizes, parallel), measured)
    _explain(config, measured, str(rounds.policy.device), at_once)


def _table(found: Bill, measured: Calibration) -> None:
    table = Table(title="the bill of what is to do", title_justify="left", box=None, pad_edge=False)
    table.add_column("phase")
    for column in ("to do", "prompts or items", "tokens", "time in one process", "disk"):
        table.add_column(column, justify="right")
    for kind, (count, cost) in found.lines.items():
        if count:
            table.add_row(kind, str(count), f"{cost.count:,.0f}", f"{cost.tokens:,.0f}", spell(cost.seconds), size(cost.kept))
    total, phases = found.total, sum(count for count, _ in found.lines.values())
    table.add_row("all", str(phases), "", f"{total.tokens:,.0f}", spell(total.seconds), size(total.kept))
    out.print(table)
    say(f"time from start to end: about {spell(found.wall_seconds)} beside loading and the report")


def _explain(config: RunConfig, measured: Calibration, device: str, at_once: int) -> None:
    """Where the numbers come from, and what they leave out."""
    drawn = measured.draw.count
    say(
        f"from: a calibration of {spell(measured.seconds)} on {device}: {drawn} responses of the initial policy, "
        f"{measured.drawn_tokens:.1f} ± {measured.drawn_stderr:.1f} tokens (s.e.), {100 * measured.truncated:.0f} % cut off at "
        f"{config.generation.max_new_tokens}; optimizer steps of every objective; "
        f"{measured.evaluation.tried} of {measured.evaluation.items} items of the leaderboard. "
        "Later players may write longer or shorter."
        + ("" if measured.evaluation.tried else " Answers for the judge are taken at full length; its own time is not known.")
        + (" Drawing was tried by transformers, not by vLLM." if config.generation.backend == "vllm" else "")
    )
    memory = f"{size(measured.process_bytes)} per process"
    if measured.device_bytes is not None:
        memory = f"{size(measured.device_bytes)} on the device, {memory}"
    say(
        f"peak memory in it: {memory}, {at_once} cell(s) at once (--jobs); micro-batch {config.training.micro_batch}, "
        f"{config.model.tokens_per_pass} tokens per pass, {config.generation.batch_size} responses at once"
    )


def spell(seconds: float) -> str:
    """Seconds, minutes or hours, whichever reads best."""
    if seconds < 99.5:
        return f"{seconds:.1f} s" if seconds < 9.95 else f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5970 else f"{seconds / 3600:.1f} h"


def size(count: float) -> str:
    """Bytes in the unit that reads best."""
    for unit in ("kB", "MB", "GB"):
        count /= 1000
        if count < 999.5 or unit == "GB":
            return f"{count:.1f} {unit}" if count < 9.95 else f"{count:,.0f} {unit}"
    raise AssertionError


def print_power(config: RunConfig, board: Benchmark) -> None:
    """The smallest difference this plan can hope to show, from the number of items per task alone."""
    from harness.analysis.clusters import effective_items
    from harness.analysis.stats import SEEDS_FOR_INTERVAL, detectable_difference

    items = {name: count for name, count in board.items().items() if name not in board.suite.beside()}
    if not items:
        return  # nothing is averaged over tasks
    shared = {name: round(effective_items(found)) for name, found in board.clusters().items() if name in items}
    counts = [shared.get(name, count) for name, count in items.items()]
    # the variance of one item's difference: right or wrong on a share of the items, or ratings that differ by so many tenths
    judged = board.suite.judge is not None
    few, many = (100 * detectable_difference(counts, variance) for variance in ((0.1**2, 0.2**2) if judged else (0.1, 0.3)))
    small, large = (
        ("their ratings of a question differ with a standard deviation of 1 point of 10", "2 points")
        if judged
        else ("they disagree on 10 % of the items", "30 %")
    )
    say(
        f"power: {sum(items.values())} items in {len(counts)} tasks; two players on the same items must differ by {few:.1f} "
        f"points in the mean over tasks (if {small}) to {many:.1f} points ({large}) "
        "to be told apart with 80 % power at the 5 % level"
        + ("; items of one cluster taken to be answered alike" if any(shared[n] < items[n] for n in shared) else "")
    )
    seeds = len(config.seeds)
    say(
        f"power: that is the error of sampling items; the spread of training over {seeds} seed(s) comes on top"
        + ("" if seeds >= SEEDS_FOR_INTERVAL else f" and cannot be seen below {SEEDS_FOR_INTERVAL} seeds (--seeds 0,1,2)")
    )
