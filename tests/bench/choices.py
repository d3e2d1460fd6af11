"""(c) Multiple-choice evaluation at 0, 5 and 25 shots against lm-eval's own transformers model, same tasks, same scores."""

import os
import tempfile
from pathlib import Path

import torch

import harness.language.benchmark.lm
from harness.language.benchmark.lm_eval_benchmark import evaluate, load_lm_eval_benchmark
from harness.loop.benchmark import EvalResult
from harness.loop.suite import load_suite
from tests.bench import lab
from tests.bench.measure import median, paired_ratio, report, time_alternating
from tests.helpers.peers import quiet
from tests.helpers.peers import theirs as hflm

TASKS = Path(__file__).parents[1] / "data" / "fewshot"
ITEMS = 80


def run(repeats: int, save: bool) -> None:
    _, policy, _ = lab.load()
    ours_lm = harness.language.benchmark.lm.as_lm
    rows, facts = [], {}
    for task in ("fixed_shots", "drawn_shots"):
        for shots in (0, 5, 25):
            with tempfile.TemporaryDirectory() as folder:
                suite = Path(folder) / "few.toml"
                suite.write_text(
                    f'title = "few-shot"\nversion = "1"\nlm_eval = "0.4.13"\n'
                    f'include_paths = ["{TASKS}"]\ninclude_defaults = false\n'
                    f'[[task]]\nname = "{task}"\nlabel = "t"\nshots = {shots}\nmetric = "acc"\nfilter = "none"\nchance = 0.25\n'
                )
                board = load_lm_eval_benchmark(load_suite(str(suite)), ITEMS, None)
            last: dict[str, EvalResult] = {}

            def one(who: str, lm: object, threads: int, board=board, last=last) -> None:
                torch.set_num_threads(threads)
                harness.language.benchmark.lm.as_lm = lm  # type: ignore[assignment]
                try:
                    with lab.silence_libraries():
                        last[who] = evaluate(policy, board, 2048, 64, quiet)
                finally:
                    harness.language.benchmark.lm.as_lm = ours_lm

            contestants = {
                "harness": lambda one=one: one("harness", ours_lm, 1),
                "HFLM": lambda one=one: one("HFLM", hflm, os.cpu_count() or 1),
            }
            found = time_alternating(contestants, repeats)
            assert [r.value for r in last["harness"].records] == [r.value for r in last["HFLM"].records]
            faster = paired_ratio(found["HFLM"], found["harness"])
            shared = "the same" if task == "fixed_shots" else "drawn anew"
            rows.append(
                [f"{shots} shots, {shared}", f"{median(found['harness']):.3f}", f"{median(found['HFLM']):.3f}", faster["median"]]
            )
            facts[f"{task} {shots}"] = {"seconds": found, "ratio": faster}
    report(
        "choices", f"{ITEMS} questions of 3 or 4 choices, seconds, median of {repeats}; scores equal",
        ["few-shot prompt", "harness", "HFLM", "ratio"], rows, {"repeats": repeats, "items": ITEMS, **facts}, save,
    )  # fmt: skip
