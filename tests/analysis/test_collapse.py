"""Every rule of the collapse detector: found where it happened, with the number that shows it, and not just below its bound."""

import dataclasses
import math

import pytest

from harness.analysis.collapse import (
    Change,
    DataDrift,
    ScoreDrop,
    TaskChange,
    TrainingSummary,
    detect,
    detect_drift,
    detect_in_task,
)

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
        ({}, {}, ScoreDrop(0.06, math.nan), ["score fall"]),  # an unknown error asks for nothing
        ({}, {}, ScoreDrop(0.04, math.nan), []),
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


UP = Change(2.0, 3.0, 0.4)  # a rise of 2.5 standard errors


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({}, True),
        ({"kl": Change(2.0, 2.7, 0.4)}, False),  # within two standard errors
        ({"entropy": Change(0.5, 0.4, 0.01)}, False),
        ({"score": Change(0.8, 0.7, 0.0)}, False),  # the score shows it by itself
        ({"score": None}, False),
    ],
)
def test_drift_from_the_data_that_scores_do_not_show(changes, found):
    drift = DataDrift(since=1, kl=UP, entropy=Change(0.4, 0.6, 0.05), score=Change(0.8, 0.81, 0.0))
    findings = list(detect_drift(dataclasses.replace(drift, **changes)))
    assert [f.name for f in findings] == ["drift from the data"] * found
    if found:
        assert "since iteration 1" in findings[0].evidence and "from 80.0 to 81.0 %" in findings[0].evidence


@pytest.mark.parametrize(
    ("before", "after", "stderr", "chance", "unanswered", "expected"),
    [
        (0.64, 0.16, 0.03, 0.0, None, ["task halved"]),
        (0.64, 0.33, 0.03, 0.0, None, []),
        (0.64, 0.30, 0.20, 0.0, None, []),  # within twice its error
        (0.65, 0.45, 0.03, 0.25, None, ["task halved"]),  # half of what was above chance
        (0.65, 0.46, 0.03, 0.25, None, []),
        (0.20, 0.10, 0.01, 0.25, None, []),  # was never above chance
        (0.64, 0.60, 0.03, 0.0, (0.01, 0.25), ["answers lost"]),
        (0.64, 0.60, 0.03, 0.0, (0.01, 0.20), []),
    ],
)
def test_what_happened_to_one_task(before, after, stderr, chance, unanswered, expected):
    change = Change(*unanswered, 0.0) if unanswered else None
    found = detect_in_task(TaskChange("Arithmetic", chance, Change(before, after, stderr), change))
    assert [f.name for f in found] == expected
