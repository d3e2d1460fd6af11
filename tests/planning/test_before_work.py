"""A device without kernels, too little memory, too little disk: said in one line before anything is computed."""

import shutil
from collections import namedtuple

import pytest
import torch

from harness.errors import UserError
from harness.language.model import loading, memory
from harness.settings.paths import PACKAGE
from tests.conftest import SMALL_RECIPE, run_cli_in_process

BASE = PACKAGE / "lab" / "base" / "model.safetensors"


class NoKernels:
    """A tensor of a GPU that torch was not built for: it can be made, and nothing can be computed with it."""

    def __matmul__(self, other):
        raise RuntimeError("CUDA error: no kernel image is available for execution on the device\nCompile with ...")


def test_a_device_that_torch_has_no_kernels_for(monkeypatch):
    monkeypatch.setattr(loading, "choose_device", lambda requested: torch.device("cuda:0"))
    monkeypatch.setattr(torch, "ones", lambda *_, **__: NoKernels())
    said = r"^model.device=auto: cuda:0 is there, and torch .* cannot compute on it \(CUDA error: no kernel.*model.device=cpu$"
    with pytest.raises(UserError, match=said):
        loading.check_device("auto")


@pytest.mark.skipif(torch.cuda.is_available(), reason="has a GPU")
def test_no_gpu(tmp_path):
    done = run_cli_in_process("run", "--recipe", SMALL_RECIPE, "--set", "model.device=cuda", cwd=tmp_path, check=False)
    assert done.returncode == 1 and "model.device=cuda: not a device of this machine; use cpu, cuda or auto" in done.stderr
    assert not (tmp_path / "results").exists()


def test_weights_are_counted_from_the_files_header(tmp_path):
    from safetensors.torch import load_file

    assert memory.count_weights(BASE) == sum(tensor.numel() for tensor in load_file(BASE).values())
    (tmp_path / "none.safetensors").write_bytes(b"\xff" * 20)
    assert memory.count_weights(tmp_path / "none.safetensors") == memory.count_weights(tmp_path / "missing") == 0


def test_too_little_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(memory, "free_bytes", lambda device: 1 << 20)
    done = run_cli_in_process("run", "--recipe", SMALL_RECIPE, cwd=tmp_path, check=False)
    assert done.returncode == 1
    assert "billion weights take 0.0 GiB in float32, cpu has 0.0 GiB free; name a smaller model" in done.stderr
    assert not (tmp_path / "results").exists()


def test_the_memory_that_is_free_is_the_containers_where_that_is_less(tmp_path, monkeypatch):
    (tmp_path / "meminfo").write_text("MemTotal: 9 kB\nMemAvailable:  1000 kB\nSwapFree:  24 kB\n")
    monkeypatch.setattr(memory, "PROC_MEMINFO", tmp_path / "meminfo")
    monkeypatch.setattr(memory, "CGROUP", tmp_path)
    cpu = torch.device("cpu")
    assert memory.free_bytes(cpu) == 1024 * 1024
    (tmp_path / "memory.max").write_text("max\n")
    (tmp_path / "memory.current").write_text("300\n")
    (tmp_path / "memory.stat").write_text("anon 1\ninactive_file 50\n")
    assert memory.free_bytes(cpu) == 1024 * 1024
    (tmp_path / "memory.max").write_text("1000\n")
    assert memory.free_bytes(cpu) == 750


def test_too_little_disk(tmp_path, monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage(10, 10, 1000))
    done = run_cli_in_process("run", "--recipe", SMALL_RECIPE, cwd=tmp_path, check=False)
    assert done.returncode == 1, done.stdout
    assert "the adapters of 4 checkpoints take 0.00 GiB at least, its disk has 0.00 GiB free; make room" in done.stderr
