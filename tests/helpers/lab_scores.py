"""What the two starts of a lab score: of the shipped one, or of one that the build command made."""

import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from harness.config import LoraConfig, ModelConfig
from harness.language.benchmark.lm_eval_benchmark import evaluate, load_lm_eval_benchmark
from harness.language.model.loading import load_policy
from harness.loop.suite import load_suite
from tests.conftest import ROOT
from tests.helpers.peers import quiet

LAB = ROOT / "harness" / "lab"


@dataclass(frozen=True)
class Score:
    """Shares of 1. stderr: the topic being the cluster; constant: the share of items that get the commonest prediction."""

    value: float
    stderr: float
    chance: float
    items: int
    topics: int
    constant: float

    @property
    def errors_above_chance(self) -> float:
        return (self.value - self.chance) / self.stderr if self.stderr else float("inf")


def scores(model: Path, suite: str, tasks: Path = LAB / "tasks") -> dict[str, Score]:
    """Of the model in a folder on one of the lab's suites, whose items lie in `tasks`."""
    rows = load_suite(suite)
    benchmark = load_lm_eval_benchmark(rows.model_copy(update={"include_paths": [str(tasks)]}), None, None)
    policy = load_policy(ModelConfig(path=str(model)), LoraConfig(rank=4), "auto")
    done = evaluate(policy, benchmark, 2048, 200, quiet)
    chance = {row.name: row.chance for row in rows.task}
    found = {}
    for record in done.records:
        predictions, clusters = (done.items[record.task][name] for name in ("predictions", "clusters"))
        most = float(np.bincount(predictions).max() / len(predictions))
        found[record.task] = Score(record.value, record.stderr, chance[record.task], len(predictions), max(clusters) + 1, most)
    return found


def with_definitions(tasks: Path) -> Path:
    """A built lab's folder of items, with the package's task files beside them."""
    for path in (LAB / "tasks").iterdir():
        if path.suffix in (".yaml", ".py"):
            shutil.copy(path, tasks)
    return tasks
