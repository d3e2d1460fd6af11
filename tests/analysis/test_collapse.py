"""Every rule of the collapse detector: found where it happened, with the number that shows it, and not just below its bound."""

import pytest

from harness.analysis.collapse import ScoreDrop, TrainingSummary, detect

INITIAL = {"response_length": 20.0, "repetition": 0.05, "truncation_rate": 0.02}
STEADY = TrainingSummary(steps=50, first_loss=0.69, last_loss=0.5, margin=2.0, uses_reference=True)


def names(player=None, training=STEADY, fall=None):
    return [f.name for f in detect(INITIAL, {**INITIAL, **(player or {})}, training, fall)]


@pytest.mark.parametrize(
    ("player", "expected"),
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
def test_what_the_responses_show(player, expected):
    assert names(player) == expected


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
    assert names(training=TrainingSummary(**{**vars(STEADY), **change})) == expected


@pytest.mark.parametrize(
    ("fall", "expected"),
    [
        (ScoreDrop(0.06, 0.01), ["score fall"]),
        (ScoreDrop(0.06, 0.04), []),
        (ScoreDrop(0.04, 0.001), []),
        (ScoreDrop(-0.2, 0.01), []),
    ],
)
def test_what_the_scores_show(fall, expected):
    """Five points and twice the error of sampling items, both."""
    assert names(fall=fall) == expected


def test_what_was_not_measured_is_not_judged():
    assert list(detect({}, {"response_length": 1e6, "repetition": 1.0}, None, None)) == []


def test_a_finding_says_the_number_and_the_bound():
    (found,) = detect(INITIAL, {**INITIAL, "response_length": 50.0}, None, None)
    assert (found.value, found.bound) == (50.0, 40.0)
    assert found.evidence == "responses of 50.0 tokens on average, 20.0 before training"
