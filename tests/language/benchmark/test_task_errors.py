"""What a task's own code, filters or aggregation raise is one line that names task and item; what a file tells is said before."""

import pytest

from harness.errors import EvaluationError, UserError
from harness.language.benchmark.lm import as_lm
from tests.conftest import make_policy
from tests.language.benchmark.conftest import WRITTEN

CODE = """
def half(doc, results): return {"m": 0.5}
def lists(doc, results): return {"m": [0.5]}
def question(doc): return {"a": "a", "b": "b"}[doc["q"]]
def nothing(items): return None
def fails(items): raise ZeroDivisionError("division by zero")
def third(doc, results):
    if doc["q"] == "c" and results != ["0"]:
        raise KeyError("answer")
    return {"m": 0.5}
"""


def row(made, settings, name="t"):
    """The row of a task with settings beside the usual ones, or of a group around it."""
    made.file("own.py", CODE)
    usual = WRITTEN + "metric_list:\n  - {metric: m, aggregation: mean, higher_is_better: true}\n"
    made.task("t", usual + settings, [{"q": q, "a": q} for q in "abcd"])
    made.file("g.yaml", "group: g\ntask: [t]\naggregate_metric_list: [{metric: m}]\n")
    return {"name": name, "metric": "acc" if "{metric: acc}" in settings else "m"}


AGGREGATED = "metric_list:\n  - {metric: m, aggregation: %s, higher_is_better: true}\n"
OWN = AGGREGATED % "!function own.%s"
HALF = "process_results: !function own.half\n"
THIRD = "process_results: !function own.third\n"
FILTER = "filter_list:\n  - name: none\n    filter: [{function: %s}]\n"
RAISED = {
    "scoring": (THIRD, r"t, item 2: its answer cannot be scored: KeyError: 'answer' \(own.py"),
    "scoring in a group": (THIRD, "g: t, item 2: its answer cannot be scored"),
    "a prompt": (HALF + "doc_to_text: !function own.question", r"t, item 2: its prompt cannot be built: KeyError: 'c' \(own.py"),
    "a target": (HALF + "doc_to_target: !function own.question", "t, item 2: its target cannot be computed: KeyError: 'c'"),
    "filter": (HALF + FILTER % "multi_choice_regex, regex_pattern: x", "t: its filters fail on the answers: KeyError: 'choices'"),
    "lists": ("process_results: !function own.lists", r"t: its items' scores cannot be aggregated \(m\): TypeError"),
    "an aggregation": (HALF + OWN % "fails", r"t: its items' scores .* \(m\): ZeroDivisionError: division by zero"),
    "no number": (HALF + OWN % "nothing", r"t: lm-eval gave no number for 'm,none' \(it is None\)"),
}


@pytest.mark.parametrize("case", RAISED)
def test_what_a_task_raises_is_one_line_that_names_it(case, made):
    settings, expected = RAISED[case]
    with pytest.raises(EvaluationError, match=f"task {expected}") as raised:
        made.evaluated(row(made, settings, "g" if "group" in case else "t"))
    assert "\n" not in str(raised.value)


KNOWN = {
    "no aggregation": (HALF + AGGREGATED % "harmonic", "t aggregates m with a function that lm-eval does not have"),
    "more than it draws": (
        HALF + "repeats: 4\n" + FILTER % "take_first_k, k: 5",
        "t filter none takes the first 5 answers, but repeats is 4; set repeats to at least 5",
    ),
    "no expression": (HALF + FILTER % "regex, regex_pattern: '(['", r"regex_pattern '\(\[' is no regular expression"),
    "a number to stop at": (HALF + "generation_kwargs: {until: [5]}", r"until=\[5\], expected texts"),
    "f1 of three classes": (
        "output_type: multiple_choice\ndoc_to_choice: [a, b, c]\ndoc_to_target: 0\nmetric_list: [{metric: acc}, {metric: f1}]\n",
        "t lists f1, which in lm-eval is binary and fails at a third class; its items have 3 choices",
    ),
    "no filter": (HALF + FILTER % "nothere", r"cannot be loaded \(KeyError: .*Unknown filter 'nothere'"),
}


@pytest.mark.parametrize("case", KNOWN)
def test_what_fails_for_any_model_is_said_before_one_is_asked(case, made, policy):
    settings, expected = KNOWN[case]
    with pytest.raises(UserError, match=expected):
        made.board(row(made, settings)).check_context(policy)


def test_an_empty_stop_sequence_ends_an_answer_at_once_as_in_lm_eval(tokenizer):
    """lm-eval's criterion finds it in the first token's text."""
    lm = as_lm(make_policy(tokenizer, max_position_embeddings=512), 512, 8, {})
    assert lm._make_stop_fn(["", "stop"])([5]) and not lm._make_stop_fn(["stop"])([5])


@pytest.mark.parametrize(
    ("file", "text", "expected"),
    [
        ("own.py", "def third(:\n", r"t names Python code that cannot be read: invalid syntax \(.*own.py, line 1\)"),
        ("t.yaml", "task: t\noutput_type: [\n", "lm-eval skips .*t.yaml, which it cannot read"),
        ("t.yaml", "task: t\ninclude: nothere.yaml\n", "lm-eval skips .*t.yaml, which it cannot read"),
    ],
)
def test_a_file_that_cannot_be_read_is_named(file, text, expected, made):
    asked = row(made, THIRD)
    made.file(file, text)
    with pytest.raises(UserError, match=expected):
        made.board(asked)
