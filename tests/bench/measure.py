"""Timing on a noisy machine: seconds, rates and operations, ratios with their spread, one table and one JSON line."""

import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "results" / "bench"


def python(*arguments: str, cwd: str | None = None, code: int = 0) -> str:
    """What a Python process with these arguments says; it must end with this exit code."""
    done = subprocess.run(
        [sys.executable, *arguments], cwd=cwd, capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.returncode == code, done.stderr
    return done.stdout


def seconds_of(work: Callable[[], Any]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def paired_ratio(slow: Sequence[float], fast: Sequence[float]) -> dict[str, float]:
    """Median over rounds of slow / fast, with the least and the largest: each round's two runs saw the same machine."""
    each = [s / f for s, f in zip(slow, fast, strict=True)]
    return {"median": round(median(each), 3), "least": round(min(each), 3), "largest": round(max(each), 3)}


def matmul_rate(size: int = 1024, repeats: int = 20, device: Any = "cpu", dtype: Any = None) -> float:
    """Floating-point operations per second of a square matrix product (float32), at its best of `repeats`."""
    import torch

    a, b = (torch.randn(size, size, device=device, dtype=dtype) for _ in range(2))
    synchronize(device)
    return 2.0 * size**3 / min(seconds_of(lambda: (a @ b, synchronize(device))) for _ in range(repeats))


def synchronize(device: Any) -> None:
    """Until a GPU has done what it was given; a CPU already has."""
    import torch

    if torch.device(device).type == "cuda":
        torch.cuda.synchronize()


def flops_per_token(policy: Any) -> dict[str, float]:
    """Floating-point operations per token of the linear layers, forward and backward (frozen base), and per row of logits."""
    head = policy.model.get_base_model().get_output_embeddings().weight.numel()
    sizes = {n: p.numel() for n, p in policy.model.named_parameters() if p.dim() == 2 and "embed" not in n and "lm_head" not in n}
    lora = sum(size for name, size in sizes.items() if "lora_" in name)
    base = sum(sizes.values()) - lora
    return {"forward": 2.0 * (base + lora), "backward": 2.0 * base + 4.0 * lora, "logits": 2.0 * head}


def training_operations(policy: Any, groups: Sequence[Any]) -> tuple[int, float]:
    """(laid-out tokens, floating-point operations of the linear layers) of one pass over the groups, with rows of logits."""
    per_token = flops_per_token(policy)
    columns = sum(len(g.prompt) + sum(len(r.content) - 1 for _, r in g.responses()) for g in groups)
    targets = sum(len(r.content) for g in groups for _, r in g.responses())
    return columns, columns * (per_token["forward"] + per_token["backward"]) + targets * 2 * per_token["logits"]


def machine() -> dict[str, Any]:
    import torch

    return {
        "processor": processor_name(), "cores": os.cpu_count(), "threads": torch.get_num_threads(), "torch": torch.__version__,
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
    }  # fmt: skip


def processor_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """Aligned text: the first column to the left, numbers to the right."""
    cells = [[str(c) for c in row] for row in (columns, *rows)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(columns))]
    first, *lines = ["  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]) for row in cells]
    return "\n".join([title, first, "-" * len(first), *lines])


def report(
    name: str, title: str, columns: Sequence[str], rows: Sequence[Sequence[Any]], numbers: Mapping[str, Any], save: bool
) -> None:
    """Print the table and one JSON line; with `save`, keep the line in results/bench/NAME.json."""
    print(table(title, columns, rows))
    found = {"bench": name, **numbers, "machine": machine()}
    print(json.dumps(found))
    if save:
        RESULTS.mkdir(parents=True, exist_ok=True)
        (RESULTS / f"{name}.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
