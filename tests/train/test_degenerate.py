"""Generations and data at their limits: what comes out of each is decided here, and nothing of it is an accident."""

import dataclasses
import json
import math
from types import SimpleNamespace

import pytest
import torch

from harness.analysis.collapse import detect
from harness.config import DataConfig, GenerationConfig
from harness.errors import UserError
from harness.files import write_jsonl
from harness.language.benchmark.lm import as_lm
from harness.language.benchmark.lm_eval_benchmark import evaluate, load_lm_eval_benchmark
from harness.language.data.dataset import load_examples
from harness.language.encoding import choose_template, encode_pair
from harness.language.model.choosing import SamplingParams
from harness.language.phases.diagnostics import run_diagnostics
from harness.language.phases.generate import generate, sample_counts
from harness.language.records import Example
from harness.loop.suite import load_suite
from harness.records import Group, Response
from harness.train.groups import build_groups
from harness.train.score import score
from tests.conftest import ROOT, make_policy
from tests.helpers.peers import quiet
from tests.helpers.training import assert_same, gradients, objective, referenced, run

EXAMPLES = [Example(f"e{i}", f"what is {i} ?", f"it is {i} .", f"what is {i} ?") for i in range(6)]


def always(policy, token):
    """Let the policy say `token` whatever it reads: the output layer is blind but for it."""

    def blind(module, inputs, output):
        forced = torch.full_like(output, -50.0)
        forced[..., token] = 50.0
        return forced + 0 * output

    policy.model.get_output_embeddings().register_forward_hook(blind)
    return policy


def drawn(policy, examples=EXAMPLES, indices=(0,), **settings):
    return generate(policy, examples, list(indices), 0, GenerationConfig(**{"max_new_tokens": 8, **settings}), 0, quiet)


def trained(policy, groups, loss, **settings):
    """Step records of one short training from the policy as it stands."""
    groups = referenced(policy, groups) if loss.needs.reference else groups
    return run(policy, groups, loss, **{"batch_size": 6, "epochs": 1, **settings})[1]


def groups_with(policy, samples, examples=EXAMPLES):
    return build_groups(policy.encoder, examples, 0, synthetic=samples)


def probed(policy, examples=EXAMPLES, **settings):
    how = GenerationConfig(**{"max_new_tokens": 8, **settings})
    return {m.name: m for m in run_diagnostics(policy, examples, how, 256, None, quiet).measurements}


def test_an_empty_response_is_its_closing_token_alone_and_can_be_trained_on(policy):
    """Finished, no text, one token: a response like any other, with a log-probability and a place in the loss."""
    closing = policy.template.end_token_id
    samples = drawn(always(policy, closing))
    assert {(tuple(s.token_ids), s.text, s.finished) for s in samples} == {((closing,), "", True)}
    assert sample_counts(samples) == {"samples": 6, "tokens": 6, "truncated": 0}
    (record,) = trained(policy, groups_with(policy, samples), objective("space"))
    assert math.isfinite(record.loss)
    measured = probed(policy)
    assert (measured["response_length"].value, measured["repetition"].value) == (1.0, 0.0)
    assert "distinct_2" not in measured, "absent, not 0: no response has two tokens"


def test_a_response_that_never_ends_is_cut_and_counted_and_has_no_closing_token(policy):
    samples = drawn(always(policy, 70), max_new_tokens=7)
    assert {tuple(s.token_ids) for s in samples} == {(70,) * 7} and not any(s.finished for s in samples)
    assert sample_counts(samples) == {"samples": 6, "tokens": 42, "truncated": 6}
    groups = groups_with(policy, samples)
    assert {g.synthetic[0].content[-1] for g in groups} == {70}, "an end it never said is not learnt against"
    assert math.isfinite(trained(policy, groups, objective("spin"))[0].loss)


def test_responses_of_one_token_at_most(policy):
    samples = drawn(policy, max_new_tokens=1)
    assert {len(s.token_ids) for s in samples} == {1}
    assert all(s.finished == (s.token_ids[0] in policy.stop_ids) for s in samples)
    assert math.isfinite(trained(policy, groups_with(policy, samples), objective("space"))[0].loss)


def test_a_loop_of_one_token_is_named_by_repetition_and_the_collapse_detector(policy):
    """Seven times the same token: six pairs, one of them new, so 5 of 6 are repeats."""
    before = {name: m.value for name, m in probed(policy, max_new_tokens=7).items()}
    after = {name: m.value for name, m in probed(always(policy, 70), max_new_tokens=7).items()}
    assert after["repetition"] == pytest.approx(5 / 6) and after["truncation_rate"] == 1.0
    assert before["repetition"] < 0.2 and "repetition" in {f.name for f in detect(before, after, None, None)}


def only_real(policy):
    """Every synthetic response is the real one."""
    groups = build_groups(policy.encoder, EXAMPLES, 0)
    return [dataclasses.replace(g, synthetic=(Response(list(g.real.content)),)) for g in groups]


@pytest.mark.parametrize("name", ["spin", "space"])
def test_where_every_response_is_the_real_one_training_goes_on_and_stays_where_it_is(policy, name):
    """The opponent is the data, which is where self-play ends: no margin, and no gradient but rounding, in float64.

    RMSProp divides a gradient by its own size, so how far rounding leads depends on the processor; the claim is about the
    gradient before the first update. SPIN's loss does not answer what follows, SPACE's pulls it back (the next test).
    """
    records = trained(policy, only_real(policy), objective(name), epochs=3)
    assert len(records) == 3 and records[0].grad_norm < 1e-12
    assert [r.log_ratio["real"] - r.log_ratio["synthetic"] for r in records] == pytest.approx([0, 0, 0], abs=1e-9)


def test_away_from_the_opponent_equal_responses_give_spin_no_gradient_and_pull_space_back(policy):
    """Log-ratios of 1 nat. SPIN's loss knows their difference alone, which is 0; SPACE's lowers the ratios towards 0."""
    scores = score(policy, build_groups(policy.encoder, EXAMPLES, 0), 256, quiet).scores
    groups = []
    for group, one in zip(only_real(policy), scores, strict=True):
        response = Response(group.real.content, one.reference_logp - 1)
        groups.append(dataclasses.replace(group, real=response, synthetic=(response,)))
    spin, space = (gradients(policy, groups, objective(name), micro_batch=6).values() for name in ("spin", "space"))
    assert max(float(g.abs().max()) for g in spin) < 1e-12
    assert max(float(g.abs().max()) for g in space) > 1e-3


def test_more_samples_than_there_are_different_ones_are_kept_as_drawn_and_scored_once(policy):
    """Copies are what the distribution gives: leaving them out would train on another one. They cost one pass, not nine."""
    samples = drawn(policy, EXAMPLES[:2], range(9), temperature=1e-12)
    groups = groups_with(policy, samples, EXAMPLES[:2])
    assert [len(g.synthetic) for g in groups] == [9, 9]
    done = score(policy, groups, 256, quiet)
    assert len(done.scores) == 2 * (1 + 9) and done.num_scored == 2 * (1 + 1)
    loss = objective("space", mu=9.0)
    (record,) = trained(policy, groups, loss)
    assert math.isfinite(record.loss)
    alone = [dataclasses.replace(g, synthetic=g.synthetic[:1]) for g in groups]
    nine, one = (gradients(policy, referenced(policy, g), objective("spin"), micro_batch=2) for g in (groups, alone))
    assert_same(nine, one, 1e-10)  # SPIN takes the mean over samples: nine copies are one


@pytest.mark.parametrize("temperature", [1e-320, 1e-12, 1e-3])
def test_a_temperature_near_zero_is_greedy_and_keeps_the_log_probability_of_temperature_1(policy, temperature):
    cold = drawn(policy, temperature=temperature)
    requests = policy.requests([policy.encoder.prompt(e) for e in EXAMPLES], range(6), GenerationConfig(max_new_tokens=8))
    greedy = policy.generate_tokens(requests, SamplingParams(0.0), policy.stop_ids, 8)
    assert [s.token_ids for s in cold] == [g.ids for g in greedy]
    scored = score(policy, groups_with(policy, cold), 256, quiet).scores
    assert [s.logp for s in cold] == pytest.approx([s.reference_logp for s in scored if s.role == "synthetic"], abs=1e-9)


def test_a_temperature_beyond_measure_is_the_uniform_distribution(policy):
    """Of 4,000 first tokens every eighth of the vocabulary gets its share, to five standard errors."""
    size = len(policy.tokenizer)
    many = drawn(policy, EXAMPLES[:1], range(4000), temperature=1e300, max_new_tokens=1)
    bins = torch.bincount(torch.tensor([s.token_ids[0] * 8 // size for s in many]), minlength=8)
    width = [sum(1 for t in range(size) if t * 8 // size == b) / size for b in range(8)]
    assert all(abs(int(n) / 4000 - w) < 5 * math.sqrt(w * (1 - w) / 4000) for n, w in zip(bins, width, strict=True))
    assert all(math.isfinite(s.logp) for s in many)


@pytest.mark.parametrize("room", [1, 2, 9])
def test_a_prompt_that_nearly_fills_the_context_leaves_its_response_what_is_left(tokenizer, room):
    prompt = Example("long", "a", "b", "a " * 200)
    length = len(make_policy(tokenizer).encoder.prompt(prompt))
    policy = always(make_policy(tokenizer, max_position_embeddings=length + room), 70)
    (sample,) = drawn(policy, [prompt], max_new_tokens=8)
    assert len(sample.token_ids) == min(8, room) and not sample.finished


def load(tmp_path, tokenizer, pairs, context=1024, **settings):
    write_jsonl(tmp_path / "pairs.jsonl", ({"prompt": p, "response": r} for p, r in pairs))
    config = DataConfig(source=str(tmp_path / "pairs.jsonl"), **settings)
    return load_examples(config, tokenizer, choose_template(tokenizer, config.template), context, None)


def test_a_pair_may_fill_the_context_to_the_last_token_and_not_one_more(tmp_path, tokenizer):
    """Refused with the numbers, or with overlong=drop left out and counted; the room is for the closing token too."""
    pairs = [("a " * 30 + str(i), "b c") for i in range(9)]
    template = choose_template(tokenizer, "auto")
    encoded = (encode_pair(tokenizer, template.render(tokenizer, prompt), response, template) for prompt, response in pairs)
    lengths = [len(pair.prompt_ids) + len(pair.response_ids) for pair in encoded]
    most = max(lengths)
    assert load(tmp_path, tokenizer, pairs, most).counts == {"rows": 9, "train": 8, "heldout": 1}
    for context in (most - 1, 16):  # one token too few, and no room for a prompt at all
        with pytest.raises(UserError, match=rf"do not fit the context of {context}; use --set data.overlong=drop"):
            load(tmp_path, tokenizer, pairs, context)
    kept = load(tmp_path, tokenizer, [*pairs, *[(f"x {i}", "y") for i in range(9)]], most - 1, overlong="drop")
    assert kept.counts["overlong"] == lengths.count(most)


def test_fewer_than_five_pairs_leave_none_to_hold_out_and_are_refused_with_what_to_do(tmp_path, tokenizer):
    """A fifth at most is held out, and a probe on pairs that were trained on would say nothing: so no pair is in both."""
    pairs = [(f"say {i}", f"it is {i}") for i in range(5)]
    for count in (1, 2, 3, 4):
        with pytest.raises(UserError, match=rf"{count} pairs to train on and 0 held out .* --set data.heldout=FILE"):
            load(tmp_path, tokenizer, pairs[:count])
    data = load(tmp_path, tokenizer, pairs)
    assert (len(data.train), len(data.heldout)) == (4, 1)


def test_one_training_example_with_held_out_ones_of_its_own(tmp_path, tokenizer, policy):
    """A batch larger than the data is the data: one step per epoch, each on the one example."""
    (tmp_path / "held.jsonl").write_text('{"prompt": "other", "response": "one"}\n')
    data = load(tmp_path, tokenizer, [("say", "it")], heldout=str(tmp_path / "held.jsonl"))
    assert (len(data.train), len(data.heldout)) == (1, 1)
    samples = drawn(policy, data.train)
    records = trained(policy, groups_with(policy, samples, data.train), objective("space"), batch_size=64, epochs=3)
    assert [(r.epoch, r.example_ids) for r in records] == [(e, [data.train[0].id]) for e in range(3)]


def test_two_equal_prompts_with_different_responses_are_two_examples(tmp_path, tokenizer, policy):
    """Each with its own id, samples and score; only the very same pair counts as a duplicate."""
    answers = [("say", f"it is {i}") for i in range(5)]
    data = load(tmp_path, tokenizer, [*answers, answers[0], ("other", "one")])
    assert data.counts == {"rows": 7, "duplicate": 1, "train": 5, "heldout": 1}
    assert len({e.id for e in data.train}) == 5
    samples = drawn(policy, data.train)
    assert len({tuple(s.token_ids) for s in samples}) > 1, "the seed belongs to the pair, not to the prompt"
    groups = groups_with(policy, samples, data.train)
    scores = {s.example_id: s.reference_logp for s in score(policy, groups, 256, quiet).scores if s.role == "real"}
    assert len(set(scores.values())) == 5


def test_a_response_of_one_token_and_one_of_many_share_a_batch(policy):
    """The shortest group there can be beside a long one: the same gradient together as apart."""
    long = Group("long", 0, [1, *range(5, 60)], Response([*range(60, 99), 2]), (), ())
    groups = [Group("short", 0, [1], Response([2]), (), ()), long]
    assert_same(*(gradients(policy, groups, objective("sft"), micro_batch=size) for size in (2, 1)))


def test_a_probe_of_two_prompts_has_an_error_and_one_of_one_prompt_has_none(policy):
    two, one = probed(policy, EXAMPLES[:2]), probed(policy, EXAMPLES[:1])
    for name in ("heldout_nll_per_token", "response_length"):
        assert two[name].n == 2 and math.isfinite(two[name].stderr)
        assert one[name].stderr is None, "missing, not 0"


def board_of_one_task(folder, limit):
    """A suite of one lab task, with a limit of its items."""
    head, task, rows = (ROOT / "tests" / "data" / "two.toml").read_text().partition("[[task]]")
    text = head + task + rows.rpartition("[[task]]")[2].replace("limit = 6", f"limit = {limit}")
    (folder / "one.toml").write_text(text)
    return load_lm_eval_benchmark(load_suite(str(folder / "one.toml")), None, None)


@pytest.mark.parametrize("right", [True, False])
def test_all_items_right_or_all_wrong_have_the_error_of_their_formula_which_is_0(tokenizer, tmp_path, right, monkeypatch):
    """The sample standard deviation of equal values is 0, as lm-eval reports it. It is no claim of certainty: n stands beside
    it, and intervals take such a task as if one answer were otherwise.
    """
    board = board_of_one_task(tmp_path, 6)
    policy = make_policy(tokenizer, max_position_embeddings=1024)

    def judge(groups, max_tokens_per_batch, advance=quiet):
        (task,) = board.loaded_tasks["lab_continuation"]["tasks"].values()
        gold = {i.args[0]: i.doc["gold"] for i in task.instances}
        texts = {tuple(policy.encoder.tokenizer(c, add_special_tokens=False)["input_ids"]): g for c, g in gold.items()}
        found = []
        for group in groups:
            answer = texts[tuple(group.prompt)]
            found += [(-1.0 if (k == answer) == right else -900.0, False) for k in range(len(group.responses))]
        return found

    monkeypatch.setattr(policy, "loglikelihood", judge)
    (record,) = evaluate(policy, board, 4096, 8, quiet).records
    assert (record.value, record.stderr, record.n) == (float(right), 0.0, 6)


def test_a_task_of_one_item_has_a_score_and_no_error(tokenizer, tmp_path):
    policy = make_policy(tokenizer, max_position_embeddings=1024)
    done = evaluate(policy, board_of_one_task(tmp_path, 1), 4096, 8, quiet)
    (record,) = done.records
    assert (record.n, record.stderr) == (1, None) and record.value in (0.0, 1.0)
    json.dumps(done.raw, allow_nan=False)


def test_an_evaluation_whose_player_never_stops_is_cut_at_the_tasks_own_length(tokenizer):
    """lab_arithmetic generates 40 tokens at most; text without an answer is a wrong answer, not an error."""
    board = load_lm_eval_benchmark(load_suite(str(ROOT / "tests" / "data" / "two.toml")), None, None)
    policy = always(make_policy(tokenizer, max_position_embeddings=1024), 70)
    done = evaluate(policy, board, 4096, 8, quiet)
    assert [(r.value, r.stderr) for r in done.records if r.task == "lab_arithmetic"] == [(0.0, 0.0)]
    assert {s["resps"][0][0] for s in done.samples["lab_arithmetic"]} == {tokenizer.decode([70] * 40)}


def test_a_player_that_says_nothing_is_wrong_not_an_error(tokenizer):
    policy = make_policy(tokenizer, max_position_embeddings=1024)
    request = SimpleNamespace(args=("a", {"until": ["."], "max_gen_toks": 4}))
    lm = as_lm(always(policy, policy.template.end_token_id), 4096, 4, {})
    assert lm.generate_until([request, request]) == ["", ""]
