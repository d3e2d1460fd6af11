"""Every shipped recipe that names a model of the hub, played as it stands on tiny twins of what it names; only sizes are cut."""

import json
import os

import pytest
import transformers

from harness.config import load_config
from harness.discovery.variants import parse_variants
from harness.files import read_jsonl
from harness.language.records import Example, Sample
from harness.loop.suite import load_suite
from harness.settings.paths import PACKAGE
from harness.sources.mirror import is_hub_id
from tests.conftest import read_csv_rows, run_cli, run_cli_in_process
from tests.helpers import twin_data, twins

RECIPES = [p.stem for p in sorted((PACKAGE / "recipes").glob("*.toml")) if is_hub_id(load_config(p.stem).model.path)]
IN_EVERY_TEST = "zephyr-7b-spin"  # one objective and six tasks, the quickest
PAIRS, ITERATIONS, LONGEST = 24, 2, 24
CUT = ("--iters", ITERATIONS, "--seeds", 0, "--max-examples", PAIRS, "--set", "evaluation.limit=1",
       "--set", f"generation.max_new_tokens={LONGEST}")  # fmt: skip
SIZES = {("data", "max_examples"), ("generation", "max_new_tokens")}  # of what a run is identified by
ARCHITECTURE = {
    "mistralai/Mistral-7B-v0.1": "MistralForCausalLM",
    "alignment-handbook/zephyr-7b-sft-full": "MistralForCausalLM",
    "Qwen/Qwen2.5-0.5B": "Qwen2ForCausalLM",
}


def play(recipe, folder, monkeypatch):
    twins.write_mirror(folder / "mirror", load_config(recipe))
    arguments = ("run", "--recipe", recipe, "--mirror", folder / "mirror", "--name", "twin", "--jobs", 1, *CUT)
    if recipe == IN_EVERY_TEST:
        monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", folder / "cache")
        run_cli_in_process(*arguments, cwd=folder)
    else:
        paths = [str(twins.write_package_stubs(folder / "packages")), *filter(None, [os.environ.get("PYTHONPATH")])]
        monkeypatch.setenv("PYTHONPATH", os.pathsep.join(paths))
        run_cli(*arguments, cwd=folder, HF_HOME=str(folder / "home"))
    return folder / "results" / "twin"


@pytest.mark.parametrize("recipe", [r if r == IN_EVERY_TEST else pytest.param(r, marks=pytest.mark.slow) for r in RECIPES])
def test_a_recipe_is_played_as_it_stands_on_its_tiny_twin(recipe, tmp_path, monkeypatch):
    run = play(recipe, tmp_path, monkeypatch)
    config = load_config(recipe)
    record = json.loads((run / "run.json").read_text())

    # nothing but sizes was changed, and the twin is of the recipe's kind
    asked = json.loads(json.dumps(config.identity()))
    changed = {(part, key) for part, values in asked.items() for key in values if record["identity"][part][key] != values[key]}
    assert changed == SIZES
    base = tmp_path / "mirror" / "models" / config.model.path
    assert json.loads((base / "config.json").read_text())["architectures"] == [ARCHITECTURE[config.model.path]]
    assert record["hardware"]["precision"] == "bfloat16" and record["template"] == config.data.template

    # every player of every iteration has a score on every task of the recipe's suite
    labels = [variant.label for variant in parse_variants(config.objectives, config.objective)]
    players = {("initial", "-1"), *((label, str(t)) for label in labels for t in range(ITERATIONS))}
    tasks = [row.name for row in load_suite(config.evaluation.suite).task]
    scores = read_csv_rows(run / "scores.csv")
    assert {(r["objective"], r["iteration"], r["task"]) for r in scores} == {
        (*player, task) for player in players for task in tasks
    }
    assert all(0.0 <= float(r["value"]) <= 1.0 for r in scores)
    assert json.loads((run / "failed.json").read_text()) == {}
    assert (tmp_path / "reports" / "twin.pdf").read_bytes().startswith(b"%PDF")

    # training saw every pair, and what it learnt to say and what was drawn begin alike
    examples = read_jsonl(run / "data" / "train.jsonl", Example)
    assert len(examples) == PAIRS
    drawn = {example.id: [] for example in examples}
    for path in run.rglob("generate/**/samples.jsonl.gz"):
        for sample in read_jsonl(path, Sample):
            drawn[sample.example_id].append(sample.token_ids)
    assert all(drawn.values())
    tokenizer = transformers.AutoTokenizer.from_pretrained(str(base))
    assert all(example.rendered == twins.instruction(example.prompt) for example in examples)
    twins.check_seam(tokenizer, examples, config.data.template, drawn)

    # the run's own check says the same of what was drawn, and what a clean seam leaves says nothing
    told = [r for r in read_csv_rows(run / "tables" / "first_ids.csv") if r["depth"] == "1"]
    assert {r["objective"] for r in told} > {"initial"}
    assert {r["telling"] for r in told} == {"False"}


@pytest.mark.parametrize("recipe", RECIPES)
def test_the_seam_is_clean_for_every_recipes_tokenizer_and_text(recipe, tmp_path):
    """Of what needs no model, which the played recipes show for what they drew: ids of the whole text, behind the same prompt."""
    config = load_config(recipe)
    tokenizer, _ = twins.write_tokenizer(tmp_path, config.model.path)
    pairs = twins.texts_of_dataset(config.data.source)
    examples = [Example(str(n), prompt, real, twins.instruction(prompt)) for n, (prompt, real) in enumerate(pairs)]
    laid = [(example, *twins.encode_example(tokenizer, example, config.data.template)) for example in examples]
    assert [fault for one in laid for fault in twins.seam_errors(tokenizer, *one, [])] == []
    texts = [(tokenizer(one.rendered), tokenizer(one.real, add_special_tokens=False)) for one in examples]
    apart = [[*prompt["input_ids"], *real["input_ids"]] for prompt, real in texts]
    differing = sum(a != prompt + real[:-1] for a, (_, prompt, real) in zip(apart, laid, strict=True))
    assert differing == (len(laid) if "Mistral" in ARCHITECTURE[config.model.path] else 0), "the twin has its original's space"


def test_every_recipe_that_names_the_hub_has_a_twin():
    configs = [load_config(recipe) for recipe in RECIPES]
    assert len(configs) >= 4
    assert {c.model.path for c in configs} == twins.MODELS.keys() == ARCHITECTURE.keys()
    assert {c.data.source for c in configs} == set(twin_data.PAIRS)
    assert {c.evaluation.suite for c in configs} == twin_data.TASKS.keys()


def test_a_first_token_that_gives_it_away_is_counted():
    assert twins.first_token_accuracy([[1], [2]], [[1], [2]]) == 0.5
    assert twins.first_token_accuracy([[5], [5]], [[1], [2]]) == 1.0
    assert twins.first_token_accuracy([[1], [5], [5], [5]], [[1], [1]]) == 0.875
