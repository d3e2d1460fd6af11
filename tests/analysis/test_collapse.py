"""Every rule of the collapse detector: found where it happened, with the number that shows it, and not just below its bound."""

import dataclasses

import pytest

from harness.analysis.collapse import ScoreDrop, TrainingSummary, detect

INITIAL = {"response_length": 20.0, "repetition": 0.05, "truncation_rate": 0.02}
STEADY = TrainingSummary(steps=50, first_loss=0.69, last_loss=0.5, margin=2.0, uses_reference=True)


@pytest.mark.parametrize(
    ("responses", "training", "scores", "expected"),
    [
        ({"response_length": 40.0}, {}, None, ["length blow-up"]),
        ({"response_length": 39.9}, {}, None, []),
        ({"repetition": 0.26}, {}, None, ["repetition"]),
        ({"repetition": 0.24}, {}, None, []),
        ({"truncation_rate": 0.23}, {}, None, ["end of response lost"]),
        ({"truncation_rate": 0.21}, {}, None, []),
        ({"response_length": 60.0, "truncation_rate": 1.0}, {}, None, ["length blow-up", "end of response lost"]),
        ({}, {"margin": 0.04}, None, ["vanishing margin"]),
        ({}, {"margin": -0.04}, None, ["vanishing margin"]),
        ({}, {"margin": 0.06}, None, []),
        ({}, {"margin": 0.04, "uses_reference": False}, None, []),  # log-probabilities may well be close together
        ({}, {"margin": 0.04, "steps": 9}, None, []),
        ({}, {"margin": None}, None, []),  # no synthetic responses
        ({}, {"last_loss": 0.03, "margin": 30.0}, None, ["reward saturation"]),
        ({}, {"last_loss": 0.04, "margin": 30.0}, None, []),
        ({}, {"first_loss": -1.0, "last_loss": -2.0}, None, []),  # a loss that may be negative has no share left
        # five points and twice the error of sampling items, both
        ({}, {}, ScoreDrop(0.06, 0.01), ["score fall"]),
        ({}, {}, ScoreDrop(0.06, 0.04), []),
        ({}, {}, ScoreDrop(0.04, 0.001), []),
        ({}, {}, ScoreDrop(-0.2, 0.01), []),
    ],
)
def test_what_responses_training_and_scores_show(responses, training, scores, expected):
    found = detect(INITIAL, INITIAL | responses, dataclasses.replace(STEADY, **training), scores)
    assert [f.name for f in found] == expected


def test_what_was_not_measured_is_not_judged():
    assert list(detect({}, {"response_length": 1e6, "repetition": 1.0}, None, None)) == []


def test_a_finding_says_the_number_and_the_bound():
    (found,) = detect(INITIAL, {**INITIAL, "response_length": 50.0}, None, None)
    assert (found.value, found.bound) == (50.0, 40.0)
    assert found.evidence == "responses of 50.0 tokens on average, 20.0 before training"
