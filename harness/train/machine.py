"""The machine that a run is made on, as far as its numbers may depend on it.

Two machines differ in the last bits of a sum where their kernels differ: another instruction set, another library, another number
of threads. run.json records all of it for the last command; every phase's manifest records what its numbers depend on.
"""

from __future__ import annotations

import os
import platform
import re
from functools import cache
from pathlib import Path
from typing import Any

import torch

from harness.world import Policy

PROC_CPUINFO = Path("/proc/cpuinfo")
# What bounds the kernels that torch, oneDNN, MKL, OpenBLAS and cuBLAS choose, or how they split a sum.
KERNEL_VARIABLES = (
    "ATEN_CPU_CAPABILITY", "ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA", "MKL_ENABLE_INSTRUCTIONS", "MKL_CBWR", "OPENBLAS_CORETYPE",
    "OMP_NUM_THREADS", "MKL_NUM_THREADS", "OMP_WAIT_POLICY", "CUBLAS_WORKSPACE_CONFIG", "NVIDIA_TF32_OVERRIDE",
)  # fmt: skip
LIBRARY_PATTERNS = {
    "MKL": r"Math Kernel Library Version ([\w.]+)",
    "oneDNN": r"(?:MKL-DNN|oneDNN) v([\w.]+)",
    "OpenMP": r"^\s*-\s*OpenMP (\d+)",
    "BLAS": r"BLAS_INFO=(\w+)",
}  # in torch's build configuration


def manifest_hardware(policy: Policy) -> dict[str, str]:
    """The machine as every phase's manifest records it."""
    kernels = torch.backends.cpu.get_cpu_capability()
    cuda = {"cuda": str(torch.version.cuda)} if policy.device.type == "cuda" else {}
    return {
        "machine": platform.machine(),
        "device": _gpu_name(policy).get("card", f"{policy.device.type}, {kernels} kernels"),
        **cuda,
        "precision": policy.precision,
        "layout": str(policy.layout()["layout"]),
    }


def hardware(policy: Policy) -> dict[str, Any]:
    """The machine, its kernels and the policy's layout as run.json records them."""
    return {
        "machine": platform.machine(),
        "processor": processor(),
        "instruction_sets": instruction_sets(),
        "cpus": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "threads_between_operations": torch.get_num_interop_threads(),
        "libraries": libraries(),
        "bounds": {name: os.environ[name] for name in KERNEL_VARIABLES if name in os.environ},
        "device": str(policy.device),
        "precision": policy.precision,
        **policy.layout(),
        **_gpu_name(policy),
    }


@cache
def processor() -> str | None:
    """The processor's name; None where the system does not report it."""
    try:
        match = re.search(r"^(?:model name|Model|cpu model)\s*:\s*(.+)$", PROC_CPUINFO.read_text(encoding="utf-8"), re.MULTILINE)
    except (OSError, UnicodeDecodeError):
        match = None
    return match[1].strip() if match else platform.processor() or None


def instruction_sets() -> dict[str, Any]:
    """`kernels`: the set that torch's own kernels were chosen for; `processor`: what oneDNN and MKL may use beyond it."""
    names = {"avx2": "AVX2", "avx512": "AVX-512", "avx512_bf16": "AVX-512 BF16", "vnni": "VNNI", "amx_tile": "AMX"}
    checks = ((shown, getattr(torch.cpu, f"_is_{name}_supported", None)) for name, shown in names.items())
    return {
        "kernels": torch.backends.cpu.get_cpu_capability(),
        "processor": [shown for shown, supported in checks if supported is not None and supported()],
    }


@cache
def libraries() -> dict[str, str]:
    """Name -> version of what multiplies matrices: torch's libraries, numpy's BLAS, and on a GPU CUDA's and its driver's."""
    import numpy

    torch_config = torch.__config__.show()
    versions = {
        name: match[1] for name, pattern in LIBRARY_PATTERNS.items() if (match := re.search(pattern, torch_config, re.MULTILINE))
    }
    blas = numpy.show_config(mode="dicts").get("Build Dependencies", {}).get("blas", {})  # type: ignore[union-attr]
    if blas.get("name"):
        versions["numpy BLAS"] = f"{blas['name']} {blas.get('version', '')}".strip()
    if torch.cuda.is_available():
        versions |= {"CUDA": str(torch.version.cuda), "cuDNN": str(torch.backends.cudnn.version())}
        if (driver := _driver_version()) is not None:
            versions["driver"] = driver
    return versions


def _driver_version() -> str | None:
    """The NVIDIA driver's version, from its file in /proc on Linux."""
    try:
        text = Path("/proc/driver/nvidia/version").read_text(encoding="utf-8")
    except OSError:
        return None
    match = re.search(r"\b(\d{3,}\.\d+(?:\.\d+)?)\b", text)
    return match[1] if match else None


def _gpu_name(policy: Policy) -> dict[str, str]:
    return {"card": torch.cuda.get_device_name(policy.device)} if policy.device.type == "cuda" else {}
