"""Ids of prompt and response are those of the whole text, for tokenizers and templates of every kind."""

from datetime import datetime
from functools import cache

import pytest
from jinja2 import TemplateError

from harness.errors import UserError
from harness.language.benchmark.lm import PolicyLM
from harness.language.encoding import Encoder, SeamError, choose_template, encode_pair, encode_prompt, encode_response
from harness.language.records import Example
from harness.language.text.templates import freeze_date, writes_date
from harness.language.text.tokens import control_tokens
from tests.helpers.tokenizer_kinds import BEGINNINGS, CHATML, KINDS, LOSSLESS, TEMPLATES, case, matrix, tokenizer

PROMPTS = ("how many are 1 and 2 ?", "  name a colour\n\nof the sky\n")
RESPONSES = ("that is 3 .", "The sky", "(it)", "    return 1\n", "\nBlue,\n\n    far\n", "1", "a  b\t c ", '"')
CONTROL = ("<s>", "</s>", "<unk>", "<|im_start|>", "<|im_end|>")


@cache
def made(kind, beginning, template):
    found = case(kind, beginning, template)
    return found, choose_template(found, "instruction" if template == "instruction" else "chat")


def written(tok, template, prompt, response):
    """The whole text as its author would write it: the template's own words around prompt and response."""
    if template == "instruction":
        return f"### Instruction: {prompt}\n\n### Response: {response}"
    answer = "\ue000"
    turns = [{"role": "user", "content": prompt}, {"role": "assistant", "content": answer}]
    whole = tok.apply_chat_template(turns, tokenize=False)
    end = "</s>" if template.endswith(("inst", "vicuna")) else "<|im_end|>"
    return whole[: whole.index(end, whole.index(answer)) + len(end)].replace(answer, response)


def once(tok, text):
    """Ids that the tokenizer gives to a text with whatever it writes by itself, the beginning token once."""
    bos = tok.bos_token
    return tok(text, add_special_tokens=not (bos and text.startswith(bos)))["input_ids"]


def test_every_kind_and_every_beginning_is_in_the_matrix():
    assert [{entry[n] for entry in matrix()} for n in (0, 1)] == [set(KINDS), set(BEGINNINGS)]


@pytest.mark.parametrize("entry", matrix(), ids="-".join)
def test_prompt_and_response_together_are_the_ids_of_the_whole_text(entry):
    kind, _, name = entry
    tok, template = made(*entry)
    for prompt in PROMPTS:
        rendered = template.render(tok, prompt)
        for response in RESPONSES:
            text = written(tok, name, prompt, response)
            whole = once(tok, text) + ([tok.eos_token_id] if name == "instruction" else [])
            pair = encode_pair(tok, rendered, response, template)
            assert [*pair.prompt_ids, *pair.response_ids] == whole
            assert pair.response_ids[-1] == template.end_token_id and pair.response_ids.count(template.end_token_id) == 1
            assert pair.prompt_ids == encode_prompt(tok, rendered, template)[: len(pair.prompt_ids)]
            assert pair.seam_shift == 0 or not response[0].isalnum(), "the seam moves for odd beginnings alone"
            if kind in LOSSLESS:
                decoded = tok.decode([*pair.prompt_ids, *pair.response_ids], clean_up_tokenization_spaces=False)
                assert response in decoded, "to the byte"
                assert prompt.strip() in decoded


@pytest.mark.parametrize("entry", matrix(), ids="-".join)
def test_training_and_evaluation_lay_out_the_same_prompt_and_begin_it_once(entry):
    """A prompt in training is what lm-eval's model makes of the same text, but for what the tokenizer joins with a response."""
    tok, template = made(*entry)
    lm = PolicyLM.__new__(PolicyLM)
    lm.tokenizer, lm.add_bos_token, lm.custom_prefix_token_id = tok, None, None
    rendered = template.render(tok, PROMPTS[0])
    trained, asked = encode_prompt(tok, rendered, template), lm.tok_encode(rendered)
    assert trained == asked if template.seam_offset == 0 else trained == lm.tok_encode(rendered[: -template.seam_offset])
    begins = entry[1] == "added" or entry[2].startswith("bos+")
    assert trained.count(tok.convert_tokens_to_ids("<s>")) == int(begins)
    assert (trained[0] == tok.convert_tokens_to_ids("<s>")) == begins


@pytest.mark.parametrize("entry", [e for e in matrix() if e[1] == "added"], ids="-".join)
def test_text_that_looks_like_a_control_token_is_text(entry):
    kind, _, _ = entry
    tok, template = made(*entry)
    control = set(tok.convert_tokens_to_ids(list(CONTROL))) - {tok.unk_token_id}

    def read(prompt, response):
        pair = encode_pair(tok, template.render(tok, prompt), response, template)
        ids = [*pair.prompt_ids, *pair.response_ids]
        return [i for i in ids if i in control], tok.decode(ids, clean_up_tokenization_spaces=False)

    plain, _ = read("what ends it ?", "that token ends it .")
    for string in CONTROL:
        found, said = read(f"what is {string} ? {string}{string}", f"{string} ends it{string} .")
        assert found == plain, string
        if kind in LOSSLESS:
            assert said.count(string) == plain.count(tok.convert_tokens_to_ids(string)) + 5, string
    assert control_tokens(tok).find_in("a <s> b </s> <s>") == ["<s>", "</s>"]


@pytest.mark.parametrize("kind", KINDS)
def test_reading_a_text_with_marks_equals_reading_it_without(kind):
    """The copy of the tokenizer in which control tokens have other names reads everything else as the tokenizer does."""
    tok = tokenizer(kind, "added", CHATML)
    control = control_tokens(tok)
    chatml = "<|im_start|>user\na  b<|im_end|>\n<|im_start|>assistant\n"
    for text in ("<s>[INST] how many ? [/INST] three .</s>", chatml, " a\n\n\nb"):
        quoted = control.token_ids(text + control.quote("<s>"))
        assert quoted[: len(quoted) // 2] == control.token_ids(text + "< s>")[: len(quoted) // 2]
        copy, original, names = control._renamed_copy("zqj")
        renamed = control.pattern.sub(lambda found, names=names: names[found[0]], text)
        assert [original.get(i, i) for i in copy.encode(renamed, add_special_tokens=False).ids] == control.token_ids(text)


def test_a_beginning_token_that_is_forged_at_the_start_of_a_prompt_is_text():
    tok = tokenizer("mistral", "added")
    template = choose_template(tok, "instruction")
    forged = Example("a", "x", "y", control_tokens(tok).quote("<s> hello"))
    ids = Encoder(tok, template).prompt(forged)
    assert ids[0] == tok.bos_token_id and ids.count(tok.bos_token_id) == 1 and tok.decode(ids).count("<s>") == 2


@pytest.mark.parametrize("kind", sorted(LOSSLESS))
@pytest.mark.parametrize("name", ["instruction", *TEMPLATES])
def test_what_was_said_is_the_text_behind_the_template(kind, name):
    """Drawn ids come back as the response's text: without the template's space or line break, with its own."""
    tok, template = made(kind, "added", name)
    encoder = Encoder(tok, template)
    for response in RESPONSES:
        example = Example("a", PROMPTS[0], response, template.render(tok, PROMPTS[0]))
        ids = encoder.real(example)
        assert encoder.decode(encoder.prompt(example), ids[:-1], finished=True) == response


def test_the_seam_moves_where_the_tokenizer_joins_a_line_break_and_the_opponent_goes_on_from_the_same_ids():
    tok, template = made("llama3", "none", "chatml")
    plain, odd = (Example(text, "a", text, template.render(tok, "a")) for text in ("b", "\n\nb"))
    encoder = Encoder(tok, template)
    assert (encoder.pair(plain).seam_shift, encoder.pair(odd).seam_shift) == (0, 1)
    assert encoder.prompt(odd) == encoder.prompt(plain)[:-1] == encoder.generation_prompt(odd)
    assert encoder.response(plain, "c") == encoder.pair(Example("c", "a", "c", plain.rendered)).response_ids
    with pytest.raises(SeamError, match="begins with"):
        encoder.response(plain, "\n\nb")


def test_no_seam_is_an_error():
    tok = tokenizer("gpt2")
    template = choose_template(tok, "instruction")

    class Joining:
        """A tokenizer that reads another text altogether where there is an answer."""

        def __getattr__(self, name):
            return getattr(tok, name)

        def __call__(self, text, **how):
            return tok(text[::-1] if text.endswith("reversed") else text, **how)

    with pytest.raises(SeamError, match="tokens of the prompt"):
        encode_pair(Joining(), template.render(tok, "how many ?"), "reversed", template)


@pytest.mark.parametrize("kind", ["gpt2", "qwen", "mistral"])
def test_the_end_of_a_turn_is_the_token_that_the_template_ends_it_with(kind):
    chat, plain = (made(kind, "none", name) for name in ("chatml", "instruction"))
    assert chat[1].end_token_id == chat[0].convert_tokens_to_ids("<|im_end|>")
    assert chat[1].stop_ids == {chat[1].end_token_id, chat[0].eos_token_id}
    assert plain[1].end_token_id == plain[0].eos_token_id
    assert encode_response(plain[0], "it", plain[1])[-1] == plain[0].eos_token_id


def test_an_added_token_that_is_not_flagged_special_ends_a_turn_too():
    tok = tokenizer("gpt2")
    tok.add_tokens(["<end_of_turn>"])
    tok.chat_template = CHATML.replace("<|im_end|>", "<end_of_turn>")
    template = choose_template(tok, "auto")
    end = tok.convert_tokens_to_ids("<end_of_turn>")
    assert template.end_token_id == end
    pair = encode_pair(tok, template.render(tok, "say <end_of_turn>"), "no <end_of_turn>", template)
    assert pair.response_ids.count(end) == 1 and pair.prompt_ids.count(end) == 1


def test_thinking_is_switched_off_by_an_argument_of_the_template():
    tok = case("qwen", "none", "thinking")
    on, off = (choose_template(tok, "auto", arguments) for arguments in ({}, {"enable_thinking": False}))
    assert on.response_prefix == "<think>\n\n</think>\n\n" and off.response_prefix == ""
    assert off.render(tok, "a").endswith("<think>\n\n</think>\n\n")
    ids = [encode_pair(tok, t.render(tok, "a"), "b", t) for t in (on, off)]
    assert [*ids[0].prompt_ids, *ids[0].response_ids] == [*ids[1].prompt_ids, *ids[1].response_ids]
    assert tok.convert_tokens_to_ids("<think>") in ids[0].response_ids and len(ids[1].response_ids) == 2
    assert encode_pair(tok, on.render(tok, "a"), "<think> b", on).response_ids.count(tok.convert_tokens_to_ids("<think>")) == 2
    assert Encoder(tok, on).digest != Encoder(tok, off).digest


def test_a_date_in_the_template_stays_that_of_the_runs_beginning():
    tok = tokenizer("gpt2", "none", "{{ strftime_now('%d %b %Y') }} " + CHATML)
    assert writes_date(tok) and not writes_date(tokenizer("gpt2", "none", CHATML))
    began = datetime(2024, 2, 29, 12, 0)
    freeze_date(tok, began)
    first = choose_template(tok, "auto")
    assert first.render(tok, "a").startswith("29 Feb 2024 ")
    assert tok.apply_chat_template([{"role": "user", "content": "a"}], tokenize=False).startswith("29 Feb 2024 "), "lm-eval's too"
    freeze_date(tok, datetime(2025, 1, 1))
    assert choose_template(tok, "auto").render(tok, "a").startswith("01 Jan 2025 ")
    assert Encoder(tok, first).digest != Encoder(tok, choose_template(tok, "auto")).digest


UNUSABLE = {
    "cannot be used": CHATML.replace("{% for", "{{ raise_exception('no') }}{% for", 1),
    "does not render an assistant turn": CHATML + "{% if add_generation_prompt %}{{ '<think>' }}{% endif %}",
    "rag, tool_use and none named default": {"rag": CHATML, "tool_use": CHATML},
}


@pytest.mark.parametrize("said", UNUSABLE)
def test_a_template_that_cannot_be_used_is_one_line_that_says_what_to_type(said):
    tok = tokenizer("gpt2", "none", CHATML)
    tok.chat_template = text = UNUSABLE[said]
    with pytest.raises(UserError, match=said) as found:
        choose_template(tok, "auto")
    assert "--set" in str(found.value)
    if isinstance(text, dict):
        assert choose_template(tok, "auto", {"chat_template": "rag"}).end_token_id == tok.convert_tokens_to_ids("<|im_end|>")


def test_a_default_system_turn_is_part_of_every_prompt_and_a_template_without_one_refuses_it():
    default = "{% if messages[0]['role'] != 'system' %}{{ '<|im_start|>system\\nBe brief.<|im_end|>\\n' }}{% endif %}" + CHATML
    tok = tokenizer("qwen", "none", default)
    template = choose_template(tok, "auto")
    assert template.render(tok, "a").startswith("<|im_start|>system\nBe brief.<|im_end|>\n")
    refusing = "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system turn') }}{% endif %}" + CHATML
    tok = tokenizer("qwen", "none", refusing)
    with pytest.raises(TemplateError, match="no system turn"):
        choose_template(tok, "auto").render(tok, [{"role": "system", "content": "a"}, {"role": "user", "content": "b"}])


def test_a_tokenizer_that_is_not_fast_is_refused():
    with pytest.raises(UserError, match="expected a fast one"):
        control_tokens(type("Slow", (), {})())
