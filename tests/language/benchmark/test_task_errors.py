"""What a task's own code, filters or aggregation raise is one line that names task and item; what a file tells is said before."""

import json

import pytest

from harness.errors import EvaluationError, UserError
from harness.language.benchmark.lm import as_lm
from harness.language.benchmark.lm_eval_benchmark import evaluate, load_lm_eval_benchmark
from harness.loop.suite import load_suite
from tests.conftest import make_policy

TASK = """dataset_path: json
dataset_kwargs: {data_files: {test: "%s"}}
test_split: test
output_type: generate_until
doc_to_text: "{{q}}"
doc_to_target: "{{q}}"
generation_kwargs: {until: ["\\n"], max_gen_toks: 4}
metric_list:
  - {metric: m, aggregation: mean, higher_is_better: true}
metadata: {version: 1}
"""
CODE = """
def half(doc, results):
    return {"m": 0.5}

def third(doc, results):
    if doc["q"] == "c" and results != ["0"]:
        raise KeyError("answer")
    return {"m": 0.5}

def lists(doc, results):
    return {"m": [0.5]}

def question(doc):
    return {"a": "a", "b": "b"}[doc["q"]]

def nothing(items):
    return None

def fails(items):
    raise ZeroDivisionError("division by zero")
"""


@pytest.fixture
def suite(tmp_path, monkeypatch):
    """(the task's settings beside the usual ones, the row's) -> a suite of that task alone."""
    monkeypatch.setattr("datasets.config.HF_UPDATE_DOWNLOAD_COUNTS", False)

    def made(settings, name="t", **row):
        (tmp_path / "rows.jsonl").write_text("".join(json.dumps({"q": q}) + "\n" for q in "abcd"))
        (tmp_path / "own.py").write_text(CODE)
        own = {line.partition(":")[0] for line in settings.splitlines()}
        usual, skip = [], False
        for line in (TASK % (tmp_path / "rows.jsonl")).splitlines():
            skip = line.partition(":")[0] in own if not line.startswith(" ") else skip
            usual += [] if skip else [line]
        (tmp_path / "t.yaml").write_text("\n".join(["task: t", *usual, settings]) + "\n")
        (tmp_path / "g.yaml").write_text("group: g\ntask: [t]\naggregate_metric_list: [{metric: m}]\n")
        lines = [f"{key} = {json.dumps(value)}" for key, value in {"label": name, "shots": 0, "metric": "m", **row}.items()]
        (tmp_path / "s.toml").write_text(
            f'title = "t"\nversion = "1"\nlm_eval = "0.4.13"\ninclude_paths = ["{tmp_path}"]\napply_chat_template = false\n'
            f'[[task]]\nname = "{name}"\nchance = 0.0\n' + "\n".join(lines) + "\n"
        )
        return load_suite(str(tmp_path / "s.toml"))

    return made


AGGREGATED = "metric_list:\n  - {metric: m, aggregation: !function own.%s, higher_is_better: true}\n"
HALF = "process_results: !function own.half\n"
RAISED = {
    "scoring": (
        "process_results: !function own.third",
        r"task t, item 2: its answer cannot be scored: KeyError: 'answer' \(own.py",
    ),
    "a prompt": (
        HALF + "doc_to_text: !function own.question",
        r"task t, item 2: its prompt cannot be built: KeyError: 'c' \(own.py",
    ),
    "a target": (
        HALF + "doc_to_target: !function own.question",
        "task t, item 2: its target cannot be computed: KeyError: 'c'",
    ),
    "a filter": (
        HALF + "filter_list:\n  - name: none\n    filter: [{function: multi_choice_regex, regex_pattern: 'x'}]",
        "task t: its filters fail on the answers: KeyError: 'choices'",
    ),
    "lists": ("process_results: !function own.lists", r"task t: its items' scores cannot be aggregated \(m\): TypeError"),
    "an aggregation": (HALF + AGGREGATED % "fails", r"task t: its items' scores .* \(m\): ZeroDivisionError: division by zero"),
    "no number": (HALF + AGGREGATED % "nothing", r"task t: lm-eval gave no number for 'm,none' \(it is None\)"),
}


@pytest.mark.parametrize("case", RAISED)
def test_what_a_task_raises_is_one_line_that_names_it(case, suite, tokenizer):
    settings, expected = RAISED[case]
    board = load_lm_eval_benchmark(suite(settings), None, None)
    with pytest.raises(EvaluationError, match=expected) as raised:
        evaluate(make_policy(tokenizer, max_position_embeddings=512), board, 512, 8, lambda n: None)
    assert "\n" not in str(raised.value)


def test_a_groups_row_names_which_of_its_tasks(suite, tokenizer):
    board = load_lm_eval_benchmark(suite("process_results: !function own.third", name="g"), None, None)
    with pytest.raises(EvaluationError, match="task g: t, item 2: its answer cannot be scored"):
        evaluate(make_policy(tokenizer, max_position_embeddings=512), board, 512, 8, lambda n: None)


KNOWN = {
    "an aggregation that is none": (
        HALF + "metric_list:\n  - {metric: m, aggregation: harmonic, higher_is_better: true}\n",
        "t aggregates m with a function that lm-eval does not have",
    ),
    "more than it draws": (
        HALF + "repeats: 4\nfilter_list:\n  - name: none\n    filter: [{function: take_first_k, k: 5}]\n",
        "t filter none takes the first 5 answers, but repeats is 4; set repeats to at least 5",
    ),
    "no expression": (
        HALF + "filter_list:\n  - name: none\n    filter: [{function: regex, regex_pattern: '(['}]\n",
        r"regex_pattern '\(\[' is no regular expression",
    ),
    "a number to stop at": (HALF + "generation_kwargs: {until: [5]}", r"until=\[5\], expected texts"),
    "f1 of three classes": (
        "output_type: multiple_choice\ndoc_to_choice: [a, b, c]\ndoc_to_target: 0\nmetric_list: [{metric: acc}, {metric: f1}]\n",
        "t lists f1, which in lm-eval is binary and fails at a third class; its items have 3 choices",
    ),
    "no filter": (
        HALF + "filter_list:\n  - name: none\n    filter: [{function: nothere}]\n",
        r"cannot be loaded \(KeyError: .*Unknown filter 'nothere'",
    ),
}


@pytest.mark.parametrize("case", KNOWN)
def test_what_fails_for_any_model_is_said_before_one_is_asked(case, suite):
    settings, expected = KNOWN[case]
    row = {"metric": "acc"} if "{metric: acc}" in settings else {}
    with pytest.raises(UserError, match=expected):
        load_lm_eval_benchmark(suite(settings, **row), None, None)


def test_an_empty_stop_sequence_ends_an_answer_at_once_as_in_lm_eval(tokenizer):
    """lm-eval's criterion finds it in the first token's text."""
    policy = make_policy(tokenizer, max_position_embeddings=512)
    lm = as_lm(policy, 512, 8, {})
    assert lm._make_stop_fn(["", "stop"])([5]) and not lm._make_stop_fn(["stop"])([5])


@pytest.mark.parametrize(
    ("file", "text", "expected"),
    [
        ("own.py", "def third(:\n", r"t names Python code that cannot be read: invalid syntax \(.*own.py, line 1\)"),
        ("t.yaml", "task: t\noutput_type: [\n", "lm-eval skips .*t.yaml, which it cannot read"),
        ("t.yaml", "task: t\ninclude: nothere.yaml\n", "lm-eval skips .*t.yaml, which it cannot read"),
    ],
)
def test_a_file_that_cannot_be_read_is_named(file, text, expected, suite, tmp_path):
    asked = suite("process_results: !function own.third")
    (tmp_path / file).write_text(text)
    with pytest.raises(UserError, match=expected):
        load_lm_eval_benchmark(asked, None, None)
