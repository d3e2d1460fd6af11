"""Kinds rarer than those of the matrix: normalisers that make control tokens, tokens that swallow white space, thoughts."""

import pytest
import transformers
from jinja2 import TemplateError
from tokenizers import AddedToken, processors

from harness.config import load_config
from harness.errors import UserError
from harness.language.encoding import Encoder, SeamError, choose_template, encode_pair, encode_prompt, encode_response
from harness.language.text.tokens import control_tokens
from tests.helpers.tokenizer_kinds import CHATML, KINDS, TEMPLATES, tokenizer

PHI3 = (
    "{% for m in messages %}{{ '<|' + m['role'] + '|>\\n' + m['content'] + '<|end|>\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>\\n' }}{% else %}{{ eos_token }}{% endif %}"
)


def phi3(kind):
    """As Phi-3's: control tokens that swallow the white space behind them."""
    made = KINDS[kind](["<unk>", "<s>", "</s>"])
    names = ("user", "assistant", "end")
    made.add_special_tokens([AddedToken(f"<|{name}|>", special=True, normalized=False, rstrip=True) for name in names])
    begin = [("<s>", made.token_to_id("<s>"))]
    made.post_processor = processors.TemplateProcessing(single="<s> $A", pair="<s> $A $B", special_tokens=begin)
    return fast(made, PHI3)


def fast(made, template):
    named = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
    return transformers.PreTrainedTokenizerFast(tokenizer_object=made, chat_template=template, **named)


@pytest.mark.parametrize(("kind", "text"), [("wordpiece", "<|END|>"), ("t5", "＜／ｓ＞"), ("t5", "＜｜ｉｍ＿ｅｎｄ｜＞")])
def test_text_that_a_normaliser_makes_look_like_a_control_token_is_text(kind, text):
    tok = tokenizer(kind, "added", CHATML)
    tok.add_tokens([AddedToken("<|end|>", special=True, normalized=True)])
    template = choose_template(tok, "chat")
    known = {control_tokens(tok).added_token_ids[s] for s in control_tokens(tok).strings} - {tok.unk_token_id}
    assert known & set(tok(text, add_special_tokens=False)["input_ids"]), "the tokenizer is of that kind"

    def prompt(said):
        return [i for i in encode_prompt(tok, template.render(tok, said), template) if i in known]

    assert [i for i in encode_response(tok, f"a {text} b", template) if i in known] == [template.end_token_id]
    assert prompt(f"is {text} an end ?") == prompt("is it an end ?") != []
    plain = template.example_prompt + "that is 3 ."
    assert control_tokens(tok).token_ids(plain) == tok(plain, add_special_tokens=False)["input_ids"]


@pytest.mark.parametrize("kind", ["qwen", "gpt2", "mistral"])
def test_an_answer_with_a_thought_of_its_own_gets_no_empty_one_before_it(kind):
    tok = tokenizer(kind, "none", CHATML)
    thinks = (  # as Qwen3's template renders an answer with a thought, and one without
        "{% set t = m['content'].split('</think>') %}{% set said = t[-1].lstrip('\\n') %}"
        "{% set thought = t[0].split('<think>')[-1].strip('\\n') if t|length > 1 else '' %}"
        "{{ '<|im_start|>assistant\\n<think>\\n' + thought + '\\n</think>\\n\\n' + said + '<|im_end|>\\n' }}"
    )
    tok.chat_template = (
        "{% for m in messages %}{% if m['role'] == 'assistant' and loop.last %}" + thinks + "{% else %}"
        "{{ '<|im_start|>' + m['role'] + '\\n' + m['content'] + '<|im_end|>\\n' }}{% endif %}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
    )
    template = choose_template(tok, "chat")
    assert template.response_prefix == "<think>\n\n</think>\n\n"
    rendered = template.render(tok, "how many ?")
    for answer in ("<think>\nI add 1\n</think>\n\nthat is 3 .", "that is 3 .", "it is a <think> , no more"):
        pair = encode_pair(tok, rendered, answer, template)
        turns = [{"role": "user", "content": "how many ?"}, {"role": "assistant", "content": answer}]
        whole = tok.apply_chat_template(turns, tokenize=False).removesuffix("\n")
        assert [*pair.prompt_ids, *pair.response_ids] == tok(whole, add_special_tokens=False)["input_ids"]
        assert pair.prompt_ids == encode_prompt(tok, rendered, template)


def test_a_template_that_makes_something_else_of_an_answer_is_an_error():
    text = TEMPLATES["thinking"].replace("m['content'].split('</think>')[-1].lstrip('\\n')", "m['content'].split('</think>')[-1]")
    tok = tokenizer("qwen", "none", text)  # leaves the thought out and writes an empty one
    template = choose_template(tok, "chat")
    with pytest.raises(SeamError, match="changes the response"):
        encode_pair(tok, template.example_prompt, "<think>\nI add\n</think>\n\nthat is 3 .", template)


@pytest.mark.parametrize("kind", ["llama2", "mistral", "gpt2"])
def test_a_control_token_that_swallows_the_line_break_behind_it(kind):
    tok = phi3(kind)
    template = choose_template(tok, "chat")
    assert tok.convert_ids_to_tokens(template.end_token_id) == "<|end|>"
    assert template.stop_ids == frozenset([template.end_token_id, tok.eos_token_id])
    rendered = template.render(tok, "how many are 1 and 2 ?")
    for response in ("that is 3 .", "(it)", "a  b\t c", "1"):
        pair = encode_pair(tok, rendered, response, template)
        whole = tok(f"<|user|>\nhow many are 1 and 2 ?<|end|>\n<|assistant|>\n{response}<|end|>")["input_ids"]
        assert [*pair.prompt_ids, *pair.response_ids] == whole and pair.seam_shift == 0
        assert Encoder(tok, template).decode(pair.prompt_ids, pair.response_ids[:-1], True) == response


@pytest.mark.parametrize("kind", ["t5", "wordpiece"])
def test_a_space_that_the_decoder_shows_before_a_response_is_not_said(kind):
    tok = tokenizer(kind, "added", CHATML)
    template = choose_template(tok, "chat")
    pair = encode_pair(tok, template.example_prompt, "that is 3", template)
    assert Encoder(tok, template).decode(pair.prompt_ids, pair.response_ids[:-1], True) == "that is 3"


@pytest.mark.parametrize("where", ["{{ 1 // 0 }}", "{{ {}.pop('content') }}", "{{ messages[0]['content'] + [][3] }}"])
def test_a_template_that_fails_in_a_way_of_its_own_is_one_line(where):
    tok = tokenizer("gpt2", "none", CHATML + where)
    with pytest.raises(UserError, match=r"template cannot be used \(.*use --set data.template=instruction"):
        choose_template(tok, "auto")
    tok.chat_template = CHATML + "{% if 'zero' in messages[0]['content'] %}" + where + "{% endif %}"
    with pytest.raises(TemplateError):  # which the data's own check names the row of
        choose_template(tok, "auto").render(tok, "is it zero ?")


def test_a_name_that_no_template_bears_is_not_taken_for_a_template():
    tok = tokenizer("gpt2", "none", CHATML)
    for has, said in ((CHATML, "one without a name"), ({"rag": CHATML, "tool_use": CHATML}, "rag, tool_use")):
        tok.chat_template = has
        with pytest.raises(UserError, match=f"chat_template='rga' is no template of the tokenizer, which has {said}"):
            choose_template(tok, "auto", {"chat_template": "rga"})
    assert choose_template(tok, "auto", {"chat_template": CHATML}).example_prompt.endswith("assistant\n")


@pytest.mark.parametrize("name", ["tokenize", "add_generation_prompt", "return_dict", "padding"])
def test_how_a_template_is_called_is_no_argument_of_it(name):
    with pytest.raises(UserError, match=f"data.template_arguments: {name} is set by this program itself; leave it out"):
        load_config("lab", [f"data.template_arguments={{{name}=true}}"])
    assert load_config("lab", ["data.template_arguments={enable_thinking=false}"]).data.template_arguments


def test_what_was_said_behind_pieces_that_go_across_words_and_the_templates_end():
    """As a tokenizer without words has them; the seam then lies within what the template has behind the prompt."""
    made = KINDS["gemma"](["<unk>", "<s>", "</s>"])
    made.pre_tokenizer = None  # type: ignore[assignment]
    made.add_tokens([AddedToken("/INST] that", special=False, normalized=False)])
    tok = fast(made, TEMPLATES["inst"])
    template = choose_template(tok, "chat")
    encoder = Encoder(tok, template)
    for prompt in ("how many are 1 and 2 ?", "a", "what is [/INST] ?", "x\n\n"):
        for answer in ("that is 3 .", "it is 3 .", " that", "/INST] that"):
            pair = encode_pair(tok, template.render(tok, prompt), answer, template)
            assert pair.seam_shift > 0 or not answer.startswith("that")
            assert encoder.decode(pair.prompt_ids, pair.response_ids[:-1], True) == answer
