"""The bill before a run: hand-worked sums from a plan and a calibration, and counts that the run then has to the token."""

import json

import pytest

from harness.analysis.stats import minimum_detectable_effect
from harness.commands.plan import format_bytes, format_seconds
from harness.config import load_config
from harness.discovery.variants import parse_variants
from harness.language.throughput import EvaluationEstimate, Throughput, Timing, training_cost_key
from harness.loop.costs import Sizes
from harness.loop.phases.score import responses_to_score
from harness.loop.plan import plan_phases
from harness.planning.cost_estimate import estimate_cost
from objectives import Needs
from tests.conftest import SMALL_RECIPE, run_cli_in_process

MEASURED = Throughput(
    prompt_tokens=10.0, real_tokens=20.0, generated_tokens=30.0, generated_tokens_stderr=1.0, truncated_fraction=0.0,
    generation=Timing(100, 50.0), cached_logp_agrees=False, evaluation=EvaluationEstimate(7.0, 1000.0, 5000.0, 4, 40),
    initial_diagnostics_seconds=1.0, later_diagnostics_seconds=3.0, sample_bytes=200.0, adapter_bytes=1_000_000,
    training={("spin", 0): Timing(10, 2.0), ("spin", 1): Timing(10, 4.0), **{("sft", t): Timing(10, 1.0) for t in (0, 1)}},
    scoring={1: Timing(10, 1.0), 2: Timing(10, 2.0), 3: Timing(10, 3.0)},
)  # fmt: skip


def of(objectives, **changes):
    settings = ["training.epochs=[1,2]", *changes.pop("settings", ())]
    config = load_config("lab", settings, {"objectives": objectives, **changes})
    return plan_phases(config, parse_variants(config.objectives), "s")


def test_spin_over_three_iterations_by_hand():
    """50 pairs, history 1. Drawn: 50 at the start, 50 + 50 later. Scored, nothing known: all 50 real at the start, then 50 x 2,
    50 x 3 twice. Trained: 50 x 1, then 100 x 2 twice, each prompt with 2 responses."""
    found = estimate_cost(of("spin", iterations=3), MEASURED, Sizes(50, 8, 16), num_parallel=1).costs_by_kind
    assert [count for count, _ in found.values()] == [4, 4, 3, 4, 4], "generate, score, train, evaluate, probe"
    generate, score, train, evaluate, probe = (cost for _, cost in found.values())
    assert (generate.count, generate.tokens, generate.seconds) == (150, 150 * 40, 75.0)
    assert score.seconds == pytest.approx(5 + 10 + 15 + 15)
    assert score.tokens == 50 * (10 + 20) + 50 * (10 + 20 + 30) + 2 * 50 * (10 + 20 + 60)
    assert (train.count, train.tokens) == (50 + 200 + 200, 450 * (20 + 20 + 30))
    assert train.seconds == pytest.approx(50 * 0.2 + 400 * 0.4)
    assert (evaluate.seconds, evaluate.count, evaluate.tokens) == (28.0, 160, 4000.0)
    assert probe.seconds == 1.0 + 3 * 3.0


def test_known_log_probabilities_are_not_scored_again():
    assert [responses_to_score(Needs(True, 1, 0, 1), t, True) for t in range(3)] == [0, 2, 2]
    assert [responses_to_score(Needs(True, 1, 0, 1), t, False) for t in range(3)] == [2, 3, 3]
    assert [responses_to_score(Needs(True, 3, 1, 0), t, True) for t in range(2)] == [0, 2]


def test_an_objective_is_timed_once_for_all_learning_rates_and_lengths():
    """A grid of five rates would measure for five times as long and know no more."""
    config = load_config("lab")
    same = "spin", "spin:training.lr=1e-3", "spin:training.epochs=4"
    others = "spin:beta=0.5", "spin:training.batch_size=8", "space"
    keys = {text: training_cost_key(config, parse_variants(text)[0], 0) for text in (*same, *others)}
    assert len({keys[text] for text in same}) == 1
    assert len(set(keys.values())) == 1 + len(others)


def test_shared_phases_are_planned_once_and_first():
    folders = [phase.folder for phase in of("spin,space", iterations=1, seeds=[0, 1])]
    assert len(set(folders)) == len(folders)
    assert folders[:4] == ["initial/evaluate/s", "initial/probe", "initial/seed-0/generate/k-0", "initial/score"]
    assert sum(folder.startswith("initial/seed-1") for folder in folders) == 1


def test_wall_time_shares_cells_among_processes_but_never_below_the_longest_cell():
    phases = of("sft,spin", iterations=1)
    alone, two, many = (estimate_cost(phases, MEASURED, Sizes(50, 8, 16), n).wall_seconds for n in (1, 2, 9))
    shared = 7.0 + 1.0 + 25.0 + 5.0
    sft, spin = 50 * 0.1 + 7.0 + 3.0, 10.0 + 50 * 0.2 + 7.0 + 3.0
    assert alone == pytest.approx(shared + sft + spin)
    assert two == many == pytest.approx(shared + spin)


def test_a_variant_with_fewer_examples_is_billed_for_those(tmp_path):
    config = load_config("lab", ["training.epochs=1"], {"objectives": "sft:data.examples=20", "iterations": 1})
    variants = parse_variants(config.objectives)
    measured = Throughput(**{**vars(MEASURED), "training": {(variants[0].label, 0): Timing(10, 1.0)}})
    cost = estimate_cost(plan_phases(config, variants, "s"), measured, Sizes(50, 8, 16), 1).costs_by_kind["train"][1]
    assert (cost.count, cost.tokens) == (20, 20 * (10 + 20))
    assert cost.disk_bytes == 1_000_000 + 2 * 450 + 20 * 20


def test_times_and_sizes_are_spelled_in_the_unit_that_reads_best():
    times = {0.04: "0.0 s", 9.9: "9.9 s", 99: "99 s", 100: "2 min", 5900: "98 min", 7200: "2.0 h"}
    assert {seconds: format_seconds(seconds) for seconds in times} == times
    sizes = {450: "0.5 kB", 2_500_000: "2.5 MB", 40_000_000: "40 MB", 2e13: "20,000 GB"}
    assert {size: format_bytes(size) for size in sizes} == sizes


def test_what_is_billed_is_what_the_run_then_counts(tmp_path):
    """SFT's tokens are known beforehand, to the last one; what is finished is not billed; nothing is written."""

    def table_row(printed, kind):
        (line,) = [x for x in printed.splitlines() if x.startswith(kind)]
        return line.split()

    ask = ("run", "--recipe", SMALL_RECIPE, "--objectives", "sft", "--name", "b")
    said = run_cli_in_process(*ask, "--dry-run", cwd=tmp_path).stdout
    assert not (tmp_path / "results").exists()
    few, many = (100 * minimum_detectable_effect([4, 6], share) for share in (0.1, 0.3))
    power = ("power: 10 items in 2 tasks", f"must differ by {few:.1f} points", f"to {many:.1f} points (30 %)", "below 3 seeds")
    for expected in ("data: ", "left out: ", "peak memory", *power, "from: a throughput measurement of"):
        assert expected in said
    run_cli_in_process(*ask, cwd=tmp_path)
    run = tmp_path / "results/b"
    manifests = [json.loads((run / f"sft/seed-0/iteration-{t}/train/manifest.json").read_text()) for t in range(2)]
    assert table_row(said, "train")[1:4] == ["2", "24", f"{sum(m['counts']['tokens'] for m in manifests):,}"]
    again = run_cli_in_process(*ask, "--iters", "3", "--dry-run", cwd=tmp_path).stdout
    assert [table_row(again, kind)[1] for kind in ("train", "evaluate", "diagnostics", "all")] == ["1", "1", "1", "3"]
