"""The date of a run is that of its first command; where it was not recorded it stays unknown."""

from datetime import date

from harness.planning.prepare import begun


def test_a_run_keeps_the_date_on_which_it_was_begun():
    assert date.fromisoformat(begun({}))
    assert begun({"name": "lab", "begun": "2026-01-02"}) == "2026-01-02"
    assert begun({"name": "lab"}) is None
