"""Settings of a task and of generation_config.json have the effect that they have on lm-eval's own model, or are refused."""

import re
import types

import pytest
import torch
import transformers

from harness.errors import UserError
from harness.language.benchmark.lm import HFLM, as_lm, resolve_settings
from harness.language.model.choosing import SamplingParams, inverse_cdf_sample
from harness.language.model.decoding import model_override_notes
from harness.language.model.logprobs import bare_model
from tests.conftest import make_policy

CONTEXTS = ["ada has 3 apples", "what is", "5 + 8 =", "a", "3 - 1 = 2 . 2 + 2 ="]


@pytest.fixture
def tiny(tokenizer):
    return make_policy(tokenizer, max_position_embeddings=128)


def asked(contexts=CONTEXTS, task="t", **settings):
    settings = {"until": ["\n"], "max_gen_toks": 10, **settings}  # one dict, which all share
    return [types.SimpleNamespace(args=(c, settings), task_name=task, doc_id=n) for n, c in enumerate(contexts)]


def by_lm_eval(policy, requests):
    theirs = HFLM(policy.model, tokenizer=policy.tokenizer, backend="causal", batch_size=1, max_length=policy.context_length)
    return theirs.generate_until(requests, disable_tqdm=True)


CONFIGURED = [
    {"repetition_penalty": 1.3}, {"no_repeat_ngram_size": 2}, {"suppress_tokens": list(range(100, 600))},
    {"begin_suppress_tokens": list(range(700))}, {"min_new_tokens": 7, "eos_token_id": list(range(700))},
    {"forced_eos_token_id": 2}, {"max_new_tokens": 4}, {"bad_words_ids": [[i] for i in range(700)]}, {"num_beams": 3},
    {"eos_token_id": list(range(1, 802, 3))}, {"sequence_bias": [[[i], -50.0] for i in range(300, 766)]},
    {"do_sample": True, "temperature": 0.3, "top_k": 3, "top_p": 0.5},  # the task says otherwise
]  # fmt: skip


@pytest.mark.parametrize("configured", CONFIGURED, ids=lambda c: next(iter(c)))
def test_what_generation_config_says_is_done_in_evaluation_as_by_lm_eval(tiny, configured):
    plain = as_lm(tiny, 64, 4, {}).generate_until(asked(do_sample=False))
    for name, value in configured.items():
        setattr(tiny.model.get_base_model().generation_config, name, value)
    requests = asked(do_sample=False)
    found = as_lm(tiny, 64, 4, {}).generate_until(requests)
    assert found == by_lm_eval(tiny, requests) and (found != plain) == ("do_sample" not in configured)
    if configured.keys() & {"repetition_penalty", "suppress_tokens", "num_beams"}:
        (line,) = model_override_notes(tiny.model)
        assert next(iter(configured)) in line and "self-play draws from the policy without it" in line


@pytest.mark.parametrize(
    "settings",
    [
        {"max_new_tokens": 5}, {"max_tokens": 3}, {"max_length": 30}, {"repetition_penalty": 1.5}, {"num_beams": 2},
        {"temperature": 0.7, "do_sample": False}, {"min_new_tokens": 9}, {"until": ["a", "e"]}, {"until": "s"}, {"top_k": 3},
        {"num_beams": 1}, {"eos_token_id": list(range(0, 802, 2))}, {"prompt_lookup_num_tokens": 2},
    ],
    ids=lambda settings: next(iter(settings)),
)  # fmt: skip
def test_what_a_task_says_is_done_as_by_lm_eval(tiny, settings):
    requests = asked(**settings)
    if settings.keys() & {"max_new_tokens", "max_tokens"}:
        del requests[0].args[1]["max_gen_toks"]
    assert as_lm(tiny, 64, 4, {}).generate_until(requests) == by_lm_eval(tiny, requests)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"do_sample": True}, "do_sample without a temperature above 0"),
        ({"do_sample": True, "temperature": 0.0}, "do_sample without a temperature above 0"),
        ({"temperature": -1.0, "do_sample": True}, "temperature"),
        ({"temperature": 1.0, "top_k": -3}, "top_k"),
        ({"max_gen_toks": 0}, "0 tokens to generate"),
        ({"max_time": 3.0}, "stops by the clock"),
        ({"num_return_sequences": 2}, "ask for `repeats`"),
        ({"return_dict_in_generate": True}, "gives no text"),
        ({"stop_strings": ["a"]}, "name the strings in `until`"),
        ({"use_cache": True}, "set by lm-eval itself"),
        ({"penalty_alpha": 0.6, "top_k": 4}, "contrastive search is not supported"),
        ({"frequency_penalty": 0.5}, "frequency_penalty: no setting of transformers' generate"),
        ({"seed": 3}, "seed: no setting"),
        ({"guidance_scale": 1.5}, "guidance_scale=1.5"),
    ],
)
def test_what_lm_evals_model_cannot_do_is_refused_in_one_line(tiny, settings, said):
    with pytest.raises(UserError, match=f"^generation_kwargs: .*{re.escape(said)}.*$"):
        resolve_settings(tiny.model, {"until": []} | settings, 256, None)


def test_what_is_refused_of_the_models_file_says_that_it_stands_there(tiny, monkeypatch):
    for said, configured in {
        "stop_strings=['a']": {"stop_strings": ["a"]},
        "contrastive search": {"penalty_alpha": 0.6, "top_k": 4},
        "max_time=9.0": {"max_time": 9.0},
    }.items():
        monkeypatch.setattr(bare_model(tiny.model), "generation_config", transformers.GenerationConfig(**configured))
        with pytest.raises(UserError, match=re.escape(f"{said} (from the model's generation_config.json)")):
            resolve_settings(tiny.model, {"until": []}, 256, None)


HOW = [
    SamplingParams(top_k=3), SamplingParams(0.7, 0.8), SamplingParams(1.5, 0.6, 7), SamplingParams(1.0, 1.0, 0, 0.2),
    SamplingParams(2.0, 0.9, 20, 0.3), SamplingParams(0.5, 0.0), SamplingParams(1.0, 0.9, 1),
]  # fmt: skip


@pytest.mark.parametrize("how", HOW, ids=str)
def test_a_draw_has_the_distribution_that_transformers_draws_from(how):
    torch.manual_seed(0)
    logits = torch.randn(4, 40, dtype=torch.float64) * 2
    cut = [transformers.TemperatureLogitsWarper(how.temperature)]
    cut += [transformers.TopKLogitsWarper(how.top_k)] if how.top_k else []
    cut += [transformers.TopPLogitsWarper(how.top_p)] if how.top_p < 1 else []
    cut += [transformers.MinPLogitsWarper(how.min_p)] if how.min_p else []
    left = transformers.LogitsProcessorList(cut)(torch.zeros((4, 1), dtype=torch.long), logits.clone())
    expected = torch.softmax(left, dim=-1)
    uniforms = (torch.arange(4000, dtype=torch.float64) + 0.5) / 4000
    for row, wanted in zip(torch.log_softmax(logits, dim=-1), expected, strict=True):
        drawn = torch.bincount(inverse_cdf_sample(row.expand(4000, -1), uniforms, how), minlength=40) / 4000
        assert float((drawn - wanted).abs().max()) <= 1 / 2000
        assert bool((drawn > 0).eq(wanted > 1 / 2000)[wanted.eq(0) | wanted.gt(1 / 2000)].all())


def test_a_sampling_task_has_transformers_fifty_likeliest_tokens_unless_somebody_says_otherwise(tiny):
    def params(**settings):
        return resolve_settings(tiny.model, {"until": [], **settings}, 9, None).decoding.sampling_params

    settings = {"do_sample": True, "temperature": 0.8, "top_p": 0.9}
    assert params(**settings) == SamplingParams(0.8, 0.9, 50)
    assert params(**settings, top_k=0) == SamplingParams(0.8, 0.9, 0)
    tiny.model.get_base_model().generation_config.top_k = 7
    tiny.model.get_base_model().generation_config.min_p = 0.1
    assert params(**settings) == SamplingParams(0.8, 0.9, 7, 0.1)
    assert params(temperature=0.5) == SamplingParams(0.5, 1.0, 7, 0.1)
    (line,) = model_override_notes(tiny.model)
    assert "answers of tasks that sample" in line and "top_k=7, min_p=0.1" in line


def test_repeats_are_draws_of_their_own_that_depend_on_nothing_but_question_task_and_number(tiny):
    settings = {"do_sample": True, "temperature": 1.0}
    repeated = [request for request in asked(**settings) for _ in range(8)]
    found = as_lm(tiny, 64, 4, {}).generate_until(repeated)
    by_question = [found[i : i + 8] for i in range(0, len(found), 8)]
    assert all(len(set(texts)) > 4 for texts in by_question)
    assert as_lm(tiny, 64, 16, {}).generate_until(asked(CONTEXTS[:2], "u", **settings) * 3 + repeated)[6:] == found
    once = as_lm(tiny, 64, 1, {}).generate_until(asked(task="another", **settings))
    assert once == [texts[0] for texts in by_question]  # the first draw is that of a task without repeats


def test_repeats_without_sampling_are_one_answer_drawn_once(tiny, monkeypatch):
    drawn, draw = [], tiny.generate_tokens
    monkeypatch.setattr(tiny, "generate_tokens", lambda requests, *rest: drawn.append(len(requests)) or draw(requests, *rest))
    told = []
    found = as_lm(tiny, 64, 4, {}, told.append).generate_until([request for request in asked() for _ in range(5)])
    assert found == [text for text in by_lm_eval(tiny, asked()) for _ in range(5)]
    assert drawn == [len(CONTEXTS)] and sum(told) == 5 * len(CONTEXTS)


@pytest.mark.parametrize("more", [{}, {"num_beams": 2}, {"typical_p": 0.9}, {"repetition_penalty": 1.2, "top_k": 5}])
def test_sampled_answers_are_the_same_again_whatever_is_asked_beside_them(tiny, more):
    settings = {"do_sample": True, "temperature": 0.9, **more}
    found = as_lm(tiny, 64, 4, {}).generate_until(asked(**settings))
    torch.manual_seed(7)
    assert as_lm(tiny, 64, 2, {}).generate_until(asked(CONTEXTS[::-1], **settings))[::-1] == found
    assert found != as_lm(tiny, 64, 4, {}).generate_until(asked())


def test_a_change_of_the_logits_holds_where_an_answer_is_sampled(tiny):
    """Next to temperature 0 a sampled answer is the greedy one, under the same penalty."""
    cold = as_lm(tiny, 64, 4, {}).generate_until(asked(do_sample=True, temperature=1e-6, repetition_penalty=1.4))
    assert cold == by_lm_eval(tiny, asked(do_sample=False, repetition_penalty=1.4))
    assert cold != by_lm_eval(tiny, asked(do_sample=False))


def test_the_same_holds_for_a_family_that_is_sampled_through_its_own_cache(tokenizer):
    from harness.config import LoraConfig
    from harness.language.encoding import choose_template
    from harness.language.model.lora import add_adapter
    from harness.language.model.verify import verify_model
    from harness.language.policy import Policy

    torch.manual_seed(0)
    config = transformers.MambaConfig(vocab_size=len(tokenizer), hidden_size=32, num_hidden_layers=2, state_size=8)
    model = add_adapter(transformers.AutoModelForCausalLM.from_config(config).double(), LoraConfig(rank=4), "tiny")
    policy = Policy(model, tokenizer, choose_template(tokenizer, "auto"), "tiny", verify_model(model))
    policy.reset_adapter(0)
    assert policy.layout_check.sampler != "own"
    for more in ({}, {"repetition_penalty": 1.4, "no_repeat_ngram_size": 2}, {"num_beams": 2}):
        requests = asked(**more)
        assert as_lm(policy, 64, 4, {}).generate_until(requests) == by_lm_eval(policy, requests)
