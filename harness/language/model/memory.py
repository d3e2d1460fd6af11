"""Whether a model's weights fit into the device's memory, from the headers of its files: known before they are read."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path

import torch

from harness.errors import UserError

PROC_MEMINFO = Path("/proc/meminfo")
CGROUP = Path("/sys/fs/cgroup")  # of a container, whose limit may be lower than the machine's memory
MAX_HEADER_BYTES = 100 << 20
QUANTIZED_BYTES = {"nf4": 0.5, "int8": 1.0}  # per weight


def check_fits(files: list[Path], dtype: torch.dtype, quantize: str | None, device: torch.device) -> None:
    """Raises UserError where the weights alone need more than the device has free."""
    num_weights = sum(map(count_weights, files))
    needed = num_weights * (QUANTIZED_BYTES[quantize] if quantize else dtype.itemsize)
    free = free_bytes(device)
    if free is not None and needed > free:
        precision = quantize or str(dtype).removeprefix("torch.")
        smaller = "" if quantize else ", quantise it with --set model.quantize=nf4,"
        raise UserError(
            f"its {num_weights / 1e9:.2f} billion weights take {needed / 2**30:.1f} GiB in {precision}, {device} has "
            f"{free / 2**30:.1f} GiB free; name a smaller model{smaller} or use a machine with more memory"
        )


def count_weights(file: Path) -> int:
    """The weights that a .safetensors file's header lists; 0 where it cannot be read, which the loader says."""
    try:
        with file.open("rb") as handle:
            size = int.from_bytes(handle.read(8), "little")
            header = json.loads(handle.read(size)) if size <= MAX_HEADER_BYTES else {}
        return sum(math.prod(entry["shape"]) for name, entry in header.items() if name != "__metadata__")
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return 0


def free_bytes(device: torch.device) -> int | None:
    """Memory of the device that is free, with swap on a CPU; None where the system does not say."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    if device.type != "cpu":
        return None
    try:
        entries = dict(re.findall(r"^(\w+):\s+(\d+) kB", PROC_MEMINFO.read_text(encoding="utf-8"), re.MULTILINE))
        free = 1024 * (int(entries["MemAvailable"]) + int(entries.get("SwapFree", 0)))
    except (OSError, ValueError, KeyError):
        return None
    try:
        limit = int((CGROUP / "memory.max").read_text()) - int((CGROUP / "memory.current").read_text())
        cached = re.search(r"^inactive_file (\d+)", (CGROUP / "memory.stat").read_text(), re.MULTILINE)
    except (OSError, ValueError):  # no container, or one without a limit ("max")
        return free
    return min(free, limit + (int(cached[1]) if cached else 0))
