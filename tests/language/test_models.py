"""Models as users have them: a hub's cache with a commit, repositories with code, pickles, four bits, too little memory."""

import dataclasses
import importlib.util
import json
import shutil

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from harness.config import GenerationConfig, LoraConfig, ModelConfig, load_config
from harness.errors import UserError
from harness.language.checks import check_gradient_checkpointing
from harness.language.encoding import choose_template, encode_prompt
from harness.language.model.checkpointing import checkpointable_layers, gradient_checkpointing
from harness.language.model.loading import load_policy, weight_files
from harness.language.model.logprobs import collate, continuation_logps
from harness.language.model.quantization import quantization_config
from harness.language.model.sampling import generate_tokens
from harness.language.model.trie import pack_tries
from harness.records import PromptGroup
from objectives.sft import SFT
from objectives.space import SPACE
from tests.conftest import SMALL_RECIPE, make_policy, read_csv_rows, run_cli, run_cli_in_process
from tests.helpers.families import FAMILIES, LAB, SINGLE, copy_lab, family, save_model
from tests.helpers.training import make_groups, run, weights

GROUPS = [PromptGroup([1, 20, 30], [[50, 60, 2], [70, 2]]), PromptGroup([1, 21], [[40, 41, 42, 2]])]
FIRST, SECOND = "a" * 40, "b" * 40


def record(run):
    return json.loads((run / "run.json").read_text())


def in_cache(home, commit, change=0.0):
    """The lab's base as the hub's library leaves a model on a machine, under a commit; `change` moves one weight."""
    repository = home / "hub" / "models--tiny--lab"
    snapshot = repository / "snapshots" / commit
    shutil.copytree(LAB, snapshot)
    weights = load_file(snapshot / "model.safetensors")
    weights["model.norm.weight"][0] += change
    save_file(weights, snapshot / "model.safetensors", metadata={"format": "pt"})
    (repository / "refs").mkdir(exist_ok=True)
    (repository / "refs" / "main").write_text(commit)


def test_a_run_keeps_to_the_commit_it_began_with(tmp_path):
    """The hub's main branch moves between two commands: the second goes on with the first one's weights, and records them."""
    in_cache(tmp_path / "home", FIRST)
    offline = {"HF_HOME": str(tmp_path / "home"), "HF_HUB_OFFLINE": "1"}
    ask = ("run", "--recipe", SMALL_RECIPE, "--objectives", "sft", "--model", "tiny/lab", "--name", "pinned")
    run_cli(*ask, "--iters", "1", cwd=tmp_path, **offline)
    first = record(tmp_path / "results/pinned")
    assert first["base_commit"] == FIRST
    assert first["base_digest"] == load_policy(ModelConfig(), LoraConfig(), "auto").base_digest, "weights are named by content"
    in_cache(tmp_path / "home", SECOND, change=1.0)
    run_cli(*ask, "--iters", "2", cwd=tmp_path, **offline)
    second = record(tmp_path / "results/pinned")
    assert (second["base_commit"], second["iterations"]) == (FIRST, 2)
    other = run_cli_in_process(*ask, "--set", "model.revision=" + SECOND, cwd=tmp_path, check=False)
    assert other.returncode == 1 and "was made with model.revision=None" in other.stderr


def test_only_the_files_that_hold_the_weights_name_them(tmp_path):
    assert weight_files(tmp_path) == ["model.safetensors"]
    index = {"weight_map": {"a": "model-2.safetensors", "b": "model-1.safetensors", "c": "model-2.safetensors"}}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    (tmp_path / "consolidated.safetensors").touch()
    assert weight_files(tmp_path) == ["model-1.safetensors", "model-2.safetensors"]


def test_code_of_a_repository_runs_only_when_asked_for_by_name(tmp_path):
    """A repository whose model type is its own and whose code leaves a mark when it runs."""
    classes = {"AutoConfig": "mine.MyConfig", "AutoModelForCausalLM": "mine.Mine"}
    with_code = copy_lab(tmp_path / "repository", model_type="mine", architectures=["Mine"], auto_map=classes)
    (with_code / "mine.py").write_text(
        "import pathlib\nfrom transformers import LlamaConfig, LlamaForCausalLM\n"
        f"pathlib.Path({str(tmp_path / 'ran')!r}).touch()\n\n\n"
        "class MyConfig(LlamaConfig):\n    model_type = 'mine'\n\n\nclass Mine(LlamaForCausalLM):\n    config_class = MyConfig\n"
    )
    ask = ("run", "--recipe", SMALL_RECIPE, "--objectives", "sft", "--iters", "1", "--model", with_code, "--name", "coded")
    refused = run_cli_in_process(*ask, cwd=tmp_path, check=False)
    assert refused.returncode == 1, refused.stderr
    assert "Python code that it wants to run on this machine" in refused.stderr and "--trust-remote-code" in refused.stderr
    assert not (tmp_path / "ran").exists() and not (tmp_path / "results/coded").exists()
    run_cli(*ask, "--trust-remote-code", cwd=tmp_path, HF_HOME=str(tmp_path / "home"))
    assert (tmp_path / "ran").exists()
    assert record(tmp_path / "results/coded")["identity"]["model"]["run_code_from_model_repository"] is True


def test_pickled_weights_are_not_read(tmp_path):
    folder = copy_lab(tmp_path / "pickled")
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(b"cos\nsystem\n(S'touch ran'\ntR.")
    with pytest.raises(UserError, match=r"no \.safetensors weights there; pickled weights are not read"):
        load_policy(ModelConfig(path=str(folder)), LoraConfig(), "auto")


@pytest.mark.parametrize("name", [*FAMILIES, *SINGLE])
def test_activations_computed_again_give_the_same_gradient(name):
    """Bit for bit, and every layer does run twice."""
    model = family(name, torch.float64 if name in FAMILIES else torch.float32)
    parameters = [p for n, p in model.named_parameters() if "lora_" in n]
    ran = []
    for layer in checkpointable_layers(model):
        next(layer.children()).register_forward_hook(lambda *_: ran.append(1))

    def slopes(wanted):
        ran.clear()
        with gradient_checkpointing(model, wanted):
            total = continuation_logps(model, collate(GROUPS, "packed"), "packed").logps.sum()
            return torch.autograd.grad(total, parameters), len(ran)

    (plain, once), (again, twice) = slopes(False), slopes(True)
    assert (once, twice) == (2, 4)
    assert all(torch.equal(a, b) for a, b in zip(plain, again, strict=True))
    assert max(float(g.abs().max()) for g in plain) > 1e-4
    assert not any("forward" in vars(layer) for layer in checkpointable_layers(model)), "afterwards layers are as before"


def test_checkpointing_trains_the_same_adapter_and_counts_as_speed(tokenizer):
    saved = []
    for again in (False, True):
        policy = make_policy(tokenizer)
        run(policy, make_groups(policy, SFT().needs), SFT(), lr=1e-2, gradient_checkpointing=again)
        saved.append(weights(policy))
    assert all(torch.equal(saved[0][n], saved[1][n]) for n in saved[0])


def test_a_family_without_such_layers_is_refused_before_training(tokenizer, monkeypatch):
    config = load_config("smoke", ["training.gradient_checkpointing=true"])
    policy = make_policy(tokenizer)
    check_gradient_checkpointing(policy, config, checkpointing=True)
    monkeypatch.setattr("harness.language.checks.checkpointable_layers", lambda model: [])
    check_gradient_checkpointing(policy, config, checkpointing=False)
    with pytest.raises(UserError, match="cannot be computed again"):
        check_gradient_checkpointing(policy, config, checkpointing=True)


def test_attention_is_a_setting():
    for kind in ("eager", "sdpa"):
        policy = load_policy(ModelConfig(attention=kind), LoraConfig(), "auto")
        assert policy.model.config._attn_implementation == kind
    with pytest.raises(UserError, match="cannot be loaded"):
        load_policy(ModelConfig(attention="flash_attention_2"), LoraConfig(), "auto")


def test_targets_are_every_linear_layer_unless_named():
    def layers(**settings):
        policy = load_policy(ModelConfig(), LoraConfig(**settings), "auto")
        return {name.split(".")[-4] for name, _ in policy.adapter_parameters()}

    assert layers() == {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"}
    assert layers(targets=["q_proj", "v_proj"]) == {"q_proj", "v_proj"}
    with pytest.raises(UserError, match=r"lora\.targets=\['nothing'\]"):
        layers(targets=["nothing"])


def test_without_bitsandbytes_quantisation_is_one_line(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r'needs bitsandbytes; install it with: pip install "selfplay-harness\[qlora\]"'):
        quantization_config("nf4", torch.float32)


def square_model(folder):
    """A random model with the lab's tokenizer, its layers multiples of 64 wide, as bitsandbytes wants them on a processor."""
    torch.manual_seed(0)
    words = len(transformers.AutoTokenizer.from_pretrained(str(LAB)))
    sizes = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 2}
    config = transformers.LlamaConfig(vocab_size=words, max_position_embeddings=2048, **sizes)
    return str(save_model(transformers.LlamaForCausalLM(config), folder / "square"))


def test_a_base_in_four_bits_is_trained_like_any_other(tmp_path):
    """Weights really are 4-bit and nowhere merged; scored and trained the same player (step 0); the loss falls."""
    pytest.importorskip("bitsandbytes")
    base = square_model(tmp_path)
    policy = load_policy(ModelConfig(path=base, quantize="nf4"), LoraConfig(), "auto")
    assert {type(m).__name__ for n, m in policy.model.named_modules() if n.endswith("base_layer")} == {"Linear4bit"}
    assert not policy.uses_merged_weights
    assert policy.base_digest != load_policy(ModelConfig(path=base), LoraConfig(), "auto").base_digest
    policy.reset_adapter(0)
    settings = {"lr": 1e-2, "schedule": "constant", "warmup": 0.0, "epochs": 6, "batch_size": 8}
    counts, steps = run(policy, make_groups(policy, SPACE().needs), SPACE(), **settings)
    assert counts["step0_max_abs_log_ratio_per_token"] < 1e-4
    assert steps[-1].loss < steps[0].loss


def test_gradients_pass_through_the_four_bits_after_scoring_and_after_evaluation_mode(tmp_path):
    """Equal to those of the same model with its weights written out, to float32's rounding."""
    bnb = pytest.importorskip("bitsandbytes")
    path = square_model(tmp_path)
    policies = [load_policy(ModelConfig(path=path, quantize=kind), LoraConfig(rank=4), "auto") for kind in ("nf4", None)]
    full = dict(policies[1].model.named_modules())
    for name, module in policies[0].model.named_modules():
        if isinstance(module, bnb.nn.Linear4bit):
            full[name].weight.data = bnb.functional.dequantize_4bit(module.weight.data, module.weight.quant_state)
    found = []
    for policy in policies:
        policy.reset_adapter(0)
        with torch.no_grad():
            for n, (_, p) in enumerate(policy.adapter_parameters()):
                p += 0.01 * torch.randn(p.shape, generator=torch.Generator().manual_seed(n))
        policy.score(GROUPS, 64)
        policy.model.eval()
        policy.score(GROUPS, 64)
        total = policy.response_logps(policy.collate(GROUPS)).sum()
        found.append(torch.autograd.grad(total, [p for _, p in policy.adapter_parameters()]))
    for mine, expected in zip(*found, strict=True):
        assert torch.allclose(mine, expected, atol=1e-4 * float(expected.abs().max()))


@pytest.mark.slow
def test_a_run_on_four_bits_is_played_to_its_report(tmp_path):
    pytest.importorskip("bitsandbytes")
    settings = ("--objectives", "space", "--iters", "2", "--name", "four")
    ask = ("run", "--recipe", SMALL_RECIPE, *settings, "--model", square_model(tmp_path))
    run_cli(*ask, "--set", "model.quantize=nf4", cwd=tmp_path)
    rows = [r for r in read_csv_rows(tmp_path / "results/four/dynamics.csv") if r["name"] == "heldout_nll_per_token"]
    assert float(rows[-1]["value"]) < float(rows[0]["value"])
    refused = run_cli(*ask, cwd=tmp_path, check=False)
    assert "was made with model.quantize='nf4', now asked for None" in refused.stderr


def test_a_prompt_begins_as_the_tokenizer_begins_its_text(tokenizer):
    """As the evaluation's prompts do: the lab's beginning token is written by its chat template and by nothing else."""
    for kind, count in (("chat", 1), ("instruction", 0)):
        template = choose_template(tokenizer, kind)
        rendered = template.render(tokenizer, "what does the cat eat ?")
        ids = encode_prompt(tokenizer, rendered, template)
        assert ids.count(tokenizer.bos_token_id) == count
        assert ids == tokenizer(rendered)["input_ids"][: len(ids)]


@pytest.mark.slow
def test_the_mismatch_of_spins_released_code_is_a_setting_with_a_warning(tmp_path):
    """The opponent is asked in one template; scoring and training see the other; nothing it drew counts as already scored."""
    ask = ("run", "--recipe", SMALL_RECIPE, "--objectives", "spin", "--iters", "1", "--name", "mixed")
    other = ("--set", "generation.template=instruction")
    assert "WARNING generation.template=instruction" in run_cli_in_process(*ask, *other, cwd=tmp_path).stderr
    plan = run_cli_in_process(*ask[:-1], "planned", *other, "--dry-run", cwd=tmp_path)
    assert "WARNING generation.template=instruction" in plan.stdout + plan.stderr, "nor does the plan's own trial"
    assert "WARNING" not in run_cli_in_process(*ask[:-1], "plain", cwd=tmp_path).stderr
    first = "initial/seed-0/generate/k-0/samples.jsonl.gz"
    mixed, same = ((tmp_path / "results" / name / first).read_bytes() for name in ("mixed", "plain"))
    assert mixed != same
    trained = json.loads((tmp_path / "results/mixed/spin/seed-0/iteration-0/train/manifest.json").read_text())
    assert trained["counts"]["step0_max_abs_log_ratio_per_token"] < 1e-4
    refused = run_cli_in_process(*ask, cwd=tmp_path, check=False)
    assert "generation.template='instruction', now asked for None" in refused.stderr


def test_a_response_that_ended_in_another_template_ends_in_the_one_it_is_trained_with(policy):
    other = dataclasses.replace(policy.template, end_token_id=77, stop_ids=frozenset({77}))
    assert policy.encoder.with_end_token([5, 77], True) == [5, 77], "without a template of its own nothing is touched"
    policy.encoder.generation_template = other
    assert policy.stop_ids == policy.template.stop_ids | {77}
    assert policy.encoder.with_end_token([5, 77], True) == [5, policy.template.end_token_id]
    assert policy.encoder.with_end_token([5, 6], False) == [5, 6]


def test_scoring_goes_on_in_halves_where_memory_runs_out(policy, monkeypatch):
    groups = [PromptGroup([1, 20 + n], [[50 + n, 2], [60, 61, 2]]) for n in range(6)]
    plain, judged = policy.score(groups, 1000), policy.loglikelihood(groups, 1000)
    seen = []

    def little_room(lay_out, count):
        def laid_out(some, *rest, **named):
            seen.append(count(some))
            if seen[-1] > 2:
                raise torch.OutOfMemoryError("out of memory")
            return lay_out(some, *rest, **named)

        return laid_out

    monkeypatch.setattr("harness.language.policy.collate", little_room(collate, len))
    assert policy.score(groups, 1000) == pytest.approx(plain, abs=1e-10)
    assert seen[:3] == [6, 3, 1]
    seen.clear()
    in_tries = little_room(pack_tries, lambda tries: sum(map(len, tries)))
    monkeypatch.setattr("harness.language.model.loglikelihood.pack_tries", in_tries)
    assert [v for v, _ in policy.loglikelihood(groups, 1000)] == pytest.approx([v for v, _ in judged], abs=1e-10)
    assert seen[:3] == [12, 6, 3], "continuations: a context's may be computed apart"


def test_generation_goes_on_with_fewer_rows_where_memory_runs_out(policy, monkeypatch):
    """The same tokens, and progress that counts every response once."""
    prompts, settings = [[1, 20 + n] for n in range(8)], GenerationConfig(max_new_tokens=6, batch_size=8)
    plain = policy.sample(prompts, range(8), settings)
    tried, told, most = [], [], 2

    def little_room(model, requests, how, stop_ids, rows, share, advance):
        tried.append(rows)
        if rows > most:
            advance(3)
            raise torch.OutOfMemoryError("out of memory")
        return generate_tokens(model, requests, how, stop_ids, rows, share, advance)

    monkeypatch.setattr("harness.language.policy.generate_tokens", little_room)
    assert [d.token_ids for d in policy.sample(prompts, range(8), settings, told.append)] == [d.token_ids for d in plain]
    assert tried == [8, 4, 2]
    assert sum(told) == 8
    most = 0
    with pytest.raises(torch.OutOfMemoryError):  # not even one fits
        policy.sample(prompts, range(8), settings)
