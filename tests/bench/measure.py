"""Timing that survives a noisy machine: contestants take turns, medians with their spread, one table and one JSON line."""

from __future__ import annotations

import json
import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parents[2] / "results" / "bench"


def time_alternating(contestants: Mapping[str, Callable[[], Any]], repeats: int, warm_up: bool = True) -> dict[str, list[float]]:
    """Seconds of each contestant, one after the other, `repeats` rounds; the order is reversed every other round."""
    names = list(contestants)
    found: dict[str, list[float]] = {name: [] for name in names}
    if warm_up:
        for name in names:
            contestants[name]()
    for r in range(repeats):
        for name in names if r % 2 == 0 else names[::-1]:
            began = time.perf_counter()
            contestants[name]()
            found[name].append(time.perf_counter() - began)
    return found


def median(values: Sequence[float]) -> float:
    return statistics.median(values)


def paired_ratio(slow: Sequence[float], fast: Sequence[float]) -> dict[str, float]:
    """Median over rounds of slow / fast, with the least and the largest: each round's two runs saw the same machine."""
    each = [s / f for s, f in zip(slow, fast, strict=True)]
    return {"median": round(median(each), 3), "least": round(min(each), 3), "largest": round(max(each), 3)}


def matmul_rate(size: int = 1024, repeats: int = 20, device: Any = "cpu", dtype: Any = None) -> float:
    """Floating-point operations per second of a square matrix product (float32), at its best of `repeats`."""
    import torch

    a, b = (torch.randn(size, size, device=device, dtype=dtype) for _ in range(2))
    best = float("inf")
    for _ in range(repeats):
        synchronize(device)
        began = time.perf_counter()
        a @ b
        synchronize(device)
        best = min(best, time.perf_counter() - began)
    return 2.0 * size**3 / best


def synchronize(device: Any) -> None:
    """Until a GPU has done what it was given; a CPU already has."""
    import torch

    if torch.device(device).type == "cuda":
        torch.cuda.synchronize()


def flops_per_token(policy: Any) -> dict[str, float]:
    """Floating-point operations per token of the linear layers, forward and backward (frozen base), and per row of logits."""
    base = lora = 0
    head = policy.model.get_base_model().get_output_embeddings().weight.numel()
    for name, parameter in policy.model.named_parameters():
        if parameter.dim() != 2 or "embed" in name or "lm_head" in name:
            continue
        if "lora_" in name:
            lora += parameter.numel()
        else:
            base += parameter.numel()
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
        "processor": _processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """Aligned text: the first column to the left, numbers to the right."""
    cells = [[str(c) for c in row] for row in (columns, *rows)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(columns))]
    lines = [
        "  ".join(c.ljust(w) if i == 0 else c.rjust(w) for i, (c, w) in enumerate(zip(row, widths, strict=True))) for row in cells
    ]
    return "\n".join([title, lines[0], "-" * len(lines[0]), *lines[1:]])


def report(
    name: str, title: str, columns: Sequence[str], rows: Sequence[Sequence[Any]], numbers: Mapping[str, Any], save: bool
) -> None:
    """Print the table and one JSON line; with `save`, keep the line in results/bench/NAME.json."""
    print(table(title, columns, rows))
    found = {"bench": name, **numbers, "machine": machine()}
    line = json.dumps(found)
    print(line)
    if save:
        RESULTS.mkdir(parents=True, exist_ok=True)
        (RESULTS / f"{name}.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
