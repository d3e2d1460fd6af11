"""References: known log-probabilities are taken over only while they are true, and nothing is computed twice."""

import math
from dataclasses import replace
from random import Random

import pytest

from harness.records import Group, PromptGroup, Response
from harness.train.numerics import SAME_WEIGHTS
from harness.train.score import NUM_COMPARED_PROMPTS, ScoreMismatch, rms_per_token, score
from tests.helpers.peers import quiet

COUNT = 3 * NUM_COMPARED_PROMPTS


def make_groups(policy, off=0.0):
    """One real and two synthetic responses each; the log-probability of the first synthetic one is known, `off` by so much."""
    groups = []
    for i in range(COUNT):
        prompt, real, drawn, older = [1, 3, 20 + i, 4], [50 + i, 2], [60 + i, 61, 2], [70 + i, 71, 72, 2]
        (known,) = policy.score([PromptGroup(prompt, [drawn])], 64)
        groups.append(Group(f"x{i}", 1, prompt, Response(real), (Response(drawn, cached_logp=known + off), Response(older))))
    return groups


def expected(policy, groups):
    return [policy.score([PromptGroup(g.prompt, [r.content])], 64)[0] for g in groups for _, r in g.responses()]


@pytest.mark.parametrize(("precision", "limit"), [("float64", 2e-10), ("float32", 2e-5), ("bfloat16", 2e-5), ("float16", 2e-5)])
def test_known_log_probabilities_are_taken_within_a_bound_per_token_and_else_scored(policy, monkeypatch, precision, limit):
    """Root mean square over three tokens each; a fifth of what training's first batch may differ from its references."""
    assert limit <= SAME_WEIGHTS[precision] / 5
    monkeypatch.setattr(policy, "training_precision", precision)
    for share, num_scored in ((0.9, 2 * COUNT), (1.1, 3 * COUNT)):
        off = share * limit * math.sqrt(3)
        groups = make_groups(policy, off)
        done = score(policy, groups, 256, quiet)
        assert done.max_difference == pytest.approx(off, rel=1e-3) and done.num_scored == NUM_COMPARED_PROMPTS + num_scored
        tolerance = 1.01 * off if share < 1 else 1e-11
        assert [s.reference_logp for s in done.scores] == pytest.approx(expected(policy, groups), rel=0, abs=tolerance)
        assert [(s.role, s.index) for s in done.scores[:3]] == [("real", 0), ("synthetic", 0), ("synthetic", 1)]


def test_a_bound_per_token_is_for_responses_of_every_length():
    """Independent errors of single tokens: 300 in responses of 1, of 3 and of 100 tokens tell the same root mean square."""
    generator = Random(0)
    for length in (1, 3, 100):
        errors = {("x", tuple(range(n, n + length))): sum(generator.gauss(0.0, 4e-6) for _ in range(length)) for n in range(300)}
        assert rms_per_token(errors) == pytest.approx(4e-6, rel=0.15)
    assert rms_per_token({("x", (1,)): 3e-6, ("y", (1, 2, 3)): -5e-6}) == pytest.approx(math.sqrt(34e-12 / 4))
    assert rms_per_token({}) == 0.0


def test_one_response_in_eight_that_is_off_by_a_thousandth_of_a_nat_has_all_of_them_scored(policy, monkeypatch):
    monkeypatch.setattr(type(policy), "precision", "float32")
    groups = make_groups(policy)
    drawn = groups[0].synthetic[0]
    groups[0] = replace(groups[0], synthetic=(replace(drawn, cached_logp=drawn.cached_logp + 1e-3), groups[0].synthetic[1]))
    assert score(policy, groups, 256, quiet).num_scored == NUM_COMPARED_PROMPTS + 3 * COUNT


def test_a_response_of_two_iterations_is_scored_once(policy):
    """As with history: the same prompts and real responses in the groups of two iterations."""
    now = make_groups(policy)
    before = [Group(g.example_id, 0, g.prompt, g.real, g.synthetic[1:]) for g in now]
    told = []
    done = score(policy, [*before, *now], 256, told.append)
    assert done.num_scored == NUM_COMPARED_PROMPTS + 2 * COUNT and len(done.scores) == 5 * COUNT
    assert [s.reference_logp for s in done.scores] == pytest.approx(expected(policy, [*before, *now]), abs=1e-9)
    assert sum(told) == 5 * COUNT, "progress counts every response of every group"


@pytest.mark.parametrize(("precision", "allowed"), [("float64", 3 * 1e-3 + 1e-2), ("bfloat16", 3 * 5e-2 + 5e-1)])
def test_a_difference_that_precision_does_not_explain_ends_the_phase(policy, monkeypatch, precision, allowed):
    """A stated bound: so much per token and so much per response; just below it everything is scored, above it is an error."""
    monkeypatch.setattr(policy, "training_precision", precision)
    assert score(policy, make_groups(policy, 0.99 * allowed), 256, quiet).num_scored == NUM_COMPARED_PROMPTS + 3 * COUNT
    all_of_them = f"{NUM_COMPARED_PROMPTS} of {NUM_COMPARED_PROMPTS}"
    with pytest.raises(ScoreMismatch, match=f"{all_of_them} responses were generated with other.* x0, x3, x6") as caught:
        score(policy, make_groups(policy, 1.01 * allowed), 256, quiet)
    one = caught.value.examples[0].responses[0]
    assert one.reference_logp - one.logp == pytest.approx(1.01 * allowed)
