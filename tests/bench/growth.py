"""(f) Growth: seconds and memory of training against prompts, mu and response length; of a run against its objectives."""

from __future__ import annotations

import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from typing import Any

from tests.bench.measure import median, report

POINTS = (
    *({"prompts": n, "mu": 1, "length": 10} for n in (300, 600, 1200)),
    *({"prompts": 300, "mu": mu, "length": 10} for mu in (1, 3, 7, 15)),
    *({"prompts": 96, "mu": 1, "length": n} for n in (16, 64, 256)),
)
OBJECTIVES = (1, 3, 6)


def run(repeats: int, save: bool) -> None:
    rows, facts = [], []
    for point in POINTS:
        measured = [_in_a_process(point) for _ in range(max(1, repeats // 2))]
        seconds, memory = (median([m[key] for m in measured]) for key in ("seconds", "mebibytes"))
        tokens = measured[0]["tokens"]
        what = f"{point['prompts']} prompts, mu {point['mu']}, {point['length']} tokens a response"
        rows.append([what, f"{seconds:.2f}", f"{tokens:,}", f"{1e6 * seconds / tokens:.0f}", f"{memory:.0f}"])
        facts.append({**point, "measured": measured})
    for count in OBJECTIVES:
        seconds = _a_run(count)
        rows.append([f"smoke run of {count} objectives, whole", f"{seconds:.2f}", "", "", ""])
        facts.append({"objectives": count, "seconds": seconds})
    report(
        "growth", "One epoch of the mu-weighted objective's loss: what it costs as the work grows",
        ["", "seconds", "laid-out tokens", "us per token", "MiB above start"], rows, {"points": facts}, save,
    )  # fmt: skip


def _in_a_process(point: dict[str, int]) -> dict[str, float]:
    """Largest memory is a process's own, so every point gets one."""
    code = f"from tests.bench.growth import measured; measured({json.dumps(point)})"
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def measured(point: dict[str, int]) -> None:
    """Train on random tokens of the asked-for sizes and print seconds, laid-out tokens and memory as JSON."""
    from harness.discovery.variants import parse_variants
    from harness.records import Group, Response
    from harness.train.core import train
    from harness.train.groups import with_reference_logps
    from harness.train.score import score
    from tests.bench import lab

    settings = lab.config()
    policy = lab.fresh_policy(settings)
    draw = random.Random(0)

    def ids(count: int) -> list[int]:
        return [draw.randrange(10, 800) for _ in range(count)]

    groups = [
        Group(
            f"x{i}", 0, ids(17), Response(ids(point["length"])), tuple(Response(ids(point["length"])) for _ in range(point["mu"]))
        )
        for i in range(point["prompts"])
    ]
    (variant,) = parse_variants(f"space:mu={point['mu']}", {})
    training = settings.training.model_copy(update={"epochs": 1}).at_iteration(0)
    groups = with_reference_logps(groups, score(policy, groups, 2048, lab.no_progress).scores)
    train(policy, groups[:64], variant.objective(0), training, (0,), lab.no_progress, lambda record: None)
    policy.reset_adapter(0)
    before = _current()
    began = time.perf_counter()
    train(policy, groups, variant.objective(0), training, (0,), lab.no_progress, lambda record: None)
    seconds = time.perf_counter() - began
    tokens = sum(17 + (point["length"] - 1) * (1 + point["mu"]) for _ in groups)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"seconds": round(seconds, 3), "tokens": tokens, "mebibytes": round(peak - before, 1)}))


def _current() -> float:
    """Largest memory so far, in MiB: what training adds to it is what training needs beyond one warm step."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _a_run(count: int) -> float:
    from harness.discovery.variants import list_objectives

    names: Any = ",".join(list(list_objectives())[:count])
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        command = [sys.executable, "-m", "harness", "run", "--recipe", "smoke", "--objectives", names, "--iters", "1"]
        done = subprocess.run([*command, "--jobs", "1"], cwd=folder, capture_output=True, text=True, check=False, env=os.environ)
        assert done.returncode == 0, done.stderr
        return round(time.perf_counter() - began, 2)
