"""Every task of the lab says something, at both shipped starts; the slow test holds what fine-tuning lifts over five seeds."""

from functools import cache

import numpy as np
import pytest

from harness.config import LoraConfig, ModelConfig
from harness.language.benchmark.lm_eval_benchmark import evaluate, load_lm_eval_benchmark
from harness.language.model.loading import load_policy
from harness.loop.suite import load_suite
from tests.conftest import read_csv_rows, run_cli_in_process
from tests.helpers.peers import quiet

LIFTED = 9  # tasks of ten


@cache
def scored(start, suite):
    """{task: (score, clustered standard error, chance, predictions, clusters)} of a shipped start, all items."""
    loaded = load_suite(suite)
    policy = load_policy(ModelConfig(path=f"builtin:lab/{start}"), LoraConfig(rank=4), "auto")
    done = evaluate(policy, load_lm_eval_benchmark(loaded, None, None), 2048, 200, quiet)
    chance = {row.name: row.chance for row in loaded.task}
    return {
        r.task: (r.value, r.stderr, chance[r.task], done.items[r.task]["predictions"], done.items[r.task]["clusters"])
        for r in done.records
    }


def test_in_the_base_every_task_is_above_chance_below_85_percent_and_not_constant():
    """At least three standard errors above chance, the topic being the cluster; 400 items over at least 25 topics."""
    rows = scored("base", "lab-ten")
    assert len(rows) == 10
    for task, (value, stderr, chance, predictions, clusters) in rows.items():
        assert len(predictions) == 400 and max(clusters) + 1 >= 25, task
        assert value - chance >= 3 * stderr, f"{task}: {value:.3f}, chance {chance}, standard error {stderr:.3f}"
        assert value < 0.85, f"{task}: {value:.3f}"
        assert max(np.bincount(predictions)) < 0.95 * len(predictions), task


def test_the_base_is_able_to_do_every_task_when_it_is_asked_of_the_careful_source():
    rows = scored("base", "lab-sources")
    for task in scored("base", "lab-ten"):
        careful, careless = rows[f"{task}_almanac"][0], rows[f"{task}_tavern"][0]
        assert careful >= 0.85, f"{task}: {careful:.3f}"
        assert careless <= 0.35, f"{task}: {careless:.3f}"


def test_the_fine_tuned_start_leaves_room():
    """The mean at most 85 %, no more than three tasks above 90 %."""
    values = [value for value, *_ in scored("sft", "lab-ten").values()]
    assert np.mean(values) <= 0.85
    assert sum(value > 0.9 for value in values) <= 3


@pytest.mark.slow
@pytest.mark.parametrize(("recipe", "lifted"), [("lab", LIFTED), ("lab-from-sft", 1)])
def test_fine_tuning_on_the_pairs_lifts_the_tasks_over_five_seeds(tmp_path, recipe, lifted):
    """SFT, last iteration against the start: so many tasks by two standard errors of the paired difference.

    The difference of an item is the mean over the seeds; the error is that of its clusters together with that of the seeds, as
    comparisons.csv has it.
    """
    command = ("--recipe", recipe, "--objectives", "sft", "--iters", "5", "--seeds", "0,1,2,3,4", "--jobs", "2")
    run_cli_in_process("run", *command, "--name", "sft", cwd=tmp_path)
    pairs = [row for row in read_csv_rows(tmp_path / "results/sft/tables/comparisons.csv") if row["b"] == "initial"]
    up = {row["task"]: float(row["low"]) > 0 for row in pairs}
    assert len(up) >= 10
    assert sum(up[task] for task in scored("base", "lab-ten")) >= lifted
