"""Rows become examples: columns are recognised, everything left out is counted, the split does not depend on seeds."""

import copy

import pytest

from harness.config import DataConfig, load_config
from harness.errors import UserError
from harness.files import write_jsonl
from harness.language.data.dataset import load_examples
from harness.language.encoding import choose_template
from harness.records import digest, keyed_seed
from tests.helpers import tokenizer_kinds
from tests.helpers.tokenizer_kinds import CHATML


def write(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    write_jsonl(path, rows)
    return str(path)


def examples(tokenizer, source, context=1024, **settings):
    config = DataConfig(source=str(source), **settings)
    return load_examples(config, tokenizer, choose_template(tokenizer, config.template), context, None)


def load(tmp_path, tokenizer, rows, **settings):
    return examples(tokenizer, write(tmp_path / "pairs.jsonl", rows), **settings)


ROWS = [{"prompt": f"say {i}", "response": f"it is {i}"} for i in range(20)]


def test_what_is_left_out_is_counted(tmp_path, tokenizer):
    empty = [{"prompt": " ", "response": "x"}, {"prompt": "", "response": "x"}, {"prompt": "x", "response": ""}]
    rows = [*ROWS, ROWS[0], *empty, {"prompt": "x", "response": " \n\t"}, {"prompt": "é" * 600, "response": "x"}]
    data = load(tmp_path, tokenizer, rows, context=300, overlong="drop")
    assert data.counts == {"rows": 26, "duplicate": 1, "empty": 4, "overlong": 1, "train": 16, "heldout": 4}


def test_the_order_and_the_split_belong_to_the_pairs_not_to_the_file(tmp_path, tokenizer):
    one, other = load(tmp_path, tokenizer, ROWS), load(tmp_path, tokenizer, ROWS[::-1])
    assert (one.train, one.heldout) == (other.train, other.heldout)
    assert load(tmp_path, tokenizer, ROWS, max_examples=5).train == one.train[:5]


def test_one_template_renders_for_generation_and_training(tmp_path, tokenizer):
    chat, plain = (load(tmp_path, tokenizer, ROWS, template=template).train[0] for template in ("auto", "instruction"))
    assert chat.rendered == f"<|begin|><|user|>{chat.prompt}<|assistant|>"
    assert plain.rendered == f"### Instruction: {plain.prompt}\n\n### Response: "


def test_a_heldout_prompt_that_is_trained_on_is_refused_unless_it_is_allowed(tmp_path, tokenizer):
    """Not the pair but its prompt must not be trained on, whatever its answer; white space makes no other prompt."""
    held = [ROWS[4], {"prompt": " say 3\n", "response": "something else"}, {"prompt": "say 99", "response": "it is 99"}]
    heldout = write(tmp_path / "held.jsonl", held)
    with pytest.raises(UserError, match="prompts of 2 of 3 held-out pairs are also in data.source .as 'say 4'."):
        load(tmp_path, tokenizer, ROWS, heldout=heldout)
    data = load(tmp_path, tokenizer, ROWS, heldout=heldout, allow_heldout_overlap=True)
    assert (len(data.train), len(data.heldout)) == (20, 3)
    assert "prompts of 2 of 3 held-out pairs are also in data.source (allowed" in data.notes[-1]


def test_a_conversations_system_turn_makes_another_prompt(tmp_path, tokenizer):
    held = {"prompt": "say 3", "response": "it is 3", "system": "be brief"}
    heldout = write(tmp_path / "held.jsonl", [held])
    data = load(tmp_path, tokenizer, ROWS, heldout=heldout)
    assert [example.prompt for example in data.heldout] == ["system: be brief\n\nuser: say 3"]
    with pytest.raises(UserError, match="prompts of 1 of 1 held-out pairs"):
        load(tmp_path, tokenizer, [*ROWS, {**held, "response": "no"}], heldout=heldout)


def test_several_answers_to_one_prompt_are_kept_on_one_side(tmp_path, tokenizer):
    """12 prompts with one to four answers each, whose white space differs."""
    rows = [{"prompt": f"say {n}" + " " * (k % 2), "response": f"it is {n} , {k}"} for n in range(12) for k in range(1 + n % 4)]
    for size in (1, 3, 5, 128):
        data = load(tmp_path, tokenizer, rows, heldout_examples=size)
        train, held = ({e.prompt.strip() for e in part} for part in (data.train, data.heldout))
        assert not train & held
        assert len({e.id for e in (*data.train, *data.heldout)}) == len(rows) == len(data.train) + len(data.heldout)
        assert 1 <= len(data.heldout) <= size
    assert "9 prompts have several answers, 27 pairs in all" in data.notes[1]


def test_where_every_prompt_has_many_answers_one_is_held_out(tmp_path, tokenizer):
    rows = [{"prompt": f"say {n}", "response": f"it is {n} , {k}"} for n in range(3) for k in range(4 + n)]
    data = load(tmp_path, tokenizer, rows, heldout_examples=1)
    assert [e.prompt for e in data.heldout] == ["say 0"] * 4
    with pytest.raises(UserError, match="and 0 held out"):
        load(tmp_path, tokenizer, rows[:4] + rows[:4])


def test_a_split_of_single_answers_is_what_it_was(tmp_path, tokenizer):
    """The first of the keyed order, so that runs made before prompts were looked at go on."""
    ids = sorted((digest(r["prompt"], r["response"]) for r in ROWS), key=lambda name: keyed_seed("order", name))
    data = load(tmp_path, tokenizer, ROWS, heldout_examples=3)
    assert [e.id for e in data.heldout] == ids[:3] and [e.id for e in data.train] == ids[3:]


def test_the_labs_pairs_are_what_they_were(tokenizer):
    """Order, ids and held-out pairs of the shipped recipe, which recorded runs were played on."""
    data = examples(tokenizer, **load_config("lab").data.model_dump())
    assert digest(*[e.id for e in data.train]) == "3d56eba70439c2d1"
    assert digest(*[e.id for e in data.heldout]) == "a1b712b9533dcea8"
    assert "columns not used: skill" in data.notes[0]


def test_white_space_is_kept_and_makes_no_other_pair(tmp_path, tokenizer):
    rows = [*ROWS, {"prompt": "say 0 ", "response": "it is 0\n"}, {"prompt": "indent", "response": "    it is\r\n\n"}]
    data = load(tmp_path, tokenizer, rows)
    assert data.counts["duplicate"] == 1
    assert [e.real for e in (*data.train, *data.heldout) if e.prompt == "indent"] == ["    it is\r\n\n"]


def test_a_template_that_leaves_a_turn_out_is_refused(tmp_path, tokenizer):
    """Many a template knows no system turn or no tool and prints nothing for it."""
    deaf = copy.deepcopy(tokenizer)
    deaf.chat_template = (
        "{% for m in messages %}{% if m.role == 'user' %}U: {{ m.content }}\n{% elif m.role == 'assistant' %}A: {{ m.content }}"
        "<|end|>{% endif %}{% endfor %}{% if add_generation_prompt %}A: {% endif %}"
    )
    assert len(load(tmp_path, deaf, ROWS).train) == 16
    rows = [{**row, "system": "be brief"} for row in ROWS]
    with pytest.raises(UserError, match="line 1: the model's chat template leaves out the turn of 'system'.*columns=system"):
        load(tmp_path, deaf, rows)
    assert "be brief" in load(tmp_path, deaf, rows, template="instruction").train[0].rendered
    assert load(tmp_path, deaf, rows, ignore_columns="system").conversations == 0
    assert load(tmp_path, tokenizer, rows).conversations == 20


def test_held_out_pairs_may_be_another_split(tmp_path, tokenizer):
    for name, rows in (("train", ROWS[:12]), ("test", ROWS[12:])):
        write(tmp_path / f"{name}.jsonl", rows)
    data = examples(tokenizer, tmp_path, heldout=str(tmp_path), heldout_split="test")
    prompts = [row["prompt"] for row in ROWS]
    assert [{e.prompt for e in part} for part in (data.train, data.heldout)] == [set(prompts[:12]), set(prompts[12:])]


SPEAKERS = ("system", "user", "assistant", "user", "assistant", "user")
SAID = ("be brief", "one ?", "one .", "two ?", "two .", "three ?")
TALK = [{"role": role, "content": said} for role, said in zip(SPEAKERS, SAID, strict=True)]


def conversations(turns):
    return [{"messages": [dict(t, content=f"{t['content']} {i}") for t in turns]} for i in range(10)]


def test_the_first_answer_of_a_conversation_with_what_stands_before_it(tmp_path, tokenizer):
    """A system turn is part of the prompt, never the prompt itself; turns after the first answer are not looked at."""
    plain = load(tmp_path, tokenizer, conversations(TALK[1:])).train[0]
    n = plain.prompt.split()[-1]
    assert (plain.prompt, plain.real) == (f"one ? {n}", f"one . {n}")
    found = load(tmp_path, tokenizer, conversations(TALK), template="instruction").train[0]
    n = found.real.split()[-1]
    assert (found.real, found.rendered) == (f"one . {n}", f"be brief {n}\n\n### Instruction: one ? {n}\n\n### Response: ")


def test_the_last_answer_of_a_conversation_with_all_that_was_said(tmp_path, tokenizer):
    found = load(tmp_path, tokenizer, conversations(TALK[1:]), turns="last").train[0]
    n = found.real.split()[-1]
    assert found.real == f"two . {n}"
    assert found.prompt == f"user: one ? {n}\n\nassistant: one . {n}\n\nuser: two ? {n}"
    turns = [{"role": t["role"], "content": f"{t['content']} {n}"} for t in TALK[1:4]]
    assert found.rendered == tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)


def test_a_turn_that_is_no_text_is_named(tmp_path, tokenizer):
    with pytest.raises(UserError, match="a turn's content=None is NoneType"):
        load(tmp_path, tokenizer, [{"messages": [TALK[1], {"role": "assistant", "content": None}]}] * 3)


def test_a_folder_is_its_files_and_those_of_the_split_where_they_are_named(tmp_path, tokenizer):
    for name, rows in (("train-00000", ROWS[:10]), ("train-00001", ROWS[10:]), ("test-00000", ROWS[:3])):
        write(tmp_path / "set" / "data" / f"{name}.jsonl", rows)
    (tmp_path / "set" / "dataset_info.json").write_text("{}")
    found = examples(tokenizer, tmp_path / "set")
    assert found.counts["rows"] == 20 and found == load(tmp_path, tokenizer, ROWS)


def test_a_system_turn_that_the_template_does_not_take_can_be_left_out_as_the_line_says(tmp_path):
    """Gemma's template refuses it, others leave it out in silence."""
    rows = [{"messages": [TALK[0], {"role": "user", "content": f"say {i}"}, TALK[2]]} for i in range(9)]
    refusing = "{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}" + CHATML
    silent = CHATML.replace("{% for m in messages %}", "{% for m in messages if m['role'] != 'system' %}")
    for text in (refusing, silent):
        tok = tokenizer_kinds.tokenizer("gemma", "added", text)
        with pytest.raises(UserError, match="--set data.template=instruction, or .* --set data.ignore_columns=system"):
            load(tmp_path, tok, rows)
        data = load(tmp_path, tok, rows, ignore_columns="system")
        assert {e.prompt for e in (*data.train, *data.heldout)} == {f"say {i}" for i in range(9)}
        assert any("columns not used: system" in note for note in data.notes)
