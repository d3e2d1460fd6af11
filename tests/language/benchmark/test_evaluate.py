"""The bridge to lm-eval: a missing metric is an error, prompts do not depend on batch or order, no score is remembered."""

import pytest

from harness.errors import EvaluationError, UserError
from harness.language.benchmark.lm_eval_benchmark import check_context, evaluate, load_lm_eval_benchmark
from harness.language.benchmark.row_scores import make_record
from harness.loop.suite import load_suite
from tests.conftest import ROOT, make_policy

SUITE = str(ROOT / "tests" / "data" / "two.toml")
RESULT = {
    "results": {"lab_arithmetic": {"exact_match,strict-match": 0.5, "exact_match_stderr,strict-match": 0.25, "alias": "x"}},
    "n-samples": {"lab_arithmetic": {"original": 160, "effective": 4}},
    "versions": {"lab_arithmetic": 1.0},
}


def quiet(_):
    return None


@pytest.fixture(scope="module")
def board():
    return load_lm_eval_benchmark(load_suite(SUITE), None, None)


def test_a_recorded_result_becomes_a_record():
    suite = load_suite(SUITE)
    record = make_record(suite.task[0], suite, RESULT, ["lab_arithmetic"])
    assert (record.value, record.stderr, record.n, record.shots, record.task_version) == (0.5, 0.25, 4, 2, "1.0")


@pytest.mark.parametrize("key", ["exact_match,flexible-extract", "exact_match,none"])
def test_a_missing_metric_or_filter_is_an_error_not_a_zero(key):
    suite = load_suite(SUITE)
    result = {**RESULT, "results": {"lab_arithmetic": {key: 0.5}}}
    with pytest.raises(EvaluationError, match="gave no number for 'exact_match,strict-match'"):
        make_record(suite.task[0], suite, result, ["lab_arithmetic"])


def test_prompts_and_scores_do_not_depend_on_the_batch_or_on_what_ran_before(board, tokenizer):
    policy = make_policy(tokenizer, max_position_embeddings=1024)
    one = evaluate(policy, board, 1, 1, quiet)
    many = evaluate(policy, board, 4096, 64, quiet)
    assert one.prompt_hash == many.prompt_hash
    assert [r.value for r in one.records] == [r.value for r in many.records]
    firsts = {s["prompt_hash"] for s in one.samples["lab_arithmetic"]}
    assert len(firsts) == 4


def test_another_player_gets_other_scores_from_the_same_board(board, tokenizer):
    """No response is remembered from one player to the next: the log-likelihoods move with the adapter."""
    policy = make_policy(tokenizer, max_position_embeddings=1024)
    before = [s["resps"] for s in evaluate(policy, board, 512, 8, quiet).samples["lab_continuation"]]
    policy.reset_adapter(4)
    after = [s["resps"] for s in evaluate(policy, board, 512, 8, quiet).samples["lab_continuation"]]
    assert all(a != b for a, b in zip(before, after, strict=True))


def test_the_global_random_state_is_left_alone(board, tokenizer):
    import random

    import torch

    policy = make_policy(tokenizer, max_position_embeddings=1024)
    random.seed(1)
    torch.manual_seed(1)
    expected = (random.random(), float(torch.rand(())))
    random.seed(1)
    torch.manual_seed(1)
    evaluate(policy, board, 512, 8, quiet)
    assert (random.random(), float(torch.rand(()))) == expected


def test_shots_are_fixed_and_shown_before_every_question(board, tokenizer):
    policy = make_policy(tokenizer, max_position_embeddings=1024)
    samples = evaluate(policy, board, 512, 8, quiet).samples["lab_arithmetic"]
    prompts = [s["arguments"][0][0] for s in samples if s["filter"] == "strict-match"]
    heads = {p.rpartition("<|user|>")[0] for p in prompts}
    assert len(prompts) == 4
    assert len(heads) == 1
    assert heads.pop().count("<|end|>") == 2


def test_a_task_that_generates_more_than_the_context_holds_is_refused_at_once(board):
    with pytest.raises(UserError, match="task lab_arithmetic: generates up to 40 tokens, the model's context is 32"):
        check_context(board.suite.name, board.generation_tasks(), 32)
    check_context(board.suite.name, board.generation_tasks(), 41)


def test_two_rows_of_one_name_are_refused(tmp_path):
    text = (ROOT / "tests" / "data" / "two.toml").read_text().replace("lab_continuation", "lab_arithmetic")
    (tmp_path / "twice.toml").write_text(text)
    with pytest.raises(UserError, match="two tasks have the name 'lab_arithmetic'"):
        load_suite(str(tmp_path / "twice.toml"))


def test_a_group_is_a_row_like_any_task(tokenizer, tmp_path):
    """A user's group over two of the lab's tasks, weighted by size, has the mean of their items; so has the row's item list."""
    (tmp_path / "both.yaml").write_text(
        "group: my_both\ntask: [lab_facts, lab_continuation]\n"
        "aggregate_metric_list: [{metric: acc_norm, weight_by_size: true}]\nmetadata: {version: 3}\n"
    )
    text = f"""
title = "A group of tasks"
version = "1"
lm_eval = "0.4.13"
include_paths = ["builtin:lab/tasks", "{tmp_path}"]

[[task]]
name = "my_both"
label = "Both"
shots = 0
metric = "acc_norm"
chance = 0.25
limit = 20

[[task]]
name = "lab_logic"
label = "Logic"
shots = 0
metric = "acc_norm"
chance = 0.5
limit = 5
"""
    (tmp_path / "grouped.toml").write_text(text)
    mine = load_lm_eval_benchmark(load_suite(str(tmp_path / "grouped.toml")), None, None)
    assert mine.items() == {"my_both": 40, "lab_logic": 5}
    done = evaluate(make_policy(tokenizer, max_position_embeddings=1024), mine, 2048, 16, quiet)
    both = next(r for r in done.records if r.task == "my_both")
    values = done.items["my_both"]["values"]
    assert both.n == len(values) == 40
    assert both.value == pytest.approx(sum(values) / 40)
    assert both.task_version == "3"
    assert {s["task"] for s in done.samples["my_both"]} == {"lab_facts", "lab_continuation"}
