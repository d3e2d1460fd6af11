"""What a replay needs is on disk: where a seed starts, every setting of the update, the pairs of every step, the machine."""

import json
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file, save_file

from harness.config import TrainingConfig
from harness.files import file_digest
from harness.train.machine import KERNEL_VARIABLES, instruction_sets, libraries
from harness.train.schedule import make_optimizer, optimizer_options
from tests.conftest import SMALL_RECIPE, run_cli_in_process, update_manifest_digests
from tests.helpers.damage import refused
from tests.helpers.training import make_groups, objective, run

GRADIENTS = (0.3, -0.2, 0.5)


def rmsprop(weight, gradients, lr, alpha, eps, weight_decay, **rest):
    """Tieleman and Hinton's update: the gradient over the root of its running mean square."""
    assert rest == {"momentum": 0.0, "centered": False}
    square = 0.0
    for gradient in gradients:
        gradient += weight_decay * weight
        square = alpha * square + (1 - alpha) * gradient**2
        weight -= lr * gradient / (square**0.5 + eps)
    return weight


def adamw(weight, gradients, lr, betas, eps, weight_decay, amsgrad):
    """arXiv:1711.05101, Algorithm 2."""
    assert not amsgrad
    first = second = 0.0
    for step, gradient in enumerate(gradients, start=1):
        weight -= lr * weight_decay * weight
        first = betas[0] * first + (1 - betas[0]) * gradient
        second = betas[1] * second + (1 - betas[1]) * gradient**2
        weight -= lr * (first / (1 - betas[0] ** step)) / ((second / (1 - betas[1] ** step)) ** 0.5 + eps)
    return weight


@pytest.mark.parametrize(("kind", "by_hand"), [("rmsprop", rmsprop), ("adamw", adamw)])
def test_the_recorded_settings_are_all_that_an_update_depends_on(kind, by_hand):
    settings = TrainingConfig(optimizer=kind, weight_decay=0.1)
    parameter = torch.nn.Parameter(torch.tensor([0.7], dtype=torch.float64))
    optimizer = make_optimizer([parameter], settings)
    optimizer.param_groups[0]["lr"] = 0.01
    for gradient in GRADIENTS:
        parameter.grad = torch.tensor([gradient], dtype=torch.float64)
        optimizer.step()
    recorded = json.loads(json.dumps(optimizer_options(settings)))
    assert float(parameter.detach()) == pytest.approx(by_hand(0.7, GRADIENTS, lr=0.01, **recorded), rel=1e-12)


def test_a_step_names_the_iteration_of_each_of_its_pairs(policy):
    """With a history a prompt stands in the training set once per iteration; its id alone does not say which pair was used."""
    spin = objective("spin")
    now = make_groups(policy, spin.needs)
    both = [*now, *(replace(g, iteration=g.iteration + 1) for g in now)]
    _, records = run(policy, both, spin)
    used = [pair for r in records for pair in zip(r.example_ids, r.example_iterations, strict=True)]
    epochs = len(used) // len(both)
    assert sorted(used) == sorted([(g.example_id, g.iteration) for g in both] * epochs)


def test_a_run_records_the_adapter_it_starts_from_and_starts_from_it(played_copy):
    """The first iteration's players differ from the recorded adapter by training alone: another one gives another player."""
    root = played_copy / "results" / "small"
    start = root / "initial" / "seed-0" / "adapter"
    weights = load_file(start / "adapter_model.safetensors")
    assert all(bool((tensor == 0).all()) for name, tensor in weights.items() if "lora_B" in name)
    assert all(bool((tensor != 0).any()) for name, tensor in weights.items() if "lora_A" in name)
    manifest = json.loads((start / "manifest.json").read_text())
    assert manifest["outputs"]["adapter_model.safetensors"] == file_digest(start / "adapter_model.safetensors")
    trained = json.loads((root / "space/seed-0/iteration-0/train/manifest.json").read_text())
    assert trained["settings"]["optimizer"] == optimizer_options(TrainingConfig(**trained["settings"]["training"]))

    damaged = {name: tensor * 1.5 for name, tensor in weights.items()}
    save_file(damaged, start / "adapter_model.safetensors", metadata={"format": "pt"})
    line = refused(played_copy, "run", "--recipe", SMALL_RECIPE, after_progress=True)
    assert "initial/seed-0/adapter/adapter_model.safetensors: damaged" in line
    update_manifest_digests(start)
    before = trained["outputs"]["adapter/adapter_model.safetensors"]
    (root / "space").rename(root / "before")
    less = ("--name", "small", "--objectives", "space", "--iters", "1")
    run_cli_in_process("run", "--recipe", SMALL_RECIPE, *less, cwd=played_copy)
    again = json.loads((root / "space/seed-0/iteration-0/train/manifest.json").read_text())
    assert again["outputs"]["adapter/adapter_model.safetensors"] != before


def test_the_record_names_the_machine_and_its_kernels(played):
    record = json.loads((played / "results" / "small" / "run.json").read_text())["hardware"]
    assert record["instruction_sets"] == instruction_sets() and record["libraries"] == libraries()
    assert record["instruction_sets"]["kernels"] == torch.backends.cpu.get_cpu_capability()
    assert {"oneDNN", "numpy BLAS"} <= record["libraries"].keys()
    assert record["threads"] >= 1 and set(record["bounds"]) <= set(KERNEL_VARIABLES) and "OMP_NUM_THREADS" in record["bounds"]
    assert "processor" in record
