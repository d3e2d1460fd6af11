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
    with pytest.raises(UserError, match="1 pairs are also in data.source"):
        load(tmp_path, tokenizer, ROWS, heldout=str(tmp_path / "held.jsonl"))


def test_named_columns_that_are_not_there(tmp_path, tokenizer):
    with pytest.raises(UserError, match="no column 'q'; it has prompt, response"):
        load(tmp_path, tokenizer, ROWS, prompt_column="q")
