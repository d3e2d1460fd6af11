"""Tokenizers and templates from outside, through the program: what it says, what it refuses, what stays the same tomorrow."""

import json
from datetime import datetime, timedelta

import pytest
import torch
import transformers
from lm_eval.api.instance import Instance

from harness.config import LoraConfig, ModelConfig
from harness.files import write_jsonl
from harness.language.benchmark.lm import as_lm
from harness.language.encoding import choose_template, encode_pair
from harness.language.model.loading import load_policy
from harness.language.model.sampling import GeneratedTokens
from harness.planning import prepare
from tests.conftest import ROOT, SMALL_RECIPE, read_csv_rows, run_cli_in_process
from tests.helpers.tokenizer_kinds import CHATML, TEMPLATES, tokenizer

DATED = "{% if messages %}{{ strftime_now('%d %b %Y') }}\n{% endif %}" + CHATML
PAIRS = [(f"how many are {n} and 1 ?", f"that is {n + 1} .") for n in range(30)]
QUOTING = [(f"what is <|im_end|> , case {n} ?", "it ends a turn") for n in range(3)] + [("what ends a turn ?", "<|im_end|> does")]
SUITE = """
title = "plain"
version = "1"
lm_eval = "0.4.13"
include_paths = ["tasks"]
[[task]]
name = "plus"
label = "plus"
shots = 0
metric = "acc"
chance = 0.5
"""
TASK = """
task: plus
dataset_path: json
dataset_kwargs: {data_files: {test: %s}}
test_split: test
output_type: multiple_choice
doc_to_text: "{{question}}"
doc_to_choice: ["3", "4"]
doc_to_target: gold
metric_list: [{metric: acc, aggregation: mean, higher_is_better: true}]
metadata: {version: 1}
"""


@pytest.fixture
def asked(tmp_path, monkeypatch):
    """Writes a tiny model with a tokenizer, pairs and a suite that asks in no chat template; returns the command's beginning."""
    monkeypatch.setattr("datasets.config.HF_HUB_OFFLINE", True)  # it counts what is loaded on a server, a local file too

    def write(tok, pairs=PAIRS, **generation):
        config = transformers.LlamaConfig(
            vocab_size=len(tok), hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=2,
            num_key_value_heads=2, max_position_embeddings=256, eos_token_id=tok.eos_token_id, bos_token_id=tok.bos_token_id,
        )  # fmt: skip
        torch.manual_seed(0)
        model = transformers.LlamaForCausalLM(config)
        model.generation_config.update(**generation)
        model.save_pretrained(tmp_path / "model")
        tok.save_pretrained(tmp_path / "model")
        (tmp_path / "tasks").mkdir(exist_ok=True)
        write_jsonl(tmp_path / "pairs.jsonl", ({"prompt": p, "response": r} for p, r in pairs))
        write_jsonl(tmp_path / "items.jsonl", ({"question": f"1 and {n} ?", "gold": n % 2} for n in (2, 3, 2, 3)))
        for name, text in {
            "tasks/plus.yaml": TASK % (tmp_path / "items.jsonl"),
            "plain.toml": SUITE,
            "chat.toml": SUITE.replace("[[task]]", "apply_chat_template = true\n[[task]]"),
        }.items():
            (tmp_path / name).write_text(text)
        lines = SMALL_RECIPE.read_text().splitlines(True)
        recipe = "".join(x for x in lines if not x.startswith(("heldout", "distribution", "source", "suite")))
        recipe = recipe.replace("[data]", "[data]\nheldout_examples = 6").replace("builtin:lab/base", str(tmp_path / "model"))
        (tmp_path / "tiny.toml").write_text(recipe)
        where = ["--data", tmp_path / "pairs.jsonl", "--suite", tmp_path / "plain.toml"]
        return ["run", "--recipe", tmp_path / "tiny.toml", *where, "--name", "x"]

    return write


def test_rows_that_quote_control_tokens_are_counted_and_the_seam_is_said(asked, tmp_path):
    done = run_cli_in_process(*asked(tokenizer("llama2", "added"), PAIRS + QUOTING), "--dry-run", cwd=tmp_path)
    assert "template 'instruction'; prompt and response tokenised as one text, seam 1 character(s) before" in done.stdout
    assert "34 pairs checked; a response ends in '</s>', sampling stops at '</s>'" in done.stdout
    assert "4 rows hold text that looks like a control token" in done.stdout


def test_a_model_without_a_chat_template_is_told_what_to_type_before_anything_is_written(asked, tmp_path):
    line = asked(tokenizer("mistral", "added"))
    chat = [tmp_path / "chat.toml" if a == tmp_path / "plain.toml" else a for a in line]
    done = run_cli_in_process(*chat, cwd=tmp_path, check=False)
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert "its tokenizer has none; use --set evaluation.apply_chat_template=false" in done.stderr.splitlines()[-1]
    assert not (tmp_path / "results").exists()
    run_cli_in_process(*chat, "--set", "evaluation.apply_chat_template=false", cwd=tmp_path)
    suites = json.loads((tmp_path / "results/x/run.json").read_text())["suites"]
    assert suites["chat"]["version"] == "1+plain" and suites["chat"]["apply_chat_template"] is False
    table = read_csv_rows(tmp_path / "results/x/tables/first_ids.csv")
    assert (tmp_path / "reports/x/first_ids.csv").read_bytes() == (tmp_path / "results/x/tables/first_ids.csv").read_bytes()
    assert {row["objective"] for row in table} >= {"initial"} and all(0.5 <= float(row["accuracy"]) <= 1 for row in table)


@pytest.mark.slow
def test_a_run_that_goes_on_another_day_has_the_prompts_it_began_with(asked, tmp_path, monkeypatch):
    line = asked(tokenizer("qwen", "none", DATED))

    class Clock(datetime):
        day = datetime(2024, 2, 29, 23, 59)

        @classmethod
        def now(cls, tz=None):
            return cls.day

    monkeypatch.setattr(prepare, "datetime", Clock)
    done = run_cli_in_process(*line, "--iters", "1", cwd=tmp_path)
    assert "writes a date into every prompt" in done.stderr
    first = (tmp_path / "results/x/data/train.jsonl").read_bytes()
    assert b"29 Feb 2024" in first
    Clock.day += timedelta(days=400)
    done = run_cli_in_process(*line, "--iters", "2", cwd=tmp_path)
    assert (tmp_path / "results/x/data/train.jsonl").read_bytes() == first
    assert json.loads((tmp_path / "results/x/data/manifest.json").read_text())["settings"]["date"] == "2024-02-29T23:59:00"


def test_sampling_stops_at_every_end_of_generation_config(asked, tmp_path):
    tok = tokenizer("gpt2", "none", CHATML)
    dot = tok.convert_tokens_to_ids(".")
    asked(tok, eos_token_id=[tok.eos_token_id, dot])
    policy = load_policy(ModelConfig(path=str(tmp_path / "model")), LoraConfig(rank=4), "auto")
    assert policy.stop_ids == {tok.eos_token_id, dot, tok.convert_tokens_to_ids("<|im_end|>")}


def test_the_labs_own_prompts_are_laid_out_as_they_were():
    """The lab's template leaves no doubt where the seam is: its ids are those that prompt and response have apart."""
    tok = transformers.AutoTokenizer.from_pretrained(str(ROOT / "harness" / "lab" / "base"))
    template = choose_template(tok, "auto")
    for line in (ROOT / "harness/lab/data/train.jsonl").read_text().splitlines()[:200]:
        row = json.loads(line)
        rendered = template.render(tok, row["prompt"])
        pair = encode_pair(tok, rendered, row["response"], template)
        assert pair.prompt_ids == tok(rendered, add_special_tokens=False)["input_ids"] and pair.seam_shift == 0
        assert pair.response_ids == [*tok(row["response"], add_special_tokens=False)["input_ids"], tok.eos_token_id]


def test_evaluation_in_the_chat_template_gives_it_its_arguments_and_ends_an_answer_with_the_turn(asked, tmp_path):
    """A turn that ends in a token which is no end of the model's: the answer is what stands before it, as in self-play."""
    tok = tokenizer("qwen", "none", TEMPLATES["thinking"])
    asked(tok)
    arguments = {"enable_thinking": False}
    policy = load_policy(ModelConfig(path=str(tmp_path / "model")), LoraConfig(rank=4), "auto", template_arguments=arguments)
    three = GeneratedTokens(tok("three<|im_end|>", add_special_tokens=False)["input_ids"], None)
    stops = []
    policy.generate_tokens = lambda requests, how, stop_ids, *rest: stops.append(stop_ids) or [three] * len(requests)
    request = Instance("generate_until", {}, ("how many ?", {"until": ["\n\n"], "max_gen_toks": 8}), 0)
    for chat in (True, False):
        lm = as_lm(policy, 64, 4, {}, use_chat_template=chat)
        assert lm.apply_chat_template([{"role": "user", "content": "a"}]).endswith("<think>\n\n</think>\n\n")
        assert lm.generate_until([request]) == ["three"]
    end = tok.convert_tokens_to_ids("<|im_end|>")
    assert end in stops[0] and end not in stops[1]
