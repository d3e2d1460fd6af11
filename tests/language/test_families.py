"""Families of transformers: scores and samples are a plain forward pass's, greedy answers those of `generate`, or one line.

Every model is a tiny random twin with weights large enough that padding, a neighbour or a forgotten state would show.
"""

import pytest
import torch
import transformers

from harness.config import LoraConfig
from harness.language.model.choosing import SamplingParams
from harness.language.model.decode_cache import DecodeCache
from harness.language.model.generating import generate_with_transformers
from harness.language.model.logprobs import collate, continuation_logps
from harness.language.model.lora import add_adapter
from harness.language.model.sampling import Request, generate_tokens
from harness.language.model.verify import UnsupportedModel, forward_changes_modules, plain_logp, verify_model
from harness.records import PromptGroup
from tests.helpers.families import PLAIN_TWINS, STATE_TWINS, twin, twin_config
from tests.helpers.sampled import plain_logps

GROUPS = [
    PromptGroup([1, 5, 9, 30], [[40, 41, 2], [50, 2]]),
    PromptGroup([1, 6, 9, 30, 77, 78, 12, 13, 14, 60, 61], [[60, 61, 2, 9, 9, 8, 7], [50], [33, 44]]),
    PromptGroup([3], [[60, 61, 2, 9]]),
]
PROMPTS = [[30 + i % 7, *range(40, 40 + n)] for i, n in enumerate((0, 2, 2, 5, 5, 5, 11, 16))]
REQUESTS = [Request(prompt, 100 + i, 3 + i % 5) for i, prompt in enumerate(PROMPTS)]
DOUBLE = ("minicpm3",)  # its logits are large: in single precision they round to more than what is compared
QUICK = ("gpt_oss", "mpt", "modernbert-decoder", "falcon_h1", "lfm2", "llama4_text", "recurrent_gemma", "rwkv")


def drawn(model, choice, requests, how, rows):
    if choice.uses_own_sampler:
        return generate_tokens(model, requests, how, frozenset(), rows, choice)
    return generate_with_transformers(model, requests, how, frozenset(), rows, choice.sampler)


def greedy(model, prompt, count, cached=True):
    """transformers' own answer to one prompt alone."""
    ids = torch.tensor([prompt])
    settings = transformers.GenerationConfig(max_new_tokens=count, do_sample=False, pad_token_id=0, use_cache=cached)
    bare = model.get_base_model()
    bare.generation_config = transformers.GenerationConfig()
    bare(input_ids=ids[:, :1], use_cache=False)
    return bare.generate(ids, attention_mask=torch.ones_like(ids), generation_config=settings)[0, len(prompt) :].tolist()


def check(name):
    model = twin(name, torch.float64 if name in DOUBLE else torch.float32)
    choice = verify_model(model)
    expected = [plain_logp(model, g.prompt, c) for g in GROUPS for c in g.responses]
    lengths = [len(c) for g in GROUPS for c in g.responses]
    scored = continuation_logps(model, collate(GROUPS, choice.layout), choice.layout).logps.tolist()
    assert max(abs(a - b) / n for a, b, n in zip(scored, expected, lengths, strict=True)) < 1e-5
    samples = drawn(model, choice, REQUESTS, SamplingParams(), 3)
    for request, one in zip(REQUESTS, samples, strict=True):
        assert abs(one.logp - plain_logp(model, request.prompt_ids, one.ids)) / len(one.ids) < 1e-5
    assert [len(one.ids) for one in samples] == [r.max_new_tokens for r in REQUESTS]
    assert [one.ids for one in drawn(model, choice, REQUESTS, SamplingParams(), 8)] == [one.ids for one in samples]
    likeliest = drawn(model, choice, REQUESTS, SamplingParams(temperature=0.0), 3)
    cached = choice.sampler != "generate without cache"
    assert [one.ids for one in likeliest] == [greedy(model, r.prompt_ids, r.max_new_tokens, cached) for r in REQUESTS]
    assert {one.logp for one in likeliest} == {None}
    return choice


def families(twins):
    return [pytest.param(name, marks=() if name in QUICK else pytest.mark.slow) for name in twins]


@pytest.mark.parametrize("name", families(PLAIN_TWINS))
def test_a_family_with_keys_and_values_alone_is_sampled_in_batches_and_exact(name):
    assert check(name).uses_own_sampler


@pytest.mark.parametrize("name", families(STATE_TWINS))
def test_a_family_with_a_state_beside_keys_and_values_is_sampled_through_its_own_cache_and_exact(name):
    choice = check(name)
    assert choice.sampler.startswith("generate") and choice.layout in ("rows", "logits")
    assert choice.sampler_reason != "keys and values alone"


@pytest.mark.parametrize("name", ["bert", "roberta"])
def test_an_encoder_looks_ahead_and_is_refused(name):
    with pytest.raises(UnsupportedModel, match="it looks ahead, as an encoder does"):
        verify_model(twin(name))


def test_a_sampler_that_is_not_the_models_own_function_is_not_taken(monkeypatch):
    """Mamba through a cache of our own with padding, as every family was once sampled: the check takes another way."""
    model = twin("mamba")
    monkeypatch.setattr("harness.language.model.verify.extra_state", lambda model: None)
    assert verify_model(model).sampler == "generate"
    monkeypatch.setattr("harness.language.model.verify.GENERATE_SAMPLERS", ())
    with pytest.raises(UnsupportedModel, match="its samples' log-probabilities (differ|cannot be computed)"):
        verify_model(model)


def test_a_wrong_position_in_the_sampler_is_seen_by_the_check(monkeypatch):
    """A wrong number and no error: the first drawn token stands one place too far."""
    honest = DecodeCache.lengths
    model = twin("llama")
    assert verify_model(model).sampler == "own"
    monkeypatch.setattr(DecodeCache, "lengths", lambda cache: [length + 1 for length in honest(cache)])
    assert verify_model(model).sampler == "generate"
    monkeypatch.setattr("harness.language.model.verify.GENERATE_SAMPLERS", ())
    with pytest.raises(UnsupportedModel, match=r"samples' log-probabilities differ by .* nats per token"):
        verify_model(model)


def test_the_packed_layout_is_not_taken_where_a_sibling_would_enter_the_state():
    for name in ("qwen3_5_text", "rwkv"):
        choice = verify_model(twin(name))
        assert choice.layout == "rows"
        assert "linear_attention" in choice.reason or "state beside" in choice.reason


def test_an_output_layer_with_an_adapter_is_trained_with_the_gradient_of_the_whole_model():
    """token_logps gives its projection no gradient; the layout that goes through the model's own logits does."""
    torch.manual_seed(0)
    base = transformers.AutoModelForCausalLM.from_config(twin_config("llama")).double()
    model = add_adapter(base, LoraConfig(rank=4, targets=["q_proj", "lm_head"]), "twin")
    choice = verify_model(model)
    assert choice.layout == "logits"
    found = continuation_logps(model, collate(GROUPS, choice.layout), choice.layout).logps.sum()
    names, parameters = zip(*lora_parameters(model), strict=True)
    mine, theirs = (torch.autograd.grad(loss, parameters) for loss in (found, plain_logps(model, GROUPS).sum()))
    assert all(torch.allclose(a, b, atol=1e-9) for a, b in zip(mine, theirs, strict=True))
    assert any(float(g.abs().max()) > 1e-3 for n, g in zip(names, mine, strict=True) if "lm_head" in n)


def lora_parameters(model):
    return [(n, p) for n, p in model.named_parameters() if "lora_" in n]


def test_models_whose_modules_change_during_a_pass_are_run_one_pass_at_a_time():
    found = {name: forward_changes_modules(twin(name)) for name in ("llama", "recurrent_gemma", "qwen3_moe", "mamba")}
    assert found == {"llama": False, "recurrent_gemma": True, "qwen3_moe": True, "mamba": False}


def test_the_adapter_is_as_it_was_after_the_check():
    model = twin("gpt2")
    before = [p.detach().clone() for _, p in lora_parameters(model)]
    verify_model(model)
    assert all(torch.equal(a, b) for a, (_, b) in zip(before, lora_parameters(model), strict=True))
