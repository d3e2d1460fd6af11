"""The policy as lm-eval sees it equals lm-eval's own transformers model on the same weights, to every log-probability."""

import math

import pytest

from harness.errors import UserError
from harness.language.benchmark.lm import HFLM, PolicyLM, as_lm
from harness.language.benchmark.lm_eval_benchmark import load_lm_eval_benchmark
from harness.language.model.logprobs import prefill_prefix
from harness.language.model.trie import pack_tries
from harness.loop.suite import load_suite
from tests.conftest import ROOT, make_policy
from tests.helpers.peers import compared, lab_policy_with_adapter, theirs
from tests.language.benchmark.conftest import TWO, answered


@pytest.fixture(scope="module")
def lab_policy():
    return lab_policy_with_adapter()


def test_every_task_of_the_lab_is_scored_as_by_lm_evals_own_model(lab_policy, monkeypatch):
    worst, numbers, texts = compared(lab_policy, load_lm_eval_benchmark(load_suite("lab-ten"), 40, None), monkeypatch)
    assert worst < 1e-4 and numbers > 1000 and texts >= 120


@pytest.mark.parametrize("shots", [5, 25])
def test_few_shot_prompts_too_whether_or_not_they_share_a_beginning(lab_policy, monkeypatch, made, shots):
    """fixed_shots has the same shots before every question, drawn_shots draws them for each question anew."""
    rows = [{"name": name, "shots": shots} for name in ("fixed_shots", "drawn_shots")]
    suite = made.suite(*rows, include_paths=[f"{ROOT}/tests/data/fewshot"])
    computed, tokens = [], []

    def prefill(model, ids):
        computed.append(len(ids))
        return prefill_prefix(model, ids)

    def pack(tries, *rest, **named):
        packed = pack_tries(tries, *rest, **named)
        computed.append(packed.ids.numel())
        tokens.extend(len(sequence.ids) for sequences in tries for sequence in sequences)
        return packed

    monkeypatch.setattr("harness.language.model.loglikelihood.prefill_prefix", prefill)
    monkeypatch.setattr("harness.language.model.loglikelihood.pack_tries", pack)
    worst, numbers, _ = compared(lab_policy, load_lm_eval_benchmark(suite, 20, None), monkeypatch)
    assert worst < 1e-4 and numbers == 20 * 4 + 20 * 3
    assert sum(computed) < sum(tokens) - (20 * 4 - 1) * 12 * shots  # the fixed shots were computed once


def test_contexts_too_long_for_the_model_are_cut_on_the_left_as_lm_eval_cuts_them(tokenizer):
    policy = make_policy(tokenizer, max_position_embeddings=32)
    requests = [(("", ""), list(range(5, 5 + n)), [7, 8, 9][:k]) for n in (1, 29, 30, 31, 60) for k in (1, 2, 3)]
    ours = as_lm(policy, 64, 4, {})._loglikelihood_tokens(requests)
    expected = theirs(policy, 64, 4, {})._loglikelihood_tokens(requests, disable_tqdm=True)
    assert ours == [(pytest.approx(value, abs=1e-9), greedy) for value, greedy in expected]


def test_what_has_been_encoded_and_built_for_one_player_serves_the_next_and_its_answers_are_gone(tokenizer, monkeypatch):
    board = load_lm_eval_benchmark(load_suite(TWO), None, None)
    policy = make_policy(tokenizer, max_position_embeddings=1024)

    def evaluated():
        done = answered(policy, board, 4096, 64)
        assert all(math.isfinite(r.value) for r in done.records)
        return [one for row in board.loaded_tasks.values() for task in row["tasks"].values() for one in task.instances]

    instances = evaluated()
    monkeypatch.setattr(PolicyLM, "tok_batch_encode", None)
    monkeypatch.setattr(HFLM, "_encode_pair", None)
    policy.reset_adapter(3)
    now = evaluated()
    assert list(map(id, now)) == list(map(id, instances)) and all(len(instance.resps) == 1 for instance in now)


def scored(*pairs):
    return [type("R", (), {"args": pair, "task_name": "mine", "doc_id": n}) for n, pair in enumerate(pairs)]


@pytest.mark.parametrize(
    ("pairs", "expected"),
    [
        ([("a", " b"), ("a", " the" * 40)], r"a continuation of \d+ tokens, the model's context is 32"),
        ([("", "ada"), ("", "")], "a continuation without a token after an empty context"),
    ],
)
def test_what_lm_eval_cannot_score_is_one_line_that_names_task_and_item(pairs, expected, tokenizer):
    with pytest.raises(UserError, match=f"task mine, item 1: {expected}"):
        as_lm(make_policy(tokenizer, max_position_embeddings=32), 64, 4, {}).loglikelihood(scored(*pairs))


def test_an_empty_continuation_counts_nothing_as_by_lm_eval_and_is_counted(tokenizer):
    """lm-eval's own model gives 0.0 and greedy where another request has the same context, and stops where none has."""
    policy = make_policy(tokenizer)
    requests = [(("", ""), [5, 6, 7], ids) for ids in ([], [8], [9, 10])]
    lm = as_lm(policy, 64, 4, {})
    lm.request_labels = ["task mine, item 0"] * 3
    found = lm._loglikelihood_tokens(requests)
    expected = theirs(policy, 64, 4, {})._loglikelihood_tokens(requests, disable_tqdm=True)
    assert found[0] == expected[0] == (0.0, True)
    assert [v for v, _ in found] == pytest.approx([v for v, _ in expected], abs=1e-9)
    assert lm.without_token == {"task mine": 1}


def test_rolling_windows_of_a_text_longer_than_the_context_are_lm_evals(tokenizer):
    policy = make_policy(tokenizer, max_position_embeddings=32)
    requests = scored(("ada has 3 apples and buys 5 . " * 9,), ("",), ("karl",))
    found = as_lm(policy, 64, 4, {}).loglikelihood_rolling(requests)
    assert found == pytest.approx(theirs(policy, 64, 4, {}).loglikelihood_rolling(requests, disable_tqdm=True), abs=1e-9)
    assert found[0] < -300


def test_a_context_is_encoded_once_for_all_its_choices_and_its_tokens_are_kept_once(tokenizer, monkeypatch):
    encoded, cache = [], {}
    policy = make_policy(tokenizer)
    lm = as_lm(policy, 64, 4, cache)
    encode = type(tokenizer).encode
    monkeypatch.setattr(type(tokenizer), "encode", lambda self, text, **how: encoded.append(text) or encode(self, text, **how))
    found = [lm._encode_pair("ada has", choice) for choice in (" apples", " pears", " nuts")]
    assert sorted(encoded) == sorted(["ada has", "ada has apples", "ada has pears", "ada has nuts"])
    assert len({id(context) for context, _ in found}) == 1
    again = as_lm(policy, 64, 4, cache)
    assert again.num_cached_tokens == lm.num_cached_tokens == len(found[0][0]) + sum(len(c) for _, c in found)
    assert [again._encode_pair("ada has", choice) for choice in (" apples", " pears", " nuts")] == found and len(encoded) == 4


def test_no_document_behind_the_last_evaluated_is_read(made, monkeypatch):
    made.task("mine")
    (task,) = made.board({"name": "mine"}).loaded_tasks["mine"]["tasks"].values()
    expected = [(n, doc) for n, doc in enumerate(task.eval_docs) if n < 2]
    read = []

    class Documents(list):
        def __iter__(self):
            return (read.append(n) or doc for n, doc in enumerate(list.__iter__(self)))

    documents = Documents(task.eval_docs)
    monkeypatch.setattr(type(task), "eval_docs", property(lambda _: documents))
    assert list(task.doc_iterator(rank=0, limit=None, world_size=1, samples=range(2))) == expected and read == [0, 1]
    assert list(task.doc_iterator(samples=[1])) == [(0, expected[1][1])]
