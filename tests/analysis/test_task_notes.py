"""Notes on tasks: constant, full, at chance, falling; each where it is so, and not just short of it."""

import pytest

from harness.analysis.task_notes import Predictions, note_on_change, notes_on_score


@pytest.mark.parametrize(
    ("value", "stderr", "chance", "predictions", "expected"),
    [
        (0.70, 0.03, 0.25, [[0, 1] * 50], []),
        (0.33, 0.03, 1 / 3, [[0] * 160], ["constant", "at chance"]),
        (0.33, 0.03, 0.0, [[0] * 95 + list(range(1, 6))], ["constant"]),
        (0.33, 0.03, 0.0, [[0] * 94 + list(range(1, 7))], []),
        (0.33, 0.03, 0.0, [[0] * 100, [0, 1] * 50], []),  # one seed is not constant
        (0.33, 0.03, 0.0, [[0] * 19], []),  # too few items to say so
        (0.33, 0.03, 0.0, [], []),  # predictions of earlier versions are not known
        (0.95, 0.01, 0.5, [], ["full"]),
        (0.949, 0.01, 0.5, [], []),
        (0.55, 0.03, 0.5, [], ["at chance"]),
        (0.57, 0.03, 0.5, [], []),
        (0.0, 0.0, 0.0, [], []),  # a task without chance cannot be at chance
    ],
)
def test_notes_on_a_score(value, stderr, chance, predictions, expected):
    of_seeds = [Predictions(texts) for texts in predictions]
    assert [note.note for note in notes_on_score(value, stderr, chance, of_seeds)] == expected


def test_the_option_at_one_and_the_same_place_is_constant_whatever_it_says():
    found = list(notes_on_score(0.25, 0.01, 0.0, [Predictions(range(100), [2] * 96 + [1] * 4)]))
    assert [note.evidence for note in found] == ["one and the same option's place for 96% of the items"]
    assert not list(notes_on_score(0.25, 0.01, 0.0, [Predictions(range(100), [2] * 94 + [1] * 6)]))


def test_a_task_falls_where_the_loss_is_significant_among_all_tasks():
    assert note_on_change(-0.10, -0.19, -0.01, p_holm=0.05) is None
    assert note_on_change(0.10, 0.05, 0.15, p_holm=0.001) is None
    note = note_on_change(-0.10, -0.15, -0.05, p_holm=0.049)
    assert note is not None and note.evidence == "-10.0 points since the start [-15.0, -5.0]"
