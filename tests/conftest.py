"""Shared doubles: a tiny random Llama in float64 with the lab's tokenizer, and one finished smoke-sized run folder."""

import contextlib
import csv
import fcntl
import gc
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import types
from pathlib import Path
from unittest import mock

import pytest

from harness.settings.user_config import FOLDER_VARIABLES
from harness.sources.offline import OFFLINE_VARIABLES
from tests.guard import network_guard
from tests.helpers.processor_time import pytest_runtest_makereport, pytest_runtest_protocol, pytest_terminal_summary  # noqa: F401

ROOT = Path(__file__).parent.parent
SMALL_RECIPE = ROOT / "tests" / "data" / "small.toml"
# A state after every step, a chunk after every few answers: as many moments to be ended at, and to go on from, as there can be.
OFTEN = ("--set", "training.save_seconds=0", "--set", "generation.shard=5", "--set", "evaluation.shard=4")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
# One thread each: models this small gain nothing from two, and spinning threads starve one another on a busy machine.
os.environ.setdefault("OMP_NUM_THREADS", "1")
GUARD_FOLDER = ROOT / "tests" / "guard"


@pytest.fixture(autouse=True)
def no_network(monkeypatch, request, tmp_path_factory):
    """Whatever a test or a process it starts does, it reaches no other machine; loopback only where it is marked so."""
    if request.node.get_closest_marker("loopback"):
        monkeypatch.setenv(network_guard.ALLOWED, "1")
    reached = tmp_path_factory.getbasetemp() / f"reached-{os.getpid()}"
    reached.unlink(missing_ok=True)
    monkeypatch.setenv(network_guard.REACHED, str(reached))
    network_guard.install(monkeypatch.setattr)
    _undo_offline_afterwards(monkeypatch)
    yield
    assert not reached.exists(), f"reached for the network: {reached.read_text()}"


@pytest.fixture(autouse=True, scope="session")
def no_settings_of_the_user(tmp_path_factory):
    """Neither the user's own file of settings nor variables that stand for options reach a test, or a process that it starts."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CONFIG_HOME", str(tmp_path_factory.mktemp("no-config")))
        for variable in FOLDER_VARIABLES.values():
            patch.delenv(variable, raising=False)
        yield


@pytest.fixture(autouse=True, scope="session")
def freed_memory_goes_back():
    """A command played in the tests' process would keep what it frees for all tests after it, beyond any limit they set."""
    with mock.patch("harness.settings.process_environment.keep_freed_memory", return_value=False):
        yield


def _undo_offline_afterwards(monkeypatch):
    """What a test forbids its own process (`offline.go_offline`) ends with the test."""
    monkeypatch.setattr("harness.sources.offline._forbidden", False)
    for variable in OFFLINE_VARIABLES:
        monkeypatch.setenv(variable, os.environ.get(variable, ""))
        if not os.environ[variable]:
            monkeypatch.delenv(variable)
        for name in ("huggingface_hub.constants", "datasets.config", "evaluate.config"):
            if hasattr(loaded := sys.modules.get(name), variable):
                monkeypatch.setattr(loaded, variable, getattr(loaded, variable))


@pytest.fixture(scope="session")
def tokenizer():
    import transformers

    return transformers.AutoTokenizer.from_pretrained(str(ROOT / "harness" / "lab" / "base"))


def use_float64_norms(model):
    """transformers' RMS norms compute in float32 whatever the model; here they keep the model's own precision.

    Without this a float64 gradient is only exact to 1e-7, and a mistake of that size would pass unseen.
    """
    import torch

    def forward(self, x):
        normed = x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + getattr(self, "variance_epsilon", getattr(self, "eps", None)))
        return normed * (1.0 + self.weight if "Gemma" in type(self).__name__ else self.weight)

    for module in model.modules():
        if type(module).__name__.endswith("RMSNorm"):
            module.forward = types.MethodType(forward, module)
    return model


def randomize_adapter(parameters, std=0.1):
    """Move every adapter among (name, parameter) away from zero, the same way each time."""
    import torch

    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, parameter in parameters:
            if "lora_B" in name:
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * std)


def make_policy(tokenizer, dtype="float64", rank=4, **shape):
    """A random two-layer policy whose adapter has moved away from zero, so that nothing is trivially equal."""
    import torch
    import transformers

    from harness.config import LoraConfig
    from harness.language.encoding import choose_template
    from harness.language.model.lora import add_adapter
    from harness.language.model.verify import choose_layout
    from harness.language.policy import Policy

    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 2}
    config = transformers.LlamaConfig(vocab_size=len(tokenizer), **{**sizes, "max_position_embeddings": 256, **shape})
    base = transformers.LlamaForCausalLM(config).to(getattr(torch, dtype))
    if dtype == "float64":
        use_float64_norms(base)
    model = add_adapter(base, LoraConfig(rank=rank), "tiny")
    policy = Policy(model, tokenizer, choose_template(tokenizer, "auto"), "tiny", choose_layout(model))
    policy.reset_adapter(0)
    randomize_adapter(policy.adapter_parameters())
    return policy


@pytest.fixture
def policy(tokenizer):
    return make_policy(tokenizer)


def run_cli(*arguments, cwd, check=True, **environment):
    """The real program in a process of its own, behind the network guard."""
    path = os.pathsep.join([str(GUARD_FOLDER), *filter(None, [os.environ.get("PYTHONPATH")])])
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "harness", *map(str, arguments)],
        cwd=cwd, capture_output=True, text=True, timeout=600, check=False,
        env={**os.environ, "PYTHONPATH": path, **environment},
    )  # fmt: skip
    if check:
        assert done.returncode == 0, done.stderr
    return done


def run_cli_in_process(*arguments, cwd, check=True):
    """The same in this process: for what is said and written, where starting anew is not what is tested. One cell at a time."""
    from harness import cli
    from harness.settings.process_environment import notes

    notes.clear()  # of a command before in this process
    if arguments[:1] in (("run",), ("study",)) and "--jobs" not in arguments:
        arguments = (*arguments, "--jobs", "1")
    out, err, code = io.StringIO(), io.StringIO(), 0
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    typed = mock.patch.object(sys, "argv", ["harness", *map(str, arguments)])
    with contextlib.chdir(cwd), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), typed:
        try:
            cli.main()
        except SystemExit as end:
            code = int(end.code or 0)
        finally:
            gc.unfreeze()
            for number, handler in handlers.items():
                signal.signal(number, handler)
    done = subprocess.CompletedProcess(arguments, code, out.getvalue(), err.getvalue())
    if check:
        assert code == 0, done.stderr
    return done


def read_csv_rows(path):
    """A csv file as one dict of texts per row."""
    with path.open(encoding="utf-8", newline="") as handle:
        return list(csv.DictReader(handle))


def run_once(tmp_path_factory, name, *arguments):
    """A folder in which the small recipe has been played, once for all processes of a test run, which only read it."""
    base = tmp_path_factory.getbasetemp()
    top = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    folder = top / name
    with (top / f"{name}.lock").open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        if not (top / f"{name}.done").exists():
            folder.mkdir()
            run_cli_in_process("run", "--recipe", SMALL_RECIPE, *arguments, cwd=folder)
            (top / f"{name}.done").touch()
    return folder


@pytest.fixture(scope="session")
def played(tmp_path_factory):
    return run_once(tmp_path_factory, "played")


@pytest.fixture
def played_copy(played, tmp_path):
    """The same, to change."""
    shutil.copytree(played, tmp_path / "copy")
    return tmp_path / "copy"


@pytest.fixture
def run(played_copy):
    """Its run folder."""
    return played_copy / "results" / "small"


def update_manifest_digests(folder):
    """Let a phase's manifest be true of its files as they now are: for tests of what is read, not of whether it is intact."""
    from harness.files import folder_digests

    path = folder / "manifest.json"
    rewrite_manifest(path, {**json.loads(path.read_text()), "outputs": folder_digests(folder)})


def rewrite_manifest(path, manifest):
    """A phase's manifest with other contents, its checksum true of them: what only somebody who means it would do.

    The small files, which hold the manifests too, are left out of it.
    """
    from harness.store.verification import checksum

    path.write_text(json.dumps({**manifest, "checksum": checksum(manifest)}))
    run = next((folder for folder in path.parents if (folder / "run.json").is_file()), None)
    if run is not None:
        shutil.rmtree(run / "facts", ignore_errors=True)
