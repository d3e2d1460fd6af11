"""The time left, worked by hand."""

import pytest

from harness.progress.planned import PlannedPhase, RunProgress, TimeLeft
from harness.progress.wording import time_left

START = PlannedPhase("initial/evaluate/two", "evaluate", "", "")


def trial(label, *kinds, work=1.0):
    return [PlannedPhase(f"{label}/seed-0/iteration-0/{kind}", kind, f"{label}/seed-0", label, work) for kind in kinds]


def run_phase(progress, phase, seconds, now=0.0):
    progress.begin(phase.folder, phase.kind, None, "", now)
    progress.end(phase.folder, seconds)


def test_nothing_is_known_before_anything_was_measured():
    progress = RunProgress([START, *trial("spin", "train")])
    assert progress.time_left(0.0) is None and time_left(None) == "? left"


def test_phases_of_a_kind_take_as_long_as_those_before_by_their_work():
    """A training of 10 s on 4 responses: one on 8 takes 20 s. An evaluation of 3 s for 1 unit of work: 24 s for 8."""
    first, second = trial("spin", "train", work=4.0), trial("sft", "train", "evaluate", work=8.0)
    progress = RunProgress([START, *first, *second])
    run_phase(progress, START, 3.0)
    assert time_left(progress.time_left(0.0)).startswith("> "), "trainings are unknown yet"
    run_phase(progress, first[0], 10.0)
    left = progress.time_left(0.0)
    assert left is not None and left.is_complete and left.seconds == pytest.approx(20.0 + 3.0 * 8.0)


def test_a_phase_without_work_says_nothing_of_the_others():
    """The first scores of an objective are known from elsewhere: their 0.1 s are no rate of 0.1 s per response."""
    first = PlannedPhase("spin/seed-0/iteration-0/score", "score", "spin/seed-0", "spin", work=0.0)
    second = PlannedPhase("spin/seed-0/iteration-1/score", "score", "spin/seed-0", "spin", work=4692.0)
    progress = RunProgress([first, second])
    run_phase(progress, first, 0.1)
    assert progress.time_left(0.0) is None, "no score phase was measured yet"
    progress = RunProgress([first, second], [(second, 4.0)])
    assert progress.time_left(0.0) == TimeLeft(4.0, is_complete=True)


def test_trials_share_the_slots():
    """Three trials of 10 s on two slots: 20 s; on one 30 s; on three 10 s."""
    phases = [phase for label in ("a", "b", "c") for phase in trial(label, "train")]
    for num_slots, seconds in ((1, 30.0), (2, 20.0), (3, 10.0)):
        progress = RunProgress(phases, [(PlannedPhase("x", "train", "x/seed-0", "x"), 10.0)], num_slots)
        left = progress.time_left(0.0)
        assert left is not None and left.seconds == pytest.approx(seconds)


def test_an_objective_is_estimated_from_its_own_phases_where_there_are_some():
    earlier = [(phase, seconds) for label, seconds in (("a", 10.0), ("b", 30.0)) for phase in trial(label, "train")]
    for label, seconds in (("a", 10.0), ("b", 30.0), ("c", 20.0)):
        left = RunProgress(trial(label, "train"), earlier).time_left(0.0)
        assert left is not None and left.seconds == pytest.approx(seconds)


def test_a_phase_at_work_is_estimated_from_its_own_rate():
    """50 of 200 units in 10 s: 30 s left; and the trial waiting behind it takes 40 s."""
    (first,), (second,) = trial("a", "train"), trial("b", "train")
    progress = RunProgress([first, second])
    progress.begin(first.folder, "train", 200, "prompts", 100.0)
    progress.move(first.folder, 50, 200, 110.0)
    left = progress.time_left(110.0)
    assert left is not None and left.is_complete and left.seconds == pytest.approx(30.0 + 40.0)
    assert progress.share() == pytest.approx(0.25 / 2)


def test_what_was_there_is_done_and_says_nothing_of_durations():
    phases = trial("a", "train", "evaluate")
    progress = RunProgress(phases)
    progress.end(phases[0].folder, None)
    assert progress.num_done == 1 and progress.time_left(0.0) is None


def test_a_trial_that_failed_is_waited_for_no_longer():
    phases = [*trial("a", "train", "evaluate"), *trial("b", "train")]
    progress = RunProgress(phases)
    progress.begin(phases[0].folder, "train", 10, "prompts", 0.0)
    progress.drop_trial("a/seed-0")
    assert len(progress.planned) == 1 and not progress.active


def test_how_it_is_said():
    progress = RunProgress(trial("a", "train"), [(trial("x", "train")[0], 12.0)])
    assert time_left(progress.time_left(0.0)) == "0:00:12 left"
