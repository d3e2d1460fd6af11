"""Checkpoints that this program cannot play are refused by what their config.json says, before their weights are read."""

import json

import pytest
import torch
import transformers

from harness.config import GenerationConfig, LoraConfig, ModelConfig
from harness.errors import UserError
from harness.language.model.choosing import SamplingParams, choose_tokens
from harness.language.model.generating import generate_with_transformers
from harness.language.model.loading import load_policy
from harness.language.model.sampling import Request
from harness.records import PromptGroup
from tests.conftest import SMALL_RECIPE, randomize_adapter, run_cli_in_process
from tests.helpers.families import copy_lab, save_model, twin
from tests.helpers.sampled import plain_logps

TEXT = {
    "vocab_size": 900, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "head_dim": 8, "max_position_embeddings": 1024, "bos_token_id": 1, "eos_token_id": 2,
    "pad_token_id": 0,
}  # fmt: skip
SEEN = {"num_hidden_layers": 1, "num_attention_heads": 2, "image_size": 28, "patch_size": 14}
ROPE = {"rope_type": "default", "rope_theta": 1e4}
# kind -> settings of its text model, of its vision tower and of both
VISION = {
    "gemma3": ({"sliding_window": 16}, {}, {"mm_tokens_per_image": 4, "image_token_index": 899}),
    "llama4": ({"intermediate_size_mlp": 48, "num_local_experts": 2, "attention_chunk_size": 16},
               {"intermediate_size": 128, "vision_output_dim": 32, "projector_input_dim": 32, "projector_output_dim": 32}, {}),
    "mistral3": ({}, {}, {}),
    "qwen3_vl": ({"rope_parameters": {**ROPE, "mrope_section": [1, 1, 2]}},
                 {"depth": 1, "num_heads": 2, "out_hidden_size": 32, "deepstack_visual_indexes": [0]}, {}),
}  # fmt: skip


def load(folder, **settings):
    policy = load_policy(ModelConfig(path=str(folder), cores=1, **settings), LoraConfig(rank=4), "auto")
    policy.reset_adapter(0)
    return policy


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        *(({"quantization_config": {"quant_method": kind}}, rf"quantised already \({kind}\)") for kind in ("gptq", "awq", "fp8")),
        *(({"architectures": [kind]}, f"says {kind}, which has no language model's output layer")
          for kind in ("LlamaForSequenceClassification", "LlamaModel", "LlamaForTokenClassification", "QRMRewardModel")),
    ],
)  # fmt: skip
def test_what_is_no_plain_causal_language_model_is_refused_in_one_line(tmp_path, changes, expected):
    with pytest.raises(UserError, match=expected):
        load(copy_lab(tmp_path / "model", **changes))


def test_t5_and_vision_encoders_are_refused_by_their_type(tmp_path):
    t5 = transformers.T5Config(vocab_size=900, d_model=32, d_ff=48, num_layers=1, num_heads=2, d_kv=8)
    with pytest.raises(UserError, match="t5 is an encoder with a decoder"):
        load(save_model(transformers.T5ForConditionalGeneration(t5), tmp_path / "t5"))
    with pytest.raises(UserError, match="no causal language model of type siglip_vision_model"):
        load(copy_lab(tmp_path / "siglip", model_type="siglip_vision_model", architectures=None))


def test_an_encoder_is_refused_before_anything_is_written(tmp_path):
    config = transformers.BertConfig(**{k: TEXT[k] for k in list(TEXT)[:5]}, max_position_embeddings=1024)
    torch.manual_seed(0)
    folder = save_model(transformers.BertLMHeadModel(config), tmp_path / "bert")
    ask = ("run", "--recipe", SMALL_RECIPE, "--objectives", "sft", "--model", folder, "--name", "bert")
    done = run_cli_in_process(*ask, cwd=tmp_path, check=False)
    assert done.returncode == 1 and "it looks ahead, as an encoder does" in done.stderr
    assert not (tmp_path / "results").exists()


def vision(kind):
    text, tower, both = VISION[kind]
    tower = {"hidden_size": 32, "intermediate_size": 48, **SEEN, **tower}
    config = {"text_config": {**TEXT, "rope_parameters": ROPE, **text}, "vision_config": tower, **both}
    return transformers.AutoModelForImageTextToText.from_config(transformers.AutoConfig.for_model(kind, **config))


@pytest.mark.parametrize("kind", VISION)
def test_a_model_with_a_vision_tower_is_played_on_text_with_the_adapter_on_the_language_model(tmp_path, kind):
    torch.manual_seed(0)
    policy = load(save_model(vision(kind), tmp_path / kind))
    names = [name for name, _ in policy.adapter_parameters()]
    assert names and not any("vision" in name or "visual" in name or "projector" in name for name in names)
    randomize_adapter(policy.adapter_parameters())
    prompts = [[1, 20, 30], [1, 20, 30, 40, 50, 60, 70], [1, 22, 33]]
    drawn = policy.sample(prompts, [1, 2, 3], GenerationConfig(max_new_tokens=20, batch_size=2))
    groups = [PromptGroup(p, [d.token_ids]) for p, d in zip(prompts, drawn, strict=True)]
    with torch.no_grad():
        expected = plain_logps(policy.model, groups).tolist()
    assert [d.logp for d in drawn] == pytest.approx(expected, abs=1e-4)
    assert policy.score(groups, 256) == pytest.approx(expected, abs=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["gemma3", "llama4"])
def test_a_whole_run_on_a_model_with_a_vision_tower(tmp_path, kind):
    torch.manual_seed(0)
    folder = save_model(vision(kind), tmp_path / kind)
    more = ("--iters", "1", "--name", "seen", "--set", "data.overlong=drop")
    run_cli_in_process("run", "--recipe", SMALL_RECIPE, "--objectives", "spin", "--model", folder, *more, cwd=tmp_path)
    manifest = json.loads((tmp_path / "results/seen/spin/seed-0/iteration-0/score/manifest.json").read_text())
    assert manifest["counts"]["known_logp_max_difference"] < 1e-3


def test_ids_without_a_token_are_never_drawn_and_the_log_probability_is_the_plain_policys(tokenizer, tmp_path):
    """A fifth of the vocabulary has no token; of 2,000 tokens 80 would be such. The kept number is over all ids, as scored."""
    torch.manual_seed(0)
    words = len(tokenizer)
    config = transformers.LlamaConfig(**{**TEXT, "vocab_size": words + 200})
    policy = load(save_model(transformers.LlamaForCausalLM(config), tmp_path / "padded"))
    assert policy.ids_without_token == tuple(range(words, words + 200))
    prompts = [[1, 3, 20 + i % 7] for i in range(100)]
    drawn = policy.sample(prompts, list(range(100)), GenerationConfig(max_new_tokens=20, batch_size=50))
    assert max(max(d.token_ids) for d in drawn) < words
    scored = policy.score([PromptGroup(p, [d.token_ids]) for p, d in zip(prompts, drawn, strict=True)], 4096)
    assert [d.logp for d in drawn] == pytest.approx(scored, abs=1e-4)
    (line,) = policy.notes
    assert "200 of the model's ids have no token in the tokenizer: never drawn" in line


def test_what_is_drawn_without_them_is_the_rest_scaled_up():
    """By hand: of 0.1, 0.2, 0.3, 0.4 without the last, a uniform of 0.49 falls below (0.1 + 0.2) / 0.6 = 0.5, 0.51 above."""
    logits = torch.log(torch.tensor([[0.1, 0.2, 0.3, 0.4]]))
    how = SamplingParams(banned_ids=(3,))
    for uniform, token, share in ((0.49, 1, 0.2), (0.51, 2, 0.3), (1 - 2**-53, 2, 0.3)):
        tokens, logp = choose_tokens(logits, torch.tensor([uniform], dtype=torch.float64), how)
        assert int(tokens) == token
        assert float(logp) == pytest.approx(torch.log(torch.tensor(share)).item(), abs=1e-6)
    tokens, _ = choose_tokens(logits, torch.tensor([0.5]), SamplingParams(temperature=0.0, banned_ids=(3,)))
    assert int(tokens) == 2


def test_self_play_is_drawn_from_the_plain_policy_whatever_generation_config_says(tmp_path):
    plain, other = (copy_lab(tmp_path / name) for name in ("plain", "other"))
    said = {"repetition_penalty": 3.0, "temperature": 0.1, "top_k": 1, "do_sample": True, "suppress_tokens": [5, 6, 7, 8]}
    (other / "generation_config.json").write_text(json.dumps(said))
    settings = GenerationConfig(max_new_tokens=12, batch_size=4)
    found = []
    for folder in (plain, other):
        policy = load(folder)
        found.append([d.token_ids for d in policy.sample([[1, 3, 20 + i, 4] for i in range(8)], range(8), settings)])
    assert found[0] == found[1]


def test_a_family_sampled_through_generate_is_untouched_by_generation_config_too():
    model = twin("mamba")
    asked = ([Request([5, 6, 7], n, 8) for n in range(4)], SamplingParams(), frozenset(), 4, "generate")
    plain = generate_with_transformers(model, *asked)
    said = {"repetition_penalty": 3.0, "eos_token_id": plain[0].ids[1], "suppress_tokens": [3, 4, 9]}
    bare = model.get_base_model()
    bare.generation_config = transformers.GenerationConfig(**said)
    assert generate_with_transformers(model, *asked) == plain
    assert bare.generation_config.repetition_penalty == 3.0
