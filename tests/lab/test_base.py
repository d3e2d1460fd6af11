"""What ships: data and tokenizer are what the build command makes, the base loads offline, any text survives the tokenizer."""

import dataclasses
import itertools
import json
from pathlib import Path
from random import Random

import pytest
import transformers

from harness.lab import corpus, fine_tune, lexicon, pretrain, world
from harness.lab.build import build
from harness.lab.skills import SKILLS
from harness.lab.tokenizer import TOKENIZER_FILES
from harness.language.encoding import choose_template, encode_prompt
from tests.conftest import ROOT

LAB = ROOT / "harness" / "lab"


def test_data_items_and_tokenizer_are_rebuilt_byte_for_byte(tmp_path):
    build(tmp_path, 0, ["data", "tokenizer"])
    made = sorted(p.relative_to(tmp_path) for p in tmp_path.rglob("*.jsonl"))
    assert made == sorted(p.relative_to(LAB) for p in LAB.rglob("*.jsonl"))
    assert len(made) == 34  # pairs and pool, each with a held-out part; ten tasks, each with validation items and shots
    made += [Path("base", name) for name in TOKENIZER_FILES]
    assert [p for p in made if (tmp_path / p).read_bytes() != (LAB / p).read_bytes()] == []
    assert all((LAB / "base" / name).read_bytes() == (LAB / "sft" / name).read_bytes() for name in TOKENIZER_FILES)


def test_generation_and_training_see_the_same_prompt_tokens(tokenizer):
    """The prompt's ids are a prefix of the whole conversation's; one beginning token; one closing token at the end."""
    template = choose_template(tokenizer, "auto")
    prompt = encode_prompt(tokenizer, template.render(tokenizer, "what does the mole eat ?"), template)
    turns = [{"role": "user", "content": "what does the mole eat ?"}, {"role": "assistant", "content": "the mole eats worms ."}]
    whole = tokenizer(tokenizer.apply_chat_template(turns, tokenize=False), add_special_tokens=False)["input_ids"]
    assert whole[: len(prompt)] == prompt
    assert whole.count(tokenizer.bos_token_id) == 1
    assert whole[-1] == template.end_token_id == tokenizer.eos_token_id


def test_a_word_of_the_lab_is_one_token(tokenizer):
    """In prompts and in truthful responses; any other text survives as bytes."""
    for skill in SKILLS:
        rng = Random(skill.name)
        for part in lexicon.PARTS:
            prompt = skill.make_prompt(rng, (*skill.wordings, *skill.task_wordings), part)
            for text in (prompt, *itertools.islice(world.response_probabilities(prompt), 20)):
                assert len(tokenizer(text, add_special_tokens=False)["input_ids"]) == len(text.split()), text
    odd = "Zürich costs 7,5 €\n\tand\x00 more"
    assert tokenizer.decode(tokenizer(odd, add_special_tokens=False)["input_ids"]) == odd


def test_every_option_is_spelled_as_a_response_is(tokenizer):
    """The right option's tokens begin some truthful response to its prompt: no option is a text nobody would write."""

    def encoded(text):
        return tokenizer(text, add_special_tokens=False)["input_ids"]

    for rows in corpus.items(0, "test").values():
        for row in rows[:40]:
            if "options" in row:
                right = encoded(row["options"][row["gold"]])
                assert any(encoded(text)[: len(right)] == right for text in world.response_probabilities(row["prompt"])), row


def test_the_build_command_makes_models_that_load(tmp_path, monkeypatch):
    """The whole command with stages of three steps and one epoch: two models that load, and records of how they were made."""
    short = {"SCHOOL": dataclasses.replace(pretrain.SCHOOL, steps=3), "TOWN": dataclasses.replace(pretrain.TOWN, steps=3)}
    short["BURSTS"] = tuple(dataclasses.replace(stage, steps=3) for stage in pretrain.BURSTS)
    for name, value in short.items():
        monkeypatch.setattr(pretrain, name, value)
    monkeypatch.setattr(fine_tune, "MOST_EPOCHS", 1)
    monkeypatch.setattr(corpus, "POOL_TIMES", 2)
    build(tmp_path, 0, ["tokenizer", "base", "sft"])
    record, tuned = (json.loads((tmp_path / start / "training.json").read_text()) for start in ("base", "sft"))
    assert [stage["steps_taken"] for stage in record["stages"]] == [3] * (len(pretrain.BURSTS) + 2)
    assert tuned["pool"] == 2400 and len(tuned["heldout_nats_per_token"]) == 2
    for start in ("base", "sft"):
        model = transformers.AutoModelForCausalLM.from_pretrained(str(tmp_path / start))
        assert sum(p.numel() for p in model.parameters()) == record["parameters"]
        made, shipped = (json.loads((folder / start / "config.json").read_text()) for folder in (tmp_path, LAB))
        assert made == shipped


@pytest.mark.parametrize("start", ["base", "sft"])
def test_a_start_is_small_and_says_how_it_was_made(start):
    record = json.loads((LAB / start / "training.json").read_text())
    assert record["seed"] == 0
    assert (LAB / start / "model.safetensors").stat().st_size < 4_500_000
