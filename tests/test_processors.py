"""The default tier under other instruction sets and numbers of threads: no claim of this project depends on the processor."""

import os
import subprocess
import sys

import pytest

from tests.conftest import ROOT

# torch (2.13) asks oneDNN whether bfloat16 can be packed and then needs its own AVX-512 kernels for it: where it is limited and
# oneDNN is not, attention over 300 tokens ends in "pack_vnni2 is only supported when avx512 is supported". No processor is so.
NO_PACKING = {"ONEDNN_MAX_CPU_ISA": "AVX512_CORE"}
MKL = {name: {"MKL_ENABLE_INSTRUCTIONS": name} for name in ("SSE4_2", "AVX2")}
ONE, TWO = {"OMP_NUM_THREADS": "1"}, {"OMP_NUM_THREADS": "2"}
# The variables that are set, and what is then in effect, as torch and oneDNN say it themselves.
SETS = {
    "torch without vectors": ({"ATEN_CPU_CAPABILITY": "default", **NO_PACKING, **ONE}, ("kernels DEFAULT", "threads 1")),
    "torch with AVX2": ({"ATEN_CPU_CAPABILITY": "avx2", **NO_PACKING, **TWO}, ("kernels AVX2", "threads 2")),
    "oneDNN and MKL with SSE4": ({**MKL["SSE4_2"], "ONEDNN_MAX_CPU_ISA": "SSE41", **ONE}, ("isa:Intel SSE4.1", "threads 1")),
    "oneDNN and MKL with AVX2": ({**MKL["AVX2"], "ONEDNN_MAX_CPU_ISA": "AVX2", **TWO}, ("isa:Intel AVX2", "threads 2")),
}
ASK = """
import torch
print("kernels", torch.backends.cpu.get_cpu_capability())
print("threads", torch.get_num_threads())
with torch.backends.mkldnn.verbose(torch.backends.mkldnn.VERBOSE_ON):
    torch.nn.functional.linear(torch.ones(64, 64).to_mkldnn(), torch.ones(64, 64).to_mkldnn())
"""


@pytest.mark.slow
@pytest.mark.parametrize(("variables", "expected"), SETS.values(), ids=SETS)
def test_the_default_tier_passes(variables, expected):
    env = {**os.environ, **variables}
    asked = subprocess.run([sys.executable, "-c", ASK], env=env, capture_output=True, text=True, check=True, timeout=300)
    if missing := [line for line in expected if line.lower() not in asked.stdout.lower()]:
        pytest.skip(f"this machine cannot: wanted {missing}, in effect: {asked.stdout}")
    tier = [sys.executable, "-m", "pytest", "-n", "2"]
    done = subprocess.run(tier, cwd=ROOT, env=env, capture_output=True, text=True, timeout=7200, check=False)
    assert done.returncode == 0, done.stdout[-6000:]
