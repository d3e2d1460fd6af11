"""What the probe measures, by hand; and distances between players against their definition."""

import math

import pytest

from harness.config import GenerationConfig
from harness.phases.probe import Forerunner, distinct_2, mean, probe, ratio, repetition, rewards
from harness.records import Example
from tests.conftest import make_policy

EXAMPLES = [Example(str(i), f"what is {i} ?", f"it is {i} .", f"what is {i} ?") for i in range(6)]
SETTINGS = GenerationConfig(max_new_tokens=8)


def test_a_mean_and_its_error_by_hand():
    """1 2 3: mean 2, sample variance 1, standard error sqrt(1 / 3)."""
    found = mean("x", [1.0, 2.0, 3.0], "tokens")
    assert (found.value, found.n) == (2.0, 3)
    assert found.stderr == pytest.approx(math.sqrt(1 / 3))
    assert mean("x", [1.0], "tokens").stderr is None


def test_a_ratio_and_its_error_by_hand():
    """(2 + 4) / (1 + 3) = 1.5; residuals 2 - 1.5 = 0.5 and 4 - 4.5 = -0.5 over the mean bottom 2: 0.25 each; sqrt(0.125 / 2)."""
    found = ratio("x", [2.0, 4.0], [1.0, 3.0], "nats per token")
    assert found.value == 1.5
    assert found.stderr == pytest.approx(math.sqrt(0.125 / 1 / 2))


def test_repetition_by_hand():
    """1 2 1 2 1: pairs 12 21 12 21, two of four said before: 0.5. 1 2 3: none. One token: none. Mean 1/6."""
    assert repetition([[1, 2, 1, 2, 1], [1, 2, 3], [7]]).value == pytest.approx(1 / 6)


def test_distinct_2_counts_over_all_responses_and_is_absent_without_a_pair():
    (found,) = distinct_2([[1, 2, 3], [1, 2]])
    assert (found.value, found.n) == (pytest.approx(2 / 3), 3)
    assert distinct_2([[1], [2]]) == []


def test_rewards_by_hand():
    """Prompt 1: real -2 -> -1, synthetic -3 -> -4: margin 1 + 1 = 2, reward and likelihood agree. Prompt 2: real -5 -> -4,
    synthetic -1 -> -1: margin 1, but the synthetic one stays likelier: no. Prompt 3 said the real one: margin 0, not counted.
    """
    said = [
        {"token_ids": [8], "logp": -3.0, "real_logp": -2.0},
        {"token_ids": [8], "logp": -1.0, "real_logp": -5.0},
        {"token_ids": [1], "logp": -2.0, "real_logp": -2.0},
    ]
    margin, agreement = rewards(said, [[1], [1], [1]], [-1.0, -4.0, -2.0], [-4.0, -1.0, -2.0])
    assert margin.value == pytest.approx((2 + 1 + 0) / 3)
    assert (agreement.value, agreement.n) == (0.5, 2)


def measured(policy, forerunners):
    done = probe(policy, EXAMPLES, SETTINGS, 32, None, lambda *_: None, forerunners)
    return {m.name: m.value for m in done.measurements}, done.samples


def test_the_distance_to_oneself_is_nil_and_to_another_is_the_mean_log_ratio(tokenizer):
    """KL to a forerunner is the mean over prompts of log pi(y) - log forerunner(y) on the player's own samples."""
    policy = make_policy(tokenizer)
    _, said = measured(policy, {})
    alone, _ = measured(policy, {"previous": Forerunner(lambda: None, said)})
    assert alone["kl_previous"] == pytest.approx(0.0, abs=1e-5)
    assert alone["reward_margin"] == pytest.approx(0.0, abs=1e-5)

    def become_initial():
        policy.become_initial(0)

    theirs, own = measured(policy, {"initial": Forerunner(become_initial, [])})
    policy.become_initial(0)
    from harness.model.packing import Prefixed

    groups = [Prefixed(policy.encoder.prompt(e), [row["token_ids"]]) for e, row in zip(EXAMPLES, own, strict=True)]
    under_initial = policy.score(groups, 32, lambda *_: None)
    expected = sum(row["logp"] - other for row, other in zip(own, under_initial, strict=True)) / len(own)
    assert theirs["kl_initial"] == pytest.approx(expected, abs=1e-5)
    assert abs(expected) > 1e-3
