"""The default tier under other instruction sets and numbers of threads: no claim of this project depends on the processor."""

import os
import subprocess
import sys

import pytest

from tests.conftest import ROOT

# torch (2.13) asks oneDNN whether bfloat16 can be packed and then needs its own AVX-512 kernels for it: where it is limited and
# oneDNN is not, attention over 300 tokens ends in "pack_vnni2 is only supported when avx512 is supported". No processor is so.
NO_PACKING = {"ONEDNN_MAX_CPU_ISA": "AVX512_CORE"}
SETS = {
    "torch without vectors": {"ATEN_CPU_CAPABILITY": "default", **NO_PACKING},
    "torch with AVX2": {"ATEN_CPU_CAPABILITY": "avx2", **NO_PACKING},
    "oneDNN and MKL with SSE4": {"ONEDNN_MAX_CPU_ISA": "SSE41", "MKL_ENABLE_INSTRUCTIONS": "SSE4_2"},
    "oneDNN and MKL with AVX2": {"ONEDNN_MAX_CPU_ISA": "AVX2", "MKL_ENABLE_INSTRUCTIONS": "AVX2"},
    "one thread": {"OMP_NUM_THREADS": "1"},
    "two threads": {"OMP_NUM_THREADS": "2"},
}
# What is in effect, as torch and oneDNN say it themselves.
ASK = """
import torch
print("kernels", torch.backends.cpu.get_cpu_capability())
print("threads", torch.get_num_threads())
with torch.backends.mkldnn.verbose(torch.backends.mkldnn.VERBOSE_ON):
    torch.nn.functional.linear(torch.ones(64, 64).to_mkldnn(), torch.ones(64, 64).to_mkldnn())
"""
IN_EFFECT = {
    "torch without vectors": "kernels DEFAULT",
    "torch with AVX2": "kernels AVX2",
    "oneDNN and MKL with SSE4": "isa:Intel SSE4.1",
    "oneDNN and MKL with AVX2": "isa:Intel AVX2",
    "one thread": "threads 1",
    "two threads": "threads 2",
}


def limited(name):
    return {**os.environ, **SETS[name]}


def in_effect(name):
    done = subprocess.run([sys.executable, "-c", ASK], env=limited(name), capture_output=True, text=True, check=True, timeout=300)
    return done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("name", SETS)
def test_the_default_tier_passes(name):
    if (said := in_effect(name)) and IN_EFFECT[name].lower() not in said.lower():
        pytest.skip(f"this machine cannot: wanted {IN_EFFECT[name]!r}, in effect: {said}")
    tier = [sys.executable, "-m", "pytest", "-n", "2"]
    done = subprocess.run(tier, cwd=ROOT, env=limited(name), capture_output=True, text=True, timeout=7200, check=False)
    assert done.returncode == 0, done.stdout[-6000:]
