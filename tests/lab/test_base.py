"""What ships: data and tokenizer are what the build command makes, the base loads offline, any text survives the tokenizer."""

import json
from pathlib import Path

from harness.lab.build import build
from harness.language.encoding import choose_template, encode_prompt
from tests.conftest import ROOT

LAB = ROOT / "harness" / "lab"


def test_data_items_and_tokenizer_are_rebuilt_byte_for_byte(tmp_path):
    build(tmp_path, 0, ["data", "tokenizer"])
    made = sorted(p.relative_to(tmp_path) for p in tmp_path.rglob("*.jsonl"))
    assert made == sorted(p.relative_to(LAB) for p in LAB.rglob("*.jsonl"))
    assert len(made) == 22  # two splits of pairs, ten tasks, each with its validation items
    made += [Path("base", name) for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja")]
    assert [p for p in made if (tmp_path / p).read_bytes() != (LAB / p).read_bytes()] == []


def test_generation_and_training_see_the_same_prompt_tokens(tokenizer):
    """The prompt's ids are a prefix of the whole conversation's; one beginning token; one closing token at the end."""
    template = choose_template(tokenizer, "auto")
    prompt = encode_prompt(tokenizer, template.render(tokenizer, "what is true of the cat ?"), template)
    turns = [{"role": "user", "content": "what is true of the cat ?"}, {"role": "assistant", "content": "it hunts at night ."}]
    whole = tokenizer(tokenizer.apply_chat_template(turns, tokenize=False), add_special_tokens=False)["input_ids"]
    assert whole[: len(prompt)] == prompt
    assert whole.count(tokenizer.bos_token_id) == 1
    assert whole[-1] == template.end_token_id == tokenizer.eos_token_id


def test_lab_words_are_short(tokenizer):
    rows = [json.loads(line) for line in (LAB / "data" / "train.jsonl").read_text().splitlines()]
    tokens = sum(len(tokenizer(row["response"], add_special_tokens=False)["input_ids"]) for row in rows)
    assert tokens / sum(len(row["response"].split()) for row in rows) < 1.5


def test_the_base_is_small_and_says_how_it_was_made():
    record = json.loads((LAB / "base" / "training.json").read_text())
    assert record["parameters"] < 1_200_000 and record["seed"] == 0
    assert (LAB / "base" / "model.safetensors").stat().st_size < 6_000_000


def test_every_option_is_spelled_as_a_response_is(tokenizer):
    """The first token of every option begins some truthful response to its prompt: no option is a text nobody would write."""
    from harness.lab import corpus, world

    def first(text):
        return tokenizer(text, add_special_tokens=False)["input_ids"][0]

    for rows in corpus.benchmark_items(0).values():
        for row in rows[:40]:
            if "options" in row:
                right = row["options"][row["gold"]]
                assert first(right) in {first(text) for text in world.response_probabilities(row["prompt"])}, row


def test_the_build_command_makes_a_base_that_loads(tmp_path, monkeypatch):
    """The whole command with two stages of three steps: a model that loads, and a record of how it was made."""
    import dataclasses

    import transformers

    from harness.lab import pretrain

    monkeypatch.setattr(pretrain, "STAGES", tuple(dataclasses.replace(stage, steps=3) for stage in pretrain.STAGES))
    build(tmp_path, 0, ["data", "tokenizer", "base"])
    model = transformers.AutoModelForCausalLM.from_pretrained(str(tmp_path / "base"))
    record = json.loads((tmp_path / "base" / "training.json").read_text())
    assert sum(p.numel() for p in model.parameters()) == record["parameters"]
    assert [stage["steps"] for stage in record["stages"]] == [3, 3]
    made, shipped = (json.loads((folder / "base" / "config.json").read_text()) for folder in (tmp_path, LAB))
    assert made == shipped
