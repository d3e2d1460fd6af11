"""The limit beside a row: the least time that the measured machine could need for the work's own tokens, and what takes it up.

The bound of a row is the larger of two times:

- arithmetic: operations of unique tokens / rate of a matrix product (1,024 x 1,024, best of twenty, on all cores), where a token
  that several requests begin with is counted once, a token's operations are two per weight of the linear layers (training: two
  more for the frozen base and four for the adapter), and the output layer's two per weight are counted at targets alone.
  Attention's own products, normalisation and the choice of a token are not counted: the bound is one nobody reaches.
- memory: passes over the weights that nothing can avoid (one per generated position) x bytes of the weights / rate at which a
  product with one vector reads a matrix of 268 MB.

Both rates are measured before every round, on the same threads, and their medians taken. Where a row has no such formula, the
bound is another contestant (start-up: python alone) or a part that the row computes itself (six objectives: what six runs took
with every shared phase, and everything outside phases, counted once).
"""

import os
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from tests.bench.measure import matmul_rate, median, seconds_of
from tests.bench.row import BFLOAT16

GIGA = 1e9


def measure_rates(bfloat16: bool = False) -> dict[str, float]:
    """Operations per second of a product (float32, and bfloat16 where asked for) and bytes per second from memory."""
    import torch

    torch.set_num_threads(os.cpu_count() or 1)
    rates = {"float32": matmul_rate(), "bytes": read_rate()}
    if bfloat16:
        rates["bfloat16"] = matmul_rate(dtype=torch.bfloat16)
    return rates


def read_rate(size: int = 8192, repeats: int = 10) -> float:
    """Bytes per second at which a product with one vector reads a float32 matrix, at its best of `repeats`."""
    import torch

    matrix, vector = torch.ones(size, size), torch.ones(size)
    return 4.0 * size**2 / min(seconds_of(lambda: torch.mv(matrix, vector)) for _ in range(repeats))


def bound_seconds(content: dict[str, Any], contestant: str) -> float | None:
    """The bound of a row's file for one contestant in seconds, None where the row has none."""
    bound, rounds = content.get("bound") or {}, content["rounds"]
    if "contestant" in bound:
        return median([r["contestants"][bound["contestant"]]["seconds"] for r in rounds])
    if "part" in bound:
        return median([r["contestants"][bound["of"]]["parts"][bound["part"]] for r in rounds])
    if "operations" not in bound:
        return None
    precision = "bfloat16" if contestant == BFLOAT16 else "float32"
    arithmetic = bound["operations"] / median([r["rates"][precision] for r in rounds])
    memory = bound.get("weight_bytes", 0.0) / median([r["rates"]["bytes"] for r in rounds])
    return max(arithmetic, memory)


def unique_tokens(sequences: Iterable[Sequence[int]]) -> int:
    """Tokens of all sequences, a beginning that several share counted once."""
    total, previous = 0, ()
    for sequence in sorted(set(map(tuple, sequences))):
        shared = next((i for i, (a, b) in enumerate(zip(previous, sequence, strict=False)) if a != b), len(previous))
        total, previous = total + len(sequence) - shared, sequence
    return total


def operator_shares(work: Callable[[], Any], count: int = 3) -> list[list[Any]]:
    """The `count` operators with the most time of their own: [name, share of all operators' time] of one call."""
    from torch.profiler import ProfilerActivity, profile

    with profile(activities=[ProfilerActivity.CPU]) as profiler:
        work()
    times = {event.key.removeprefix("aten::"): event.self_cpu_time_total for event in profiler.key_averages()}
    total = sum(times.values())
    top = sorted(times, key=lambda name: times[name], reverse=True)[:count]
    return [[name, round(times[name] / total, 3)] for name in top] if total else []
