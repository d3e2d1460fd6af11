"""What a GPU must give, checked where there is one; and the GPU benchmark at toy size, on a machine that has little installed."""

import json
import subprocess
import sys

import pytest
import torch

from tests.conftest import ROOT

ABSENT = ("lm_eval", "datasets", "pydantic", "typer", "pandas", "matplotlib", "typst")


@pytest.mark.slow
def test_the_gpu_benchmark_runs_with_torch_transformers_and_peft_alone():
    """At toy size where there is no GPU, every other package of ours hidden; the loop on the lab lowers the held-out loss."""
    code = f"""
import runpy, sys
for name in {ABSENT!r}: sys.modules[name] = None
sys.argv = ["bench", "gpu", "--repeats", "1"]
runpy.run_module("tests.bench", run_name="__main__")
"""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    (line,) = [x for x in done.stdout.splitlines() if x.startswith("{")]
    numbers = json.loads(line)
    for name in ("train, SPACE mu 1", "train, SPACE mu 3", "train, SPACE mu 7", "score"):
        assert numbers[name]["tokens"] > 0
        assert numbers[name]["share_of_matmul_rate"] > 0  # how much, only a quiet machine can tell
    loop = numbers["lab_loop"]
    assert loop["held-out nats/token after"] < loop["held-out nats/token before"]


@pytest.mark.gpu
def test_log_probabilities_on_the_gpu_are_those_of_the_cpu():
    """In float32 to 1e-4 nats a response; in bfloat16 within what bfloat16 itself costs, which the processor in bfloat16 shows.

    Means over a response's nine tokens, differences from the processor's float32: root mean square at most 1.5 times, largest at
    most twice the processor's own.
    """
    from harness.config import LoraConfig, ModelConfig
    from harness.language.model.loading import load_policy
    from harness.records import PromptGroup

    generator = torch.Generator().manual_seed(0)

    def ids(count):
        return torch.randint(5, 400, (count,), generator=generator).tolist()

    rows = [PromptGroup(ids(12), [ids(9) for _ in range(3)]) for _ in range(40)]

    def scored(device, dtype):
        policy = load_policy(ModelConfig(device=device, dtype=dtype), LoraConfig(), "auto")
        policy.reset_adapter(0)
        return torch.tensor(policy.score(rows, 2048)) / 9

    exact = scored("cpu", "float32")
    assert (scored("cuda", "float32") - exact).abs().max() < 1e-4 / 9
    own, here = (scored(device, "bfloat16") - exact for device in ("cpu", "cuda"))
    assert here.pow(2).mean().sqrt() < 1.5 * own.pow(2).mean().sqrt()
    assert here.abs().max() < 2 * own.abs().max()
