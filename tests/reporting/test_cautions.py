"""Page 1 is not silent: every collapse, and every constant, full, chance-level or falling task, is named or counted there."""

import shutil

import pandas as pd
import pytest

from harness.analysis.facts import RunResults
from harness.reporting.first_page.build import first_page
from harness.reporting.tables import refresh
from harness.reporting.tables.collapse import COLUMNS
from harness.reporting.tables.reading import Tables
from harness.reporting.tables.task_notes import COLUMNS as NOTES
from harness.security.escaping import to_csv_text
from tests.conftest import read_csv_rows
from tests.reporting.conftest import change


def said(run):
    """What page 1 says of the run, sentence by sentence."""
    return [one.text for answer in first_page(Tables(RunResults(run))).answers for one in answer.sentences]


def write(run, findings, notes):
    (run / "tables/collapse.csv").write_text(to_csv_text(pd.DataFrame(findings, columns=COLUMNS)))
    (run / "tables/task_notes.csv").write_text(to_csv_text(pd.DataFrame(notes, columns=NOTES)))


def found(objective, iteration, kind, evidence):
    return (objective, 0, iteration, kind, evidence, 1.0, 0.5, f"{objective}/seed-0/iteration-{iteration}")


@pytest.mark.parametrize("count", [1, 5, 6, 30])
def test_every_finding_is_named_with_its_evidence_or_counted_beyond_five_of_a_kind(run, count):
    refresh(run)
    findings = [found(("space", "spin")[n % 2], n % 2, "task halved", f"evidence {n}") for n in range(count)]
    write(run, findings, [])
    (line,) = [line for line in said(run) if line.startswith("Task halved")]
    if count <= 5:
        assert all(f"evidence {n}" in line for n in range(count))
    else:
        of_space, of_spin = (count + 1) // 2, count // 2
        assert f"SPACE {of_space}, from iteration 0; SPIN {of_spin}, from iteration 1" in line and "evidence 0" in line


def test_kinds_beyond_those_with_room_keep_their_counts(run):
    refresh(run)
    findings = [found("spin", 0, f"kind {kind}", "evidence") for kind in range(6) for _ in range(7)]
    write(run, findings, [])
    assert sum("SPIN 7, from iteration 0" in line for line in said(run)) == 6


def test_every_note_on_a_task_is_named_or_counted_beyond_five_of_a_kind(run):
    refresh(run)
    notes = [
        ("space", 1, 1, f"task_{n}", f"Task {n}", note, "-9.0 points since the start [-12.0, -6.0]", -0.09, 0.3, "scores.csv")
        for note, count in (("constant", 1), ("full", 7), ("at chance", 2), ("falling", 1))
        for n in range(count)
    ]
    write(run, [], [*notes, ("initial", -1, None, "task_1", "Task 1", "constant", "one and the same", 1.0, 0.95, "scores.csv")])
    lines = said(run)
    (full,) = [line for line in lines if line.startswith("Full")]
    assert all(f"Task {n} (SPACE)" in full for n in range(5)) and full.endswith("and two more tasks.")
    assert any(line.startswith("Constant") and "Task 0 (SPACE); Task 1 (start)" in line for line in lines)
    assert any(line.startswith("Within two standard errors of chance: Task 0 (SPACE); Task 1 (SPACE)") for line in lines)
    assert any(
        line.startswith("Lower at the last iteration than at the start") and "Task 0 (SPACE -9.0)" in line for line in lines
    )


def test_a_run_without_findings_says_so_and_nothing_of_tasks(run):
    refresh(run)
    write(run, [], [])
    lines = said(run)
    assert "The collapse detector found nothing." in lines and not [
        line for line in lines if line.startswith(("Full", "Constant"))
    ]


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
