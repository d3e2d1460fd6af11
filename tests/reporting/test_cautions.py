"""Page 1 is not silent: every collapse, and every constant, full, chance-level or falling task, is named or counted there."""

import shutil

import pandas as pd

from harness.analysis.facts import RunResults
from harness.reporting.report.content import content
from harness.reporting.tables import refresh
from harness.reporting.tables.collapse import COLUMNS
from harness.reporting.tables.task_notes import COLUMNS as NOTES
from harness.security.escaping import to_csv_text
from tests.conftest import read_csv_rows
from tests.reporting.conftest import change


def first_page(run):
    return str(content(RunResults(run))["sections"][0])


def test_every_finding_and_every_note_is_on_the_first_page(run):
    refresh(run)
    findings = [
        ("spin", 0, t, kind, f"evidence {kind} {t}", 1.0, 0.5, f"spin/seed-0/iteration-{t}")
        for kind, count in (("task halved", 2), ("drift from the data", 1))
        for t in range(count)
    ]
    notes = [
        ("space", 1, 1, f"task_{n}", f"Task {n}", note, "-9.0 points since the start [-12.0, -6.0]", 0.3, 0.3, "scores.csv")
        for note, count in (("constant", 1), ("full", 7), ("at chance", 2), ("falling", 1))
        for n in range(count)
    ]
    (run / "tables/collapse.csv").write_text(to_csv_text(pd.DataFrame(findings, columns=COLUMNS)))
    (run / "tables/task_notes.csv").write_text(to_csv_text(pd.DataFrame(notes, columns=NOTES)))
    page = first_page(run)
    assert "task halved: spin (iteration 0, seed 0: evidence task halved 0, 2 times in all)" in page
    assert "drift from the data: spin (iteration 0, seed 0: evidence drift from the data 0)" in page
    assert "Task 4 (space); and 2 more" in page and "Task 5" not in page  # seven full tasks: five, and how many more
    assert "constant" in page and "Task 1 (space)" in page
    assert "fell from the start to the last iteration" in page and "space -9.0 points" in page


def test_a_run_without_such_tasks_says_nothing_of_them(run):
    refresh(run)
    for name, columns in (("collapse", COLUMNS), ("task_notes", NOTES)):
        (run / f"tables/{name}.csv").write_text(to_csv_text(pd.DataFrame(columns=columns)))
    assert "task_notes.csv" not in first_page(run) and "Collapse detector" not in first_page(run)


def test_a_task_with_one_and_the_same_prediction_is_noted(run):
    """Of the start and of the last iteration; and answers that are no answers any more are a collapse."""

    def constant(items):
        for task in items.values():
            task["predictions"] = [0] * 40

    for path in run.rglob("evaluate/two/items.json"):
        change(path, constant)
    refresh(run)
    found = {(r["objective"], r["note"]) for r in read_csv_rows(run / "tables/task_notes.csv")}
    assert {(name, "constant") for name in ("initial", "space", "spin")} <= found


def test_a_fall_in_the_first_iteration_is_a_collapse_too(run):
    """Every task of the start at 1, with an error of nothing: iteration 0 is below it by far."""
    for path in run.glob("initial/evaluate/two/scores.json"):
        change(path, lambda scores: [record.update(value=1.0, stderr=0.0) for record in scores["records"]])
    refresh(run)
    falls = {r["objective"]: r["iteration"] for r in read_csv_rows(run / "tables/collapse.csv") if r["finding"] == "score fall"}
    assert falls == {"space": "0", "spin": "0"}


def test_of_an_unfinished_objective_the_last_evaluated_iteration_is_noted(run):
    """SPIN's last evaluation is gone; what is said of it is of the one before."""
    shutil.rmtree(run / "spin/seed-0/iteration-1/evaluate")
    for path in run.rglob("evaluate/two/items.json"):
        change(path, lambda items: [task.update(predictions=[0] * 40) for task in items.values()])
    refresh(run)
    noted = {(r["objective"], r["iteration"]) for r in read_csv_rows(run / "tables/task_notes.csv") if r["note"] == "constant"}
    assert {("space", "1"), ("spin", "0")} <= noted and ("spin", "1") not in noted
