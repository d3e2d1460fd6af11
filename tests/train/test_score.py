"""References: known log-probabilities are taken over only while they are true, and nothing is computed twice."""

import pytest

from harness.records import Group, PromptGroup, Response
from harness.train.score import NUM_COMPARED_PROMPTS, ScoreMismatch, score
from tests.helpers.peers import quiet

COUNT = NUM_COMPARED_PROMPTS + 8


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


@pytest.mark.parametrize(("off", "scored", "tolerance"), [(5e-5, 2 * COUNT, 6e-5), (2e-4, 3 * COUNT, 1e-10)])
def test_known_log_probabilities_are_taken_within_a_ten_thousandth_of_a_nat_and_else_scored(policy, off, scored, tolerance):
    groups = make_groups(policy, off)
    done = score(policy, groups, 256, quiet)
    assert done.max_difference == pytest.approx(off, abs=1e-9) and done.num_scored == NUM_COMPARED_PROMPTS + scored
    assert [s.reference_logp for s in done.scores] == pytest.approx(expected(policy, groups), abs=tolerance)
    assert [(s.role, s.index) for s in done.scores[:3]] == [("real", 0), ("synthetic", 0), ("synthetic", 1)]


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
    with pytest.raises(ScoreMismatch, match=f"{all_of_them} responses were generated with other.* x0, x1") as caught:
        score(policy, make_groups(policy, 1.01 * allowed), 256, quiet)
    one = caught.value.examples[0].responses[0]
    assert one.reference_logp - one.logp == pytest.approx(1.01 * allowed)
