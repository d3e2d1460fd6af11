"""Without a network and without a mirror: one line, soon, that names the command for a machine that has one."""

import socket
import time

import pytest

from harness.config import load_config
from harness.errors import UserError
from harness.language.local_sources import check_local_sources
from harness.sources import reachable
from tests.conftest import run_cli

NEEDED = "model Qwen/Qwen2.5-0.5B: not on this machine, and "
ADVICE = "; on a machine with the hub: harness fetch --recipe qwen-small --to DIR; then add --mirror DIR"


@pytest.fixture
def closed_port():
    """An address of this machine at which nothing listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{taken.getsockname()[1]}"


@pytest.mark.loopback
def test_a_run_of_a_model_on_the_hub_is_one_line_with_the_command(tmp_path, closed_port):
    started = time.monotonic()
    done = run_cli(
        "run", "--recipe", "qwen-small", cwd=tmp_path, check=False, HF_ENDPOINT=closed_port, HF_HOME=str(tmp_path / "home"),
        HF_HUB_OFFLINE="", HTTP_PROXY="", http_proxy="", NO_PROXY="*",
    )  # fmt: skip
    assert done.returncode == 1 and done.stderr.count("\n") == 1, done.stderr
    assert f"{NEEDED}127.0.0.1 cannot be reached (" in done.stderr and done.stderr.endswith(f"{ADVICE}\n")
    assert "Retrying" not in done.stdout + done.stderr
    assert time.monotonic() - started < 120, "the hub's library alone would wait for longer"


def test_a_hub_that_never_answers_is_not_waited_for(monkeypatch):
    monkeypatch.setattr(reachable, "PROBE_SECONDS", 0.1)
    monkeypatch.setattr(reachable.socket, "create_connection", lambda *_, **__: time.sleep(5))
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setattr("urllib.request.getproxies", dict)
    started = time.monotonic()
    assert reachable.hub_problem() == "huggingface.co cannot be reached (no answer in 0.1 s)"
    assert time.monotonic() - started < 3


def test_what_this_machine_has_is_used_and_what_was_typed_is_in_the_advice(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    config = load_config("lab", ["data.heldout=org/held"], {"model.path": "org/tiny", "data.source": "org/pairs"})
    with pytest.raises(UserError) as raised:
        check_local_sources(config, None)
    assert str(raised.value) == (
        "model org/tiny: not on this machine, and HF_HUB_OFFLINE forbids the network; on a machine with the hub: harness fetch "
        "--recipe lab --model org/tiny --data org/pairs --set data.heldout=org/held --to DIR; then add --mirror DIR"
    )
    for kind, name in (("models", "tiny"), ("datasets", "pairs"), ("datasets", "held")):
        folder = tmp_path / "hub" / f"{kind}--org--{name}"
        (folder / "snapshots" / "c").mkdir(parents=True)
        (folder / "snapshots" / "c" / "config.json").write_text("{}")
        (folder / "refs").mkdir()
        (folder / "refs" / "main").write_text("c")
    check_local_sources(config, None)  # all of it is there


def test_the_hub_is_not_asked_about_by_a_run_that_needs_nothing_of_it():
    check_local_sources(load_config("lab"), None)  # the guard of the tests would refuse a connection
