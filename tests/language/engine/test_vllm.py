"""Generation by vLLM, against a stand-in for it that computes the same player on a CPU and can be told what goes wrong."""

import ast
import dataclasses
import itertools
import json
import os
import re
import signal
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch

from harness.config import LoraConfig, ModelConfig, load_config
from harness.errors import UserError
from harness.files import file_digest, read_jsonl
from harness.language.engine.adapter_check import NUM_CHECKED, compare_logps, raise_if_wrong
from harness.language.engine.preflight import check_backend, supported_rank
from harness.language.engine.sampler import VllmSampler, is_response, visible_device_env
from harness.language.engine.vllm_process import VllmProcess
from harness.language.model.loading import load_policy
from harness.language.model.sampling import Request
from harness.planning.unchanged import check_unchanged
from harness.records import PromptGroup, keyed_seed
from harness.store.run_folder import RunFolder
from tests.conftest import ROOT, SMALL_RECIPE, randomize_adapter, run_cli

STAND_IN = ROOT / "tests" / "data" / "stand_in_vllm"
SETTINGS = ["generation.backend=vllm", "model.device=cpu", "lora.rank=4", "generation.vllm_timeout=60"]


@pytest.fixture
def stand_in(monkeypatch, tmp_path):
    """vLLM is the stand-in, in this process's search and in the workers'. Returns a function that reads its notes."""
    monkeypatch.syspath_prepend(str(STAND_IN))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(STAND_IN), str(ROOT), os.environ.get("PYTHONPATH", "")]))
    notes = tmp_path / "notes.jsonl"
    monkeypatch.setenv("HARNESS_TEST_VLLM_NOTES", str(notes))
    return lambda: [json.loads(line) for line in notes.read_text().splitlines()]


@pytest.fixture(scope="module")
def lab():
    return load_policy(ModelConfig(device="cpu", cores=1), LoraConfig(rank=4), "auto")


@pytest.fixture
def player(lab, tmp_path):
    """A player that has moved away from the base, in the slot and on disk."""
    return moved(lab, 0.02, tmp_path / "player")


def moved(policy, std, folder):
    policy.reset_adapter(0)
    randomize_adapter(policy.adapter_parameters(), std)
    policy.save_adapter(folder)
    return folder


def adapter_name(folder):
    return f"checkpoint-{file_digest(folder / 'adapter_model.safetensors')}"


def config(*more):
    changed = {setting.partition("=")[0] for setting in more}
    return load_config(str(SMALL_RECIPE), [*(s for s in SETTINGS if s.partition("=")[0] not in changed), *more])


def drawn(policy, adapter, *more, count=4, advance=lambda n: None):
    asked = config(*more)
    sampler = VllmSampler(policy, asked, adapter)
    prompts = [policy.encoder.tokenizer(f"What is {n} plus 1 ?")["input_ids"] for n in range(count)]
    seeds = [keyed_seed(0, "generate", 0, str(n), 0) for n in range(count)]
    return prompts, sampler.sample(prompts, seeds, asked.generation, advance), sampler.engine_record


def test_tokens_are_kept_as_drawn_and_their_log_probability_is_the_players_at_temperature_1(lab, player, stand_in, monkeypatch):
    """Also while vLLM prints to standard output, from Python and from below it: nothing of that gets onto the line."""
    monkeypatch.setenv("HARNESS_TEST_VLLM", "prints")
    told = []
    prompts, responses, measured = drawn(lab, player, "generation.temperature=0.7", "generation.top_p=0.9", advance=told.append)
    notes = [n for n in stand_in() if "drew" in n]
    assert [r.token_ids for r in responses] == [n["drew"] for n in notes]
    assert [n["seed"] for n in notes] == [keyed_seed(0, "generate", 0, str(n), 0) for n in range(4)]
    assert max(n["seed"] for n in notes) >= 2**32, "seeds keep their 63 bits"
    expected = lab.score([PromptGroup(p, [r.token_ids]) for p, r in zip(prompts, responses, strict=True)], 2048)
    assert [r.logp for r in responses] == pytest.approx(expected, abs=1e-4)
    assert told == [1, 1, 1, 1, 0], "progress as the responses come"
    assert measured["vllm"] == "0.33.0+stand-in"
    assert measured["canary"]["off"] < 1e-4 < measured["canary"]["apart"]
    assert measured["canary"]["towards_base"] == pytest.approx(0, abs=1e-3)


def test_a_response_is_finished_if_and_only_if_its_stop_token_was_drawn(lab, player, stand_in):
    _, found, _ = drawn(lab, player, "generation.max_new_tokens=16", count=8)
    stops = lab.template.stop_ids
    assert {r.finished for r in found} == {True, False}
    assert all((r.token_ids[-1] in stops) is r.finished and stops.isdisjoint(r.token_ids[:-1]) for r in found)
    assert all(len(r.token_ids) == 16 for r in found if not r.finished)
    ending = lab.tokenizer.decode([lab.template.end_token_id])
    assert not any(ending in r.text for r in found), "the text has no closing token"


def test_what_vllm_is_opened_with(lab, player, stand_in, monkeypatch):
    monkeypatch.setenv("HARNESS_TEST_VLLM", "raises")
    with pytest.raises(RuntimeError, match="(?s)ended with exit code 1; .*Free memory on device"):
        drawn(lab, player, "generation.vllm_memory=0.3")
    (opened,) = stand_in()
    assert opened["mode"] == "raw_logprobs" and opened["caching"] is False and opened["processes"] == "0"
    assert (opened["dtype"], opened["memory"], opened["lora"], opened["rank"]) == ("float32", 0.3, True, 8)
    assert opened["length"] == len(lab.tokenizer("What is 0 plus 1 ?")["input_ids"]) + 16, "the longest request, no more"


def test_the_bare_base_asks_for_no_adapter(lab, stand_in):
    lab.reset_adapter(0)
    _, _, measured = drawn(lab, None)
    notes = stand_in()
    assert notes[0]["lora"] is False and {n["name"] for n in notes[1:]} == {None}
    assert measured["canary"]["apart"] is None and measured["canary"]["off"] < 1e-4


def test_an_initial_policy_that_is_an_adapter_is_drawn_from(player, stand_in):
    start = load_policy(ModelConfig(device="cpu", cores=1, adapter=str(player)), LoraConfig(rank=4), "auto")
    start.reset_adapter(3)
    _, _, measured = drawn(start, None, f"model.adapter={player}")
    assert {n["name"] for n in stand_in() if "drew" in n} == {adapter_name(player)}
    assert measured["canary"]["apart"] > 0.01 > measured["canary"]["off"]


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        ("ignores", r"checkpoint-\w+, at most 0.005 expected in float32 and lie 1.00 of the way .* adapter seems not"),
        ("dies", "(?s)ended with exit code 3; the last lines it wrote:.*illegal memory access"),
        ("few", "sent 3 responses, 4 were requested"),
        ("nonsense", "sent something that is no response"),
        ("silent", "sent something that is no response"),
    ],
)
def test_a_draw_that_cannot_be_trusted_is_an_error(lab, player, stand_in, monkeypatch, mode, expected):
    monkeypatch.setenv("HARNESS_TEST_VLLM", mode)
    with pytest.raises(RuntimeError, match=expected):
        drawn(lab, player)


def test_what_can_be_a_response_to_a_request_of_four_tokens():
    """Tokens 2 and 3 of ten stop; the last response of the good ones stops at the last place there is."""

    def valid(ids, reason, logp=-1.0):
        return is_response({"ids": ids, "logp": logp, "reason": reason}, Request([1], 0, 4), frozenset({2, 3}), set(range(10)))

    good = [([5, 6, 2], "stop"), ([5, 6, 7, 8], "length"), ([5, 6, 7, 2], "stop")]
    assert [case for case in good if not valid(*case)] == []
    wrong = [([5, 6, 7, 2], "length"), ([5, 6], "stop"), ([5, 6], "length"), ([5], "abort"), (None, "abort")]
    wrong += [([5, 2, 6, 7], "length"), ([5, 6, 7, 8, 9], "length"), ([], "length"), ([5, 10, 2], "stop"), ([5, True, 2], "stop")]
    wrong += [([5, 6, 2], "stop", logp) for logp in (None, float("nan"), 0.5)]
    assert [case for case in wrong if valid(*case)] == []


def test_a_stale_adapter_of_another_player_is_an_error(lab, stand_in, monkeypatch, tmp_path):
    """A copy that outlives its process: whatever is asked for, the first adapter there ever was is used."""
    monkeypatch.setenv("HARNESS_TEST_VLLM", "first")
    (tmp_path / "notes.jsonl.first").write_text(str(moved(lab, 0.02, tmp_path / "player-1")))
    with pytest.raises(RuntimeError, match="the checkpoint's adapter seems not to be applied"):
        drawn(lab, moved(lab, -0.02, tmp_path / "player-2"))


def test_a_process_that_falls_silent_is_given_up_and_ended(lab, player, stand_in, monkeypatch):
    monkeypatch.setenv("HARNESS_TEST_VLLM", "hangs")
    started, start = [], subprocess.Popen
    monkeypatch.setattr("subprocess.Popen", lambda *args, **kwargs: started.append(start(*args, **kwargs)) or started[-1])
    with pytest.raises(RuntimeError, match=r"sent nothing for 3 seconds \(generation.vllm_timeout\)"):
        drawn(lab, player, "generation.vllm_timeout=3")
    (process,) = started
    assert process.returncode == -9
    with pytest.raises(ProcessLookupError):
        os.killpg(process.pid, 0)


@pytest.mark.parametrize("said", ["hello", '{"kind": "end"}', "[]"])
def test_an_answer_that_is_no_message_is_an_error(said):
    code = "import sys; from multiprocessing.connection import Connection; Connection(int(sys.argv[1])).send_bytes(%r)"
    command, expected = [sys.executable, "-c", code % said.encode()], re.escape(f"sent '{said}', expected hello")
    with VllmProcess(20, command=command) as line, pytest.raises(RuntimeError, match=expected):
        line.receive("hello")


def test_an_order_to_nobody_is_an_error():
    with VllmProcess(20, command=[sys.executable, "-c", "import sys; sys.exit('gone')"]) as line:
        line.process.wait(20)
        with pytest.raises(RuntimeError, match="ended with exit code 1; the last lines it wrote:\ngone"):
            line.send("open")


def test_the_process_ends_with_its_parent(stand_in, tmp_path):
    """A parent that is killed cannot end it; it notices by itself."""
    code = (
        "import time; from harness.language.engine.vllm_process import VllmProcess\n"
        "process = VllmProcess(60); process.receive('hello'); print(process.process.pid, flush=True); time.sleep(60)"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    pid = int(parent.stdout.readline())
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    parent.stdout.close()
    state, deadline = Path(f"/proc/{pid}/stat"), time.monotonic() + 10
    while state.exists() and state.read_text().rsplit(")", 1)[1].split()[0] != "Z":
        assert time.monotonic() < deadline, "still there after ten seconds"
        time.sleep(0.1)


def test_the_agreement_is_the_hand_calculation():
    """Two responses of 2 and 3 tokens: vLLM -4 and -9, player -5 and -8, base -8 and -12.

    off = (1 + 1) / 5; apart = (3 + 4) / 5; gaps 1, -1; ways -3, -4; share = (-3 + 4) / 25; rests: gap - share x way = 1.12,
    -0.84, times the way -3.36, 3.36; error = sqrt((3.36^2 + 3.36^2) x 2 / 1) / 25.
    """
    found = dataclasses.asdict(compare_logps([-4.0, -9.0], [-5.0, -8.0], [-8.0, -12.0], [2, 3]))
    expected = {"responses": 2, "tokens": 5, "off": 0.4, "apart": 1.4, "towards_base": 0.04, "towards_base_error": 2 * 3.36 / 25}
    assert found == pytest.approx(expected)
    assert compare_logps([-4.0], [-5.0], None, [2]).apart is None
    assert compare_logps([-4.0, -1.0], [-5.0, -1.0], [-5.0, -1.0], [2, 2]).towards_base is None, "a player equal to the base"


def rounded(share, apart, noise, seed):
    """32 responses of 100 tokens in half precision: single tokens are off by `noise`, vLLM is `share` of its way to the base."""
    draw = np.random.default_rng(seed)
    player = -draw.gamma(20, 5, NUM_CHECKED)
    base = player - draw.gamma(2, apart * 100 / 2, NUM_CHECKED)
    off = draw.normal(0, noise * 10, NUM_CHECKED)
    return compare_logps(list(player + share * (base - player) + off), list(player), list(base), [100] * NUM_CHECKED)


def test_rounding_in_half_precision_raises_no_alarm_and_an_adapter_left_out_is_seen_below_the_tolerance_too():
    """However near the base is. At 0.01 nats per token, a fifth of what is allowed, the way towards the base gives it away."""
    for apart, seed in itertools.product((0.0005, 0.005, 0.05, 0.5), range(300)):
        raise_if_wrong(rounded(0, apart, 0.03, seed), "bfloat16", "the player")
    wrong = [(rounded(1, *how), "seems not to be applied") for how in itertools.product((0.01, 0.05, 0.5), (0.03,), range(100))]
    another_player = (rounded(-1, 0.2, 0.0, 0), "lie -1.00 of the way")  # beyond the player
    another_base = (compare_logps([-4.0], [-5.0], None, [2]), "vLLM draws from another model")
    for found, said in (*wrong, another_player, another_base):
        with pytest.raises(RuntimeError, match=said):
            raise_if_wrong(found, "bfloat16", "the player")


def test_adapters_get_the_smallest_room_that_vllm_has():
    assert [supported_rank(rank) for rank in (1, 4, 16, 17, 257, 512)] == [1, 8, 16, 32, 320, 512]


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        (["lora.rank=513"], "lora.rank=513: generation.backend=vllm takes at most 512; use --set lora.rank=512"),
        (["generation.temperature=2.5"], "generation.temperature=2.5: generation.backend=vllm takes 0.01 to 2.0"),
        (["generation.temperature=0.001"], "generation.temperature=0.001: "),
        (["model.dtype=float64"], "model.dtype=float64: vLLM applies adapters in bfloat16 or float16 or float32 only"),
        ([], "model.device=cpu: .*vllm needs a GPU, but the run computes on cpu and vLLM on cuda"),
    ],
)
def test_what_vllm_cannot_do_is_refused(stand_in, monkeypatch, settings, expected):
    if not settings:
        monkeypatch.setenv("HARNESS_TEST_VLLM", "cuda")
    with pytest.raises(UserError, match=expected):
        check_backend(config(*settings))


def test_an_installation_that_does_not_start_is_refused(stand_in, monkeypatch, tmp_path):
    (tmp_path / "vllm").mkdir()
    (tmp_path / "vllm" / "__init__.py").write_text("raise ImportError('libcudart.so.13: cannot open shared object file')")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), str(ROOT)]))
    with pytest.raises(UserError, match="generation.backend=vllm: vLLM's process ended with exit code 1; .*libcudart.so.13"):
        check_backend(config())


def test_without_vllm_the_program_says_how_to_install_it_and_writes_nothing(tmp_path):
    done = run_cli("run", "--recipe", SMALL_RECIPE, "--jobs", "1", "--set", "generation.backend=vllm", cwd=tmp_path, check=False)
    (said,) = [line for line in done.stderr.splitlines() if line.startswith("harness: ")]
    assert done.returncode == 1 and 'vLLM is not installed; install it with: pip install "selfplay-harness[vllm]"' in said
    assert not list((tmp_path / "results").glob("*/*"))


def test_the_gpu_of_the_run_is_the_only_one_vllm_sees(monkeypatch):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert visible_device_env(torch.device("cpu")) == {}
    assert visible_device_env(torch.device("cuda", 1)) == {"CUDA_VISIBLE_DEVICES": "1"}
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,GPU-8")
    assert visible_device_env(torch.device("cuda", 1)) == {"CUDA_VISIBLE_DEVICES": "GPU-8"}


def test_the_default_back_end_is_no_difference_and_vllm_is_one():
    same = ([], ["generation.backend=transformers"], ["generation.vllm_memory=0.9", "generation.vllm_timeout=9"])
    assert len({load_config(str(SMALL_RECIPE), settings).identity_digest() for settings in same}) == 1
    assert config().identity()["generation"]["backend"] == "vllm"


def test_a_run_keeps_its_back_end(played_copy):
    run = RunFolder(played_copy / "results/small")
    manifest = json.loads((run.root / "initial/seed-0/generate/k-0/manifest.json").read_text())
    assert manifest["settings"]["backend"] == "transformers"
    configs = {name: load_config(str(SMALL_RECIPE), [f"generation.backend={name}"]) for name in ("transformers", "vllm")}
    for made, other in (("transformers", "vllm"), ("vllm", "transformers")):
        check_unchanged(run, configs[made], [])
        with pytest.raises(UserError, match=f"was made with generation.backend='{made}', now asked for '{other}'; use --name"):
            check_unchanged(run, configs[other], [])
        run.write_record({**run.record(), "identity": configs[other].identity()})


@pytest.mark.slow  # a minute: the program starts several times
def test_a_run_by_vllm_commits_nothing_of_another_player_and_goes_on_when_that_is_mended(stand_in, tmp_path):
    """The first iteration is drawn from the bare base, the second from a trained player, at first with its adapter left out."""
    more = [part for setting in SETTINGS for part in ("--set", setting)]
    asked = ("run", "--recipe", SMALL_RECIPE, "--objectives", "spin", "--jobs", "1", "--name", "it", *more)
    done = run_cli(*asked, cwd=tmp_path, check=False, HARNESS_TEST_VLLM="ignores")
    assert done.returncode == 2 and "the checkpoint's adapter seems not to be applied" in done.stdout
    run = tmp_path / "results/it"
    places = [run / "initial/seed-0/generate/k-0", run / "spin/seed-0/iteration-1/generate"]
    assert [place.exists() for place in places] == [True, False]
    assert not list(run.rglob("iteration-1/generate.partial/samples.jsonl*"))
    left_out = len(stand_in())

    run_cli(*asked, cwd=tmp_path)
    kept = [row for place in places for row in read_jsonl(place / "samples.jsonl")]
    notes = [n for n in stand_in()[:13] + stand_in()[left_out:] if "drew" in n]
    assert [(s["token_ids"], s["logp"], s["seed"]) for s in kept] == [(n["drew"], n["logp"], n["seed"]) for n in notes]
    assert [n["name"] for n in notes] == [None] * 12 + [adapter_name(run / "spin/seed-0/iteration-0/train/adapter")] * 12
    first, second = (json.loads((place / "manifest.json").read_text()) for place in places)
    assert first["settings"]["backend"] == second["settings"]["backend"] == "vllm"
    assert first["counts"]["canary"]["apart"] is None
    assert second["counts"]["canary"]["off"] < 1e-4 < second["counts"]["canary"]["apart"]
    assert second["counts"]["vllm"] == "0.33.0+stand-in"
    score = json.loads((run / "spin/seed-0/iteration-1/score/manifest.json").read_text())
    assert score["counts"]["known_logp_max_difference"] < 1e-3, "the opponent's own scores agree"


@pytest.mark.gpu
def test_vllm_itself_draws_a_run(tmp_path):
    if find_spec("vllm") is None:
        pytest.skip("vLLM is not installed")
    more = ("--set", "generation.backend=vllm", "--set", "model.dtype=bfloat16", "--set", "generation.vllm_memory=0.2")
    run_cli("run", "--recipe", SMALL_RECIPE, "--objectives", "spin", "--jobs", "1", "--name", "it", *more, cwd=tmp_path)
    found = json.loads((tmp_path / "results/it/spin/seed-0/iteration-1/generate/manifest.json").read_text())["counts"]["canary"]
    assert found["off"] < 0.05 and abs(found["towards_base"]) < 0.5


def test_the_worker_imports_the_standard_library_and_vllm_with_its_progress_bar():
    tree = ast.parse((ROOT / "harness/language/engine/worker.py").read_text())
    found = {a.name for n in ast.walk(tree) if isinstance(n, ast.Import) for a in n.names}
    found |= {n.module for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)}
    assert {name.split(".")[0] for name in found} - set(sys.stdlib_module_names) == {"vllm", "tqdm"}
