"""The bridge to lm-eval: a missing metric is an error, prompts do not depend on batch or order, no score is remembered."""

import ast
import random

import pytest
import torch

from harness.errors import EvaluationError, UserError
from harness.language.benchmark.lm_eval_benchmark import load_lm_eval_benchmark
from harness.language.benchmark.row_scores import make_record
from harness.loop.suite import load_suite
from tests.conftest import ROOT, make_policy
from tests.language.benchmark.conftest import TWO, answered

RESULT = {
    "results": {"lab_arithmetic": {"exact_match,strict-match": 0.5, "exact_match_stderr,strict-match": 0.25, "alias": "x"}},
    "n-samples": {"lab_arithmetic": {"original": 160, "effective": 4}},
    "versions": {"lab_arithmetic": 1.0},
}


@pytest.fixture(scope="module")
def board():
    return load_lm_eval_benchmark(load_suite(TWO), None, None)


@pytest.fixture
def policy(tokenizer):
    return make_policy(tokenizer, max_position_embeddings=1024)


def test_a_result_becomes_a_record_and_one_without_its_metric_or_filter_is_an_error_not_a_zero(board):
    record = make_record(board.suite.task[0], board.suite, RESULT, ["lab_arithmetic"])
    assert (record.value, record.stderr, record.n, record.shots, record.task_version) == (0.5, 0.25, 4, 2, "1.0")
    for other in ("exact_match,flexible-extract", "exact_match,none"):
        result = {**RESULT, "results": {"lab_arithmetic": {other: 0.5}}}
        with pytest.raises(EvaluationError, match="gave no number for 'exact_match,strict-match'"):
            make_record(board.suite.task[0], board.suite, result, ["lab_arithmetic"])


def test_prompts_and_scores_do_not_depend_on_the_batch_or_on_what_ran_before(board, policy):
    """Nor is the global random state another one afterwards."""
    before = (random.getstate(), torch.get_rng_state().tolist())
    one, many = answered(policy, board, 1, 1), answered(policy, board, 4096, 64)
    assert (random.getstate(), torch.get_rng_state().tolist()) == before
    assert one.prompt_hash == many.prompt_hash
    assert [r.value for r in one.records] == [r.value for r in many.records]
    assert len({s["prompt_hash"] for s in one.samples["lab_arithmetic"]}) == 4


def test_shots_are_fixed_and_shown_before_every_question(board, policy):
    samples = answered(policy, board).samples["lab_arithmetic"]
    prompts = [s["arguments"][0][0] for s in samples if s["filter"] == "strict-match"]
    (head,) = {p.rpartition("<|user|>")[0] for p in prompts}
    assert len(prompts) == 4
    assert head.count("<|end|>") == 2


def test_a_task_that_generates_more_than_the_context_holds_is_refused_at_once(board, tokenizer):
    with pytest.raises(UserError, match="task lab_arithmetic: generates up to 40 tokens, the model's context is 32"):
        board.check_context(make_policy(tokenizer, max_position_embeddings=32))
    board.check_context(make_policy(tokenizer, max_position_embeddings=41))


def test_a_group_is_a_row_like_any_task(made):
    """A user's group over two of the lab's tasks, weighted by size, has the mean of their items; so has the row's item list."""
    made.file(
        "both.yaml",
        "group: my_both\ntask: [lab_facts, lab_continuation]\n"
        "aggregate_metric_list: [{metric: acc_norm, weight_by_size: true}]\nmetadata: {version: 3}\n",
    )
    rows = ({"name": "my_both", "metric": "acc_norm", "limit": 20}, {"name": "lab_logic", "metric": "acc_norm", "limit": 5})
    folders = ["builtin:lab/tasks", str(made.folder)]
    board = load_lm_eval_benchmark(made.suite(*rows, include_paths=folders), None, None)
    assert board.items() == {"my_both": 40, "lab_logic": 5}
    done = answered(make_policy(made.tokenizer, max_position_embeddings=1024), board, 2048, 16)
    both = next(r for r in done.records if r.task == "my_both")
    values = done.items["my_both"]["values"]
    assert (both.n, both.value, both.task_version) == (len(values), pytest.approx(sum(values) / 40), "3")
    assert {s["task"] for s in done.samples["my_both"]} == {"lab_facts", "lab_continuation"}


def test_what_lm_eval_keeps_to_itself_is_touched_in_one_file():
    """No other asks an object for a name with an underscore; the model class overrides its own."""
    touching = set()
    for path in (ROOT / "harness/language/benchmark").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Attribute) and node.attr.startswith("_") and not node.attr.startswith("__"):
                own = isinstance(node.value, ast.Call) or getattr(node.value, "id", "") == "self"  # super()._encode_pair
                touching |= set() if own else {path.name}
    assert touching == {"lm_eval_internals.py"}
