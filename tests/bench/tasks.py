"""The tasks of the evaluation rows as suite files in a folder of their own: lm-eval's where there are any, and four of ours.

MMLU's data is not in the mirror, so `mmlu_shaped` has its form alone: a sentence that names the subject, five fixed shots, a
question of 15 to 60 words with four options of 2 to 12 words, the letter as answer. `gsm8k_short` and `bbh_boolean_short` are
lm-eval's gsm8k and boolean_expressions without shots, whose answers end after 48 and 16 tokens. `lambada_lab` is LAMBADA without
the lines whose last word has no token of its own behind its context under the lab's tokenizer: HFLM ends at those.
"""

import importlib.util
import json
import random
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from harness.language.benchmark.lm_eval_benchmark import LmEvalBenchmark, load_lm_eval_benchmark
from harness.loop.suite import load_suite
from tests.bench.measure import ROOT

WORDS = (
    "the of and to in a is that for it as was with be by on not he his but at are this have from or had an they which one "
    "you were all her she there would their we him been has when who will no more if out so up said what its about than "
    "into them can only other time new some could these two may first then do any like my now over such our man me even "
    "most made after also did many off before must well back through years where much your way down should because long "
    "each just state those people too how little good world make very year still see own work men day get here old between "
    "both life being under three never know same last another while us might great go come since against right came take "
    "used himself few house use place during high without again home around small however found part school thought went "
    "say general once upon war general every does"
)
ACCURACY = """metric_list:
  - metric: acc
    aggregation: mean
    higher_is_better: true
metadata:
  version: 1.0
"""
MMLU_SHAPED = """task: mmlu_shaped
custom_dataset: !function mmlu_shaped.load
test_split: test
fewshot_split: dev
output_type: multiple_choice
description: "The following are multiple choice questions (with answers) about common words.\\n\\n"
doc_to_text: "{{question.strip()}}\\nA. {{choices[0]}}\\nB. {{choices[1]}}\\nC. {{choices[2]}}\\nD. {{choices[3]}}\\nAnswer:"
doc_to_choice: ["A", "B", "C", "D"]
doc_to_target: answer
fewshot_config:
  sampler: first_n
"""
MMLU_SHAPED_CODE = '''"""The rows beside this file."""

import json
from pathlib import Path

import datasets


def load(**_):
    rows = json.loads((Path(__file__).parent / "mmlu_shaped.json").read_text(encoding="utf-8"))
    return {split: datasets.Dataset.from_list(rows[split]) for split in rows}
'''
LAMBADA_LAB = """task: lambada_lab
dataset_path: EleutherAI/lambada_openai
dataset_name: default
output_type: loglikelihood
test_split: test
process_docs: !function lambada_lab.with_a_token
doc_to_text: "{{text.split(' ')[:-1]|join(' ')}}"
doc_to_target: "{{' '+text.split(' ')[-1]}}"
"""
LAMBADA_LAB_CODE = '''"""The lines that HFLM can score with the lab's tokenizer."""

import tokenizers

TOKENIZER = tokenizers.Tokenizer.from_file({tokenizer!r})


def with_a_token(docs):
    def has_one(doc):
        context = doc["text"].rsplit(" ", 1)[0]
        return len(TOKENIZER.encode(doc["text"]).ids) > len(TOKENIZER.encode(context).ids)

    return docs.filter(has_one)
'''
GENERATED = """task: {name}
dataset_path: {path}
dataset_name: {config}
output_type: generate_until
test_split: test
doc_to_text: "{text}"
doc_to_target: "{target}"
metric_list:
  - metric: exact_match
    aggregation: mean
    higher_is_better: true
generation_kwargs:
  until: ["Q:", "Question:", "\\n\\n"]
  do_sample: false
  max_gen_toks: {tokens}
num_fewshot: 0
metadata:
  version: 1.0
"""


# of lm-eval's own task files, those alone: to scan them all takes seconds
LM_EVAL_FOLDERS = ("arc", "hellaswag", "piqa", "winogrande", "openbookqa", "truthfulqa", "lambada")
LAB_SHAPED = ROOT / "tests" / "data" / "fewshot"  # arc_shaped: four choices, shots drawn anew, in the lab's own words


@dataclass(frozen=True)
class Task:
    name: str
    shots: int = 0
    metric: str = "acc"


TEN = (
    Task("arc_easy"), Task("arc_challenge"), Task("hellaswag"), Task("piqa"), Task("winogrande"), Task("openbookqa"),
    Task("truthfulqa_mc2"), Task("lambada_openai"), Task("gsm8k_short", metric="exact_match"),
    Task("bbh_boolean_short", metric="exact_match"),
)  # fmt: skip


def write_suite(folder: Path, tasks: Sequence[Task]) -> Path:
    """A suite file of these tasks, with the files of the bench's own tasks beside it."""
    (folder / "mmlu_shaped.yaml").write_text(MMLU_SHAPED + ACCURACY, encoding="utf-8")
    (folder / "mmlu_shaped.py").write_text(MMLU_SHAPED_CODE, encoding="utf-8")
    (folder / "mmlu_shaped.json").write_text(json.dumps(mmlu_shaped_rows()), encoding="utf-8")
    (folder / "lambada_lab.yaml").write_text(LAMBADA_LAB + ACCURACY, encoding="utf-8")
    tokenizer = str(ROOT / "harness" / "lab" / "base" / "tokenizer.json")
    (folder / "lambada_lab.py").write_text(LAMBADA_LAB_CODE.format(tokenizer=tokenizer), encoding="utf-8")
    own = {
        "gsm8k_short": ("openai/gsm8k", "main", "Question: {{question}}\\nAnswer:", "{{answer.split('#### ')[-1]}}", 48),
        "bbh_boolean_short": ("SaylorTwift/bbh", "boolean_expressions", "Q: {{input}}\\nA:", "{{target}}", 16),
    }
    for name, (path, config, text, target, tokens) in own.items():
        content = GENERATED.format(name=name, path=path, config=config, text=text, target=target, tokens=tokens)
        (folder / f"{name}.yaml").write_text(content, encoding="utf-8")
    lm_eval = Path(importlib.util.find_spec("lm_eval.tasks").submodule_search_locations[0])
    paths = json.dumps([".", str(LAB_SHAPED), *(str(lm_eval / name) for name in LM_EVAL_FOLDERS)])
    lines = ['title = "Tasks of a benchmark"', 'version = "1"', f'lm_eval = "{version("lm_eval")}"', f"include_paths = {paths}"]
    for task in tasks:
        lines += ["[[task]]", f'name = "{task.name}"', f'label = "{task.name[:24]}"', f"shots = {task.shots}"]
        lines += [f'metric = "{task.metric}"', 'filter = "none"', "chance = 0.0"]
    suite = folder / "bench.toml"
    suite.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return suite


def load_tasks(folder: Path, tasks: Sequence[Task], items: int, mirror: Path | None) -> LmEvalBenchmark:
    return load_lm_eval_benchmark(load_suite(str(write_suite(folder, tasks))), items, mirror)


def mmlu_shaped_rows(questions: int = 200) -> dict[str, list[dict[str, object]]]:
    """Five questions to show and `questions` to answer, words drawn anew for each from a fixed seed."""
    draw, words = random.Random(5), WORDS.split()

    def text(least: int, most: int) -> str:
        return " ".join(draw.choices(words, k=draw.randint(least, most)))

    def row() -> dict[str, object]:
        return {"question": f"{text(15, 60)}?", "choices": [text(2, 12) for _ in range(4)], "answer": draw.randrange(4)}

    return {"dev": [row() for _ in range(5)], "test": [row() for _ in range(questions)]}
