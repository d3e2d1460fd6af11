"""Notes on tasks: constant, full, at chance, falling; each where it is so, and not just short of it."""

import pytest

from harness.analysis.task_notes import note_on_change, notes_on_score


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
    assert [note.note for note in notes_on_score(value, stderr, chance, predictions)] == expected


def test_a_task_falls_where_its_whole_interval_is_below_zero():
    assert note_on_change(-0.10, -0.15, 0.001) is None
    note = note_on_change(-0.10, -0.15, -0.05)
    assert note is not None and note.evidence == "-10.0 points since the start [-15.0, -5.0]"
