"""(c) Multiple-choice evaluation at 0, 5 and 25 shots against lm-eval's own transformers model, same tasks, same scores."""

import itertools
import os
import tempfile
from functools import partial
from pathlib import Path
from unittest import mock

import torch

from harness.language.benchmark import lm
from harness.language.benchmark.lm_eval_benchmark import LmEvalBenchmark, evaluate, load_lm_eval_benchmark
from harness.loop.suite import load_suite
from tests.bench import lab
from tests.bench.measure import median, paired_ratio, report, time_alternating
from tests.helpers.peers import quiet
from tests.helpers.peers import theirs as hflm

TASKS = Path(__file__).parents[1] / "data" / "fewshot"
ITEMS = 80


def load_board(task: str, shots: int) -> LmEvalBenchmark:
    with tempfile.TemporaryDirectory() as folder:
        suite = Path(folder) / "few.toml"
        suite.write_text(
            f'title = "few-shot"\nversion = "1"\nlm_eval = "0.4.13"\ninclude_paths = ["{TASKS}"]\ninclude_defaults = false\n'
            f'[[task]]\nname = "{task}"\nlabel = "t"\nshots = {shots}\nmetric = "acc"\nfilter = "none"\nchance = 0.25\n'
        )
        return load_lm_eval_benchmark(load_suite(str(suite)), ITEMS, None)


def run(repeats: int, save: bool) -> None:
    _, policy, _ = lab.load()
    scores: dict[str, list[float]] = {}

    def play(who: str, as_lm: object, threads: int, board: LmEvalBenchmark) -> None:
        torch.set_num_threads(threads)
        with lab.silence_libraries(), mock.patch.object(lm, "as_lm", as_lm):
            scores[who] = [r.value for r in evaluate(policy, board, 2048, 64, quiet).records]

    rows, facts = [], {}
    for task, shots in itertools.product(("fixed_shots", "drawn_shots"), (0, 5, 25)):
        board = load_board(task, shots)
        given = {"harness": (lm.as_lm, 1), "HFLM": (hflm, os.cpu_count() or 1)}
        found = time_alternating({who: partial(play, who, *how, board) for who, how in given.items()}, repeats)
        assert scores["harness"] == scores["HFLM"]
        faster = paired_ratio(found["HFLM"], found["harness"])
        shared = "the same" if task == "fixed_shots" else "drawn anew"
        rows.append([f"{shots} shots, {shared}", *(f"{median(seconds):.3f}" for seconds in found.values()), faster["median"]])
        facts[f"{task} {shots}"] = {"seconds": found, "ratio": faster}
    report(
        "choices", f"{ITEMS} questions of 3 or 4 choices, seconds, median of {repeats}; scores equal",
        ["few-shot prompt", "harness", "HFLM", "ratio"], rows, {"repeats": repeats, "items": ITEMS, **facts}, save,
    )  # fmt: skip
