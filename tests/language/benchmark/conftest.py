"""Tasks and suites made on the spot, and a tiny policy that answers them."""

import json

import pytest

from harness.language.benchmark.lm_eval_benchmark import evaluate, load_lm_eval_benchmark
from harness.language.benchmark.load_tasks import make_task_manager, task_files
from harness.language.benchmark.suite_check import requirements
from harness.loop.suite import load_suite
from tests.conftest import ROOT, make_policy
from tests.helpers.peers import quiet

TWO = str(ROOT / "tests" / "data" / "two.toml")
CHOICE = """output_type: multiple_choice
doc_to_text: "{{q}}"
doc_to_choice: ["yes", "no", "maybe"]
doc_to_target: "{{a}}"
metric_list:
  - {metric: acc, aggregation: mean, higher_is_better: true}
"""
WRITTEN = """output_type: generate_until
doc_to_text: "{{q}}"
doc_to_target: "{{a}}"
generation_kwargs: {until: ["."], max_gen_toks: 4}
"""


def answered(policy, board, max_tokens_per_batch=512, batch_size=8):
    return evaluate(policy, board, max_tokens_per_batch, batch_size, quiet)


@pytest.fixture
def made(tmp_path, tokenizer):
    return Made(tmp_path, tokenizer)


class Made:
    def __init__(self, folder, tokenizer):
        self.folder, self.tokenizer = folder, tokenizer

    def task(self, name, text=CHOICE, docs=None, split="test_split: train", **files):
        """A task file; of a setting that stands in it twice the last counts."""
        docs = docs if docs is not None else [{"q": f"question {n} of {name} ?", "a": n % 3} for n in range(6)]
        load = "    return {name: datasets.Dataset.from_list(docs) for name, docs in held.items()}\n"
        held = f"    held = { ({'train': docs, **files})!r}\n"
        self.file(f"{name}_data.py", f"import datasets\n\n\ndef load(**settings):\n{held}{load}")
        head = f"task: {name}\ncustom_dataset: !function {name}_data.load\n"
        self.file(f"{name}.yaml", f"{head}{split}\nmetadata: {{version: 1}}\n{text}\n")

    def file(self, name, text):
        (self.folder / name).write_text(text)

    def suite(self, *rows, **settings):
        settings = {"title": "T", "version": "1", "lm_eval": "0.4.13", "include_paths": [str(self.folder)], **settings}
        lines = [f"{key} = {json.dumps(value)}" for key, value in settings.items()]
        for row in rows:
            row = {"label": row["name"][:24], "shots": 0, "metric": "acc", "chance": 0.0} | row
            lines += ["[[task]]", *(f"{key} = {json.dumps(value)}" for key, value in row.items())]
        self.file("suite.toml", "\n".join(lines) + "\n")
        return load_suite(str(self.folder / "suite.toml"))

    def problems(self, *rows):
        suite = self.suite(*rows)
        return [said for needs in requirements(suite, task_files(make_task_manager(suite))) for said in needs.problems]

    def board(self, *rows, **options):
        return load_lm_eval_benchmark(self.suite(*rows), None, None, **options)

    def evaluated(self, *rows, **options):
        return answered(make_policy(self.tokenizer, max_position_embeddings=512), self.board(*rows, **options))
