"""Folders keep apart: whatever two options name, a command is refused before any work or nothing of another is touched."""

import json
import os
from pathlib import Path

import pytest

from harness.commands.run import check_output_folders
from harness.errors import UserError
from harness.store.opening import as_argument
from harness.store.output_folders import check_report, check_run_folder
from harness.store.run_folder import RunFolder
from tests.helpers import damage


def a_run(root, name=None):
    root.mkdir(parents=True)
    (root / "run.json").write_text(json.dumps({"name": name or root.name}))
    (root / "scores.csv").write_text("this run's")
    return root


def a_report(pdf, run):
    folder = pdf.with_suffix("")
    folder.mkdir(parents=True)
    (folder / "provenance.json").write_text(json.dumps({"run": run}))
    (folder / "scores.csv").write_text("a copy")
    pdf.write_text("pdf")
    pdf.with_suffix(".html").write_text("html")


def refused(call, *words):
    with pytest.raises(UserError) as error:
        call()
    for word in words:
        assert word in str(error.value)


@pytest.mark.parametrize("left", [".lease", ".lease.0a1b", ".lease.0a1b.gone", "journal.jsonl", "data.partial"])
def test_what_a_kill_leaves_of_the_first_moment_is_a_runs(tmp_path, left):
    """Killed while the lease is made or given back, its file stands there under the name that it has until then."""
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / left).touch()
    check_run_folder(tmp_path / "x")


@pytest.mark.parametrize("begun", [False, True])
@pytest.mark.parametrize("places", ["d d", "d d/x", "d d/x/tables", "d link", "link d", "d/../d d", "p/x p", "p/x/y p"])
def test_runs_and_reports_that_would_share_a_folder_are_refused(tmp_path, begun, places):
    (tmp_path / "d").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "d")
    results, reports = (tmp_path / place for place in places.split())
    root = results / "x"
    if begun:
        a_run(root)
    refused(lambda: check_output_folders(RunFolder(root), results, reports, True), "name another", "--reports")


@pytest.mark.parametrize(("results", "reports"), [("d", "e"), ("d", "."), (".", "e"), ("d", "d/reports"), ("d/x/runs", "e")])
def test_others_are_well_and_stay_well(tmp_path, results, reports):
    root, pdf = tmp_path / results / "x", tmp_path / reports / "x.pdf"
    for _ in range(2):
        check_output_folders(RunFolder(root), tmp_path / results, tmp_path / reports, False)
        if not root.exists():
            a_run(root)
            a_report(pdf, "x")


def test_no_report_is_written_over_what_is_not_its_own(tmp_path):
    a, b = a_run(tmp_path / "a"), a_run(tmp_path / "b")
    notes = tmp_path / "notes"
    notes.mkdir()
    (notes / "scores.csv").write_text("mine")
    (tmp_path / "file").write_text("mine")
    (tmp_path / "page.html").mkdir()
    (tmp_path / "whole.pdf").mkdir()
    a_report(tmp_path / "out" / "b.pdf", "b")
    for name in ("b.pdf", "a.pdf", "b/new.pdf", "b/tables.pdf", "b/deep/er/new.pdf", "a/new.pdf"):
        refused(lambda name=name: check_report(tmp_path / name, "--out", a), "is a run folder", "name another", "--out")
    (tmp_path / "odd").mkdir()
    os.mkfifo(tmp_path / "odd/provenance.json")
    for name, said in {
        "notes.pdf": "holds other files", "odd.pdf": "holds other files", "file.pdf": "that is a file",
        "page.pdf": "page.html is a folder", "whole.pdf": "whole.pdf is a folder", "out/b.pdf": "the report of the run b",
    }.items():  # fmt: skip
        refused(lambda name=name: check_report(tmp_path / name, "--out", a), said)
    check_report(tmp_path / "out" / "b.pdf", "--out", b)  # again
    for name in ("new", "new.html", "new.csv", ".pdf", "notes"):
        refused(lambda name=name: check_report(tmp_path / name, "--out", a), "expected the name of a PDF")


def test_a_renamed_run_keeps_its_report(tmp_path):
    root = a_run(tmp_path / "new", name="old")
    for name in ("new.pdf", "old.pdf"):
        a_report(tmp_path / "reports" / name, "old")
        check_report(tmp_path / "reports" / name, "--out", root)


def test_a_run_is_played_into_no_folder_of_something_else(tmp_path):
    a_run(tmp_path / "a")
    a_report(tmp_path / "b.pdf", "b")
    (tmp_path / "src").mkdir()
    for name in ("src/main.c", "file"):
        (tmp_path / name).write_text("mine")
    (tmp_path / "link").symlink_to("nowhere")
    for name, *words in (
        ("a/b", "--results", "is a run folder"), ("a/deep/b", "--results", "is a run folder"), ("src", "--name OTHER"),
        ("b", "a report's numbers"), ("file", "is a file", "--name OTHER"), ("link", "leads nowhere", "--name OTHER"),
    ):  # fmt: skip
        refused(lambda name=name: check_run_folder(tmp_path / name), *words)
    (tmp_path / "empty").mkdir()
    (tmp_path / "begun" / "data.partial").mkdir(parents=True)
    for name in ("a", "new", "empty", "begun"):
        check_run_folder(tmp_path / name)


def test_the_commands_ask_first(tmp_path, played_copy):
    a_run(played_copy / "results" / "theory")
    before = {p: p.read_bytes() for p in played_copy.rglob("*") if p.is_file()}
    for typed in (
        "report small --out results/theory.pdf", "theory --reports results --iters 1", "theory --reports results/small --iters 1",
        "push small space --to results/small/package", "fetch --to results/small/mirror",
    ):  # fmt: skip
        line = damage.refused(played_copy, *typed.split())
        assert line.startswith("harness: ") and "run folder" in line, typed
    assert before == {p: p.read_bytes() for p in played_copy.rglob("*") if p.is_file()}


def test_the_report_of_the_same_run_can_be_made_again_and_nothing_old_stays(tmp_path, played_copy):
    from harness.reporting.report import write_report

    (root,) = (played_copy / "results").iterdir()
    pdf = played_copy / "reports" / f"{root.name}.pdf"
    stale = pdf.with_suffix("") / "study.csv"
    stale.write_text("of a study that this run was of once")
    others = tmp_path / "others.csv"
    others.write_text("somebody's")
    (pdf.with_suffix("") / "scores.csv").unlink()
    (pdf.with_suffix("") / "scores.csv").symlink_to(others)
    check_report(pdf, "--out", root)
    write_report(root, pdf)
    assert not stale.exists()
    assert others.read_text() == "somebody's", "a link is replaced, not followed"
    assert (pdf.with_suffix("") / "scores.csv").read_bytes() == (root / "scores.csv").read_bytes()


def test_advice_names_a_run_so_that_the_command_finds_it(tmp_path, monkeypatch):
    """By its name in the folder that is searched without --results, which the environment may name, else by its path."""
    for folder in ("results/here", "results/reference/study a", "other/here"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "run.json").touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HARNESS_RESULTS", raising=False)
    assert as_argument(tmp_path / "results/here") == as_argument(Path("results/here")) == "here"
    assert as_argument(Path("other/here")) == "other/here"
    assert as_argument(Path("results/reference/study a")) == "'results/reference/study a'"
    monkeypatch.setenv("HARNESS_RESULTS", "other")
    assert (as_argument(Path("other/here")), as_argument(Path("results/here"))) == ("here", "results/here")
