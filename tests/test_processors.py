"""The default tier under other instruction sets and numbers of threads: no claim of this project depends on the processor."""

import os
import subprocess
import sys

import pytest

from tests.conftest import ROOT

# torch (2.13) asks oneDNN whether bfloat16 can be packed and then needs its own AVX-512 kernels for it: where it is limited and
# oneDNN is not, attention over 300 tokens ends in "pack_vnni2 is only supported when avx512 is supported". No processor is so.
NO_PACKING = {"ONEDNN_MAX_CPU_ISA": "AVX512_CORE"}
ONE, TWO = {"OMP_NUM_THREADS": "1"}, {"OMP_NUM_THREADS": "2"}
SETS = {
    "torch without vectors, one thread": {"ATEN_CPU_CAPABILITY": "default", **NO_PACKING, **ONE},
    "torch with AVX2, two threads": {"ATEN_CPU_CAPABILITY": "avx2", **NO_PACKING, **TWO},
    "oneDNN and MKL with SSE4, one thread": {"ONEDNN_MAX_CPU_ISA": "SSE41", "MKL_ENABLE_INSTRUCTIONS": "SSE4_2", **ONE},
    "oneDNN and MKL with AVX2, two threads": {"ONEDNN_MAX_CPU_ISA": "AVX2", "MKL_ENABLE_INSTRUCTIONS": "AVX2", **TWO},
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
    "torch without vectors, one thread": ("kernels DEFAULT", "threads 1"),
    "torch with AVX2, two threads": ("kernels AVX2", "threads 2"),
    "oneDNN and MKL with SSE4, one thread": ("isa:Intel SSE4.1", "threads 1"),
    "oneDNN and MKL with AVX2, two threads": ("isa:Intel AVX2", "threads 2"),
}


def limited(name):
    return {**os.environ, **SETS[name]}


def in_effect(name):
    done = subprocess.run([sys.executable, "-c", ASK], env=limited(name), capture_output=True, text=True, check=True, timeout=300)
    return done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("name", SETS)
def test_the_default_tier_passes(name):
    reported = in_effect(name)
    if missing := [line for line in IN_EFFECT[name] if line.lower() not in reported.lower()]:
        pytest.skip(f"this machine cannot: wanted {missing}, in effect: {reported}")
    tier = [sys.executable, "-m", "pytest", "-n", "2"]
    done = subprocess.run(tier, cwd=ROOT, env=limited(name), capture_output=True, text=True, timeout=7200, check=False)
    assert done.returncode == 0, done.stdout[-6000:]
