"""Rows become examples: columns are recognised, everything left out is counted, the split does not depend on seeds."""

import json

import pytest

from harness.config import DataConfig
from harness.data import load_examples
from harness.encoding import choose_template
from harness.errors import UserError


def load(tmp_path, tokenizer, rows, name="pairs.jsonl", context=1024, **settings):
    path = tmp_path / name
    if name.endswith(".jsonl"):
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    else:
        import pandas

        frame = pandas.DataFrame(rows)
        frame.to_csv(path, index=False) if name.endswith(".csv") else frame.to_parquet(path)
    config = DataConfig(source=str(path), **settings)
    return load_examples(config, tokenizer, choose_template(tokenizer, config.template), context, None)


ROWS = [{"prompt": f"say {i}", "response": f"it is {i}"} for i in range(20)]


@pytest.mark.parametrize(
    "convert",
    [
        lambda r: r,
        lambda r: {"question": r["prompt"], "answer": r["response"]},
        lambda r: {"prompt": r["prompt"], "completion": r["response"]},
        lambda r: {"instruction": r["prompt"], "input": "", "output": r["response"]},
        lambda r: {"messages": [{"role": "user", "content": r["prompt"]}, {"role": "assistant", "content": r["response"]}]},
    ],
)
def test_common_columns_are_recognised(tmp_path, tokenizer, convert):
    data = load(tmp_path, tokenizer, [convert(r) for r in ROWS])
    assert {(e.prompt, e.real) for e in (*data.train, *data.heldout)} == {(r["prompt"], r["response"]) for r in ROWS}


@pytest.mark.parametrize("name", ["pairs.csv", "pairs.parquet"])
def test_tables_are_read_like_json_lines(tmp_path, tokenizer, name):
    assert load(tmp_path, tokenizer, ROWS).train == load(tmp_path, tokenizer, ROWS, name).train


def test_what_is_left_out_is_counted(tmp_path, tokenizer):
    rows = [*ROWS, ROWS[0], {"prompt": " ", "response": "x"}, {"prompt": "é" * 600, "response": "x"}]
    data = load(tmp_path, tokenizer, rows, context=300, overlong="drop")
    assert data.counts == {"rows": 23, "duplicate": 1, "empty": 1, "overlong": 1, "train": 16, "heldout": 4}


def test_the_order_and_the_split_belong_to_the_pairs_not_to_the_file(tmp_path, tokenizer):
    one, other = load(tmp_path, tokenizer, ROWS), load(tmp_path, tokenizer, ROWS[::-1])
    assert (one.train, one.heldout) == (other.train, other.heldout)
    assert load(tmp_path, tokenizer, ROWS, max_examples=5).train == one.train[:5]


def test_one_template_renders_for_generation_and_training(tmp_path, tokenizer):
    example = load(tmp_path, tokenizer, ROWS).train[0]
    assert example.rendered == f"<|begin|><|user|>{example.prompt}<|assistant|>"
    plain = load(tmp_path, tokenizer, ROWS, template="instruction").train[0]
    assert plain.rendered == f"### Instruction: {plain.prompt}\n\n### Response: "


def test_heldout_pairs_in_the_training_data_are_refused(tmp_path, tokenizer):
    (tmp_path / "held.jsonl").write_text(json.dumps(ROWS[3]) + "\n")
    with pytest.raises(UserError, match="prompts of 1 of 1 held-out pairs are also in data.source .as 'say 3'."):
        load(tmp_path, tokenizer, ROWS, heldout=str(tmp_path / "held.jsonl"))


def test_named_columns_that_are_not_there(tmp_path, tokenizer):
    with pytest.raises(UserError, match="no column 'q'; it has prompt, response"):
        load(tmp_path, tokenizer, ROWS, prompt_column="q")


TALK = [
    {"role": "system", "content": "be brief"},
    {"role": "user", "content": "one ?"},
    {"role": "assistant", "content": "one ."},
    {"role": "user", "content": "two ?"},
    {"role": "assistant", "content": "two ."},
    {"role": "user", "content": "three ?"},
]


def conversations(turns):
    return [{"messages": [dict(t, content=f"{t['content']} {i}") for t in turns]} for i in range(10)]


def test_the_first_answer_of_a_conversation_with_what_stands_before_it(tmp_path, tokenizer):
    """A system turn is part of the prompt, never the prompt itself; turns after the first answer are not looked at."""
    plain = load(tmp_path, tokenizer, conversations(TALK[1:])).train[0]
    number = plain.prompt.split()[-1]
    assert (plain.prompt, plain.real) == (f"one ? {number}", f"one . {number}")
    found = load(tmp_path, tokenizer, conversations(TALK), template="instruction").train[0]
    number = found.real.split()[-1]
    assert found.real == f"one . {number}"
    assert found.rendered == f"be brief {number}\n\n### Instruction: one ? {number}\n\n### Response: "


@pytest.mark.parametrize("name", ["talk.jsonl", "talk.parquet"])
def test_the_last_answer_of_a_conversation_with_all_that_was_said(tmp_path, tokenizer, name):
    found = load(tmp_path, tokenizer, conversations(TALK[1:]), name, turns="last").train[0]
    n = found.real.split()[-1]
    assert found.real == f"two . {n}"
    assert found.prompt == f"user: one ? {n}\n\nassistant: one . {n}\n\nuser: two ? {n}"
    turns = [{"role": t["role"], "content": f"{t['content']} {n}"} for t in TALK[1:4]]
    assert found.rendered == tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)


@pytest.mark.parametrize(
    ("messages", "expected"),
    [
        ([{"role": "assistant", "content": "a"}, {"role": "user", "content": "b"}], "no assistant turn follows a user turn"),
        ([{"role": "user", "content": "a"}], "at least two turns"),
        ([{"role": "user", "content": "a"}, {"role": "assistant", "content": None}], "a turn's content=None is NoneType"),
        ("hello", "at least two turns"),
    ],
)
def test_a_conversation_without_an_answer_is_named(tmp_path, tokenizer, messages, expected):
    with pytest.raises(UserError, match=expected):
        load(tmp_path, tokenizer, [{"messages": messages}] * 3)


def test_a_folder_is_its_files_and_those_of_the_split_where_they_are_named(tmp_path, tokenizer):
    folder = tmp_path / "set"
    (folder / "data").mkdir(parents=True)
    for name, rows in (("train-00000.jsonl", ROWS[:10]), ("train-00001.jsonl", ROWS[10:]), ("test-00000.jsonl", ROWS[:3])):
        (folder / "data" / name).write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "dataset_info.json").write_text("{}")
    config = DataConfig(source=str(folder))
    found = load_examples(config, tokenizer, choose_template(tokenizer, "auto"), 1024, None)
    assert found.counts["rows"] == 20
    assert found == load(tmp_path, tokenizer, ROWS)


def test_a_folder_without_data_is_named(tmp_path, tokenizer):
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="empty: holds no .jsonl, .csv, .parquet file"):
        load_examples(DataConfig(source=str(tmp_path / "empty")), tokenizer, choose_template(tokenizer, "auto"), 1024, None)


def test_alpaca_rows_keep_their_material(tmp_path, tokenizer):
    rows = [{"instruction": f"add {i}", "input": "1 2", "output": "3", "text": "…"} for i in range(10)]
    assert load(tmp_path, tokenizer, rows).train[0].prompt.endswith("\n\n1 2")
