"""Every rule of the collapse detector: found where it happened, with the number that shows it, and not just below its bound."""

import dataclasses

import pytest

from harness.analysis.collapse import ScoreDrop, TrainingSummary, detect

INITIAL = {"response_length": 20.0, "repetition": 0.05, "truncation_rate": 0.02}
STEADY = TrainingSummary(steps=50, first_loss=0.69, last_loss=0.5, margin=2.0, uses_reference=True)


@pytest.mark.parametrize(
    ("responses", "expected"),
    [
        ({"response_length": 40.0}, ["length blow-up"]),
        ({"response_length": 39.9}, []),
        ({"repetition": 0.26}, ["repetition"]),
        ({"repetition": 0.24}, []),
        ({"truncation_rate": 0.23}, ["end of response lost"]),
        ({"truncation_rate": 0.21}, []),
        ({"response_length": 60.0, "truncation_rate": 1.0}, ["length blow-up", "end of response lost"]),
    ],
)
def test_what_the_responses_show(responses, expected):
    assert [f.name for f in detect(INITIAL, INITIAL | responses, STEADY, None)] == expected


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"margin": 0.04}, ["vanishing margin"]),
        ({"margin": -0.04}, ["vanishing margin"]),
        ({"margin": 0.06}, []),
        ({"margin": 0.04, "uses_reference": False}, []),  # log-probabilities may well be close together
        ({"margin": 0.04, "steps": 9}, []),
        ({"margin": None}, []),  # no synthetic responses
        ({"last_loss": 0.03, "margin": 30.0}, ["reward saturation"]),
        ({"last_loss": 0.04, "margin": 30.0}, []),
        ({"first_loss": -1.0, "last_loss": -2.0}, []),  # a loss that may be negative has no share left
    ],
)
def test_what_training_shows(change, expected):
    assert [f.name for f in detect(INITIAL, INITIAL, dataclasses.replace(STEADY, **change), None)] == expected


@pytest.mark.parametrize(("drop", "stderr", "found"), [(0.06, 0.01, 1), (0.06, 0.04, 0), (0.04, 0.001, 0), (-0.2, 0.01, 0)])
def test_what_the_scores_show(drop, stderr, found):
    """Five points and twice the error of sampling items, both."""
    assert [f.name for f in detect(INITIAL, INITIAL, STEADY, ScoreDrop(drop, stderr))] == ["score fall"] * found


def test_what_was_not_measured_is_not_judged():
    assert list(detect({}, {"response_length": 1e6, "repetition": 1.0}, None, None)) == []


def test_a_finding_says_the_number_and_the_bound():
    (found,) = detect(INITIAL, {**INITIAL, "response_length": 50.0}, None, None)
    assert (found.value, found.bound) == (50.0, 40.0)
    assert found.evidence == "responses of 50.0 tokens on average, 20.0 before training"
