"""A world is one module behind harness/world.py, a phase one class in a list: a toy world runs through the real loop."""

import math
import shutil

import pytest

from harness.config import load_config
from harness.discovery.variants import parse_variants
from harness.files import read_json, write_json
from harness.loop.costs import Cost
from harness.loop.phases.phase import Phase
from harness.loop.plan import PHASES, plan_phases
from harness.planning.cost_estimate import estimate_cost
from tests.conftest import read_csv_rows, run_cli_in_process
from tests.helpers.damage import events
from tests.helpers.toy_world import K

RECIPE = """
world = "tests.helpers.toy_world:World"
objectives = "space,spin"
iterations = 4
seeds = [0, 1]
training = {lr = 0.05, epochs = 1, batch_size = 100, optimizer = "adamw", micro_batch = 100}
evaluation = {suite = "./outcomes.toml"}
"""
SUITE = """
title = "Outcomes"
version = "1"
lm_eval = "0.4.13"
task = [{name = "modes", label = "modes", shots = 0, metric = "acc", chance = 0.5}]
"""


@pytest.fixture(scope="module")
def toy_run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("toy")
    (folder / "toy.toml").write_text(RECIPE)
    (folder / "outcomes.toml").write_text(SUITE)
    run_cli_in_process("run", "--recipe", "toy.toml", cwd=folder)
    return folder


def test_it_comes_to_a_report_and_both_objectives_learn_the_data(toy_run):
    """KL(data || policy) of a table that starts uniform: less than half of it is left after four iterations."""
    assert (toy_run / "reports" / "toy.pdf").read_bytes().startswith(b"%PDF")
    rows = read_csv_rows(toy_run / "results/toy/dynamics.csv")
    kl = {(r["objective"], r["seed"], r["iteration"]): float(r["value"]) for r in rows}
    assert all(kl[name, seed, "3"] < kl["initial", "", "-1"] / 2 for name in ("space", "spin") for seed in "01")
    assert {r["objective"] for r in read_csv_rows(toy_run / "results/toy/tables/leaderboard.csv")} == {"initial", "space", "spin"}


class Entropy(Phase):
    """A measurement that only the list of phases knows: the mean entropy of a checkpoint's outcomes, in nats."""

    kind, title, letter = "entropy", "spread", "h"
    measures_initial_policy, read_later = True, False

    @property
    def inputs(self):
        return {"player": self.context.weights_digest(self.iteration.checkpoint)}

    @property
    def progress(self):
        return "entropy", 1, "policies"

    def run(self, draft):
        p = self.context.policy.probabilities()
        write_json(draft.path / "entropy.json", {"nats": float(-(p * p.log()).sum(1).mean())})
        draft.advance(1)

    def cost(self, throughput, sizes):
        return Cost(count=1, seconds=2.0)


def test_a_phase_more_is_one_class_and_one_entry_in_the_list(toy_run, tmp_path):
    """In a finished run it is to do, run for the initial policy and every checkpoint, then reused, shared, planned and shown."""
    folder = shutil.copytree(toy_run, tmp_path / "toy")
    run, again = folder / "results/toy", ("run", "--recipe", "toy.toml")
    PHASES.append(Entropy)
    try:
        assert "p diagnostics, h spread; · not done: 16 phases" in run_cli_in_process("status", "toy", cwd=folder).stdout
        others = {path: path.read_bytes() for path in run.rglob("manifest.json")}
        done = run_cli_in_process(*again, cwd=folder)
        assert "plan: 17 phases to do" in done.stdout and "entropy, 1 policies in" in done.stderr
        nats = {p.parents[1].relative_to(run).as_posix(): read_json(p)["nats"] for p in run.rglob("entropy/entropy.json")}
        assert len(nats) == 17 and nats.pop("initial") == pytest.approx(math.log(K)) and max(nats.values()) < math.log(K)
        assert {path: path.read_bytes() for path in others} == others
        assert "none, complete" in run_cli_in_process("status", "toy", cwd=folder).stdout

        shutil.rmtree(run / "spin/seed-1/iteration-2/entropy")
        assert "not done: 1 phases" in run_cli_in_process("status", "toy", cwd=folder).stdout
        assert "plan: 1 phases to do" in run_cli_in_process(*again, cwd=folder).stdout
        assert (run / "spin/seed-1/iteration-2/entropy/manifest.json").is_file()
        assert "plan: 0 phases to do" in run_cli_in_process(*again, cwd=folder).stdout

        run_cli_in_process(*again, "--name", "other", "--set", "share=true", "--iters", "1", cwd=folder)
        assert ("taken over", "spin/seed-1/iteration-0/entropy") in events(folder / "results/other")

        config = load_config(str(folder / "toy.toml"))
        phases = [phase for phase in plan_phases(config, parse_variants("space,spin"), "outcomes") if phase.kind == "entropy"]
        assert estimate_cost(phases, None, None, 1).costs_by_kind["entropy"] == (17, Cost(count=17, seconds=34.0))
    finally:
        PHASES.remove(Entropy)
