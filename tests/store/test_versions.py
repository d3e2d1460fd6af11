"""Continued under other libraries or on another machine a run says so; under other numbers of this program it is refused."""

import json
import re
import shutil

import pandas as pd
import pytest

from harness.analysis.facts import RunResults
from harness.commands.study import tuned_variants
from harness.config import load_config
from harness.errors import UserError
from harness.files import read_jsonl
from harness.loop.study import load_study
from harness.reporting.card import model_card
from harness.reporting.report import write_report
from harness.reporting.tables import refresh
from harness.store.provenance import NUMBERS_KEY, NUMBERS_VERSION, package_versions
from harness.store.run_folder import RunFolder
from harness.store.versions import check_numbers_version, covering_folders, version_warning, versions_by_phase
from tests.conftest import SMALL_RECIPE, read_csv_rows, run_cli_in_process
from tests.helpers.damage import edit_json, edit_manifest, events, refused
from tests.helpers.report_text import report_text

AGAIN = ("run", "--recipe", SMALL_RECIPE)


def edit(run, below, key, **changes):
    """Other versions or another machine in the manifests of a run's phases below a folder; how many those are."""
    paths = sorted((run / below).rglob("manifest.json"))
    for path in paths:
        edit_manifest(path, key, **changes)
    return len(paths)


def state(folder):
    """Every file but the log, which a refusal is written to as well."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file() and path.name != "run.log")
    return {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in files}


def warnings(done):
    """Without their time."""
    return re.findall("WARNING made with other versions.*", done.stdout + done.stderr)


def test_every_phase_says_what_made_it(run):
    made, now, record = versions_by_phase(run), package_versions(), json.loads((run / "run.json").read_text())
    assert record["versions"] == now and now[NUMBERS_KEY] == NUMBERS_VERSION
    assert {"data", "initial/evaluate/two", "space/seed-0/iteration-1/train"} <= made.keys()
    for folder, found in made.items():
        assert {name: found[name] for name in now} == now, folder
        assert {"machine", "device", "precision", "layout"} <= found.keys(), folder
        assert found["precision"] == record["hardware"]["precision"]


def test_other_libraries_are_one_line_that_names_them_and_their_phases(played_copy, run):
    now = package_versions()
    edited = edit(run, "initial", "versions", torch="2.0.1", transformers="4.30.0")
    shutil.rmtree(run / "spin/seed-0/iteration-1/probe")
    before = state(run / "space")
    (line,) = warnings(run_cli_in_process(*AGAIN, cwd=played_copy))
    finished = len(versions_by_phase(run)) - 1
    assert f"torch 2.0.1 (now {now['torch']}), transformers 4.30.0 (now {now['transformers']})" in line
    assert f"in {edited} of {finished} finished phases (initial);" in line and "numpy" not in line
    assert (run / "spin/seed-0/iteration-1/probe/manifest.json").is_file()
    assert state(run / "space") == before
    assert [row["said"] for row in read_jsonl(run / "journal.jsonl") if row["event"] == "other versions"] == [line]


def test_another_machine_is_said_like_another_library(played_copy, run):
    edit(run, "space", "hardware", device="another card", precision="bfloat16")
    (line,) = warnings(run_cli_in_process(*AGAIN, "--dry-run", cwd=played_copy))
    for said in ("device another card (now cpu", "precision bfloat16 (now float32)", "finished phases (space);"):
        assert said in line


def test_equal_versions_and_what_was_never_recorded_are_no_difference(played_copy, run):
    assert version_warning(RunFolder(run), package_versions()) is None
    edit(run, ".", "versions", nltk=None, jinja2=None, vllm="0.1", **{"selfplay-harness": "0.0.9"})
    edit(run, ".", "hardware", device=None, machine=None)
    assert warnings(run_cli_in_process(*AGAIN, cwd=played_copy)) == []


OF_ALL = [(".", "1", more) for more in ((), ("--iters", "3"), ("--objectives", "sft"), ("--recompute",), ("--dry-run",))]
OF_SOME = [("space/seed-0/iteration-0/train", "99", ()), ("data", None, ()), (".", None, ("--jobs", "2"))]


@pytest.mark.parametrize(("below", "numbers", "more"), [*OF_ALL, *OF_SOME])
def test_other_numbers_of_this_program_are_refused_and_nothing_changes(played_copy, run, numbers, below, more):
    edited = edit(run, below, "versions", **{NUMBERS_KEY: numbers})
    before = state(played_copy)
    line = refused(played_copy, *AGAIN, "--name", "small", *more)
    assert f"made with version {numbers or 1} of this program's numbers, which are now version {NUMBERS_VERSION}" in line
    assert edited and (f"all {len(versions_by_phase(run))} finished phases" in line) == (below == ".")
    assert "--name OTHER" in line and state(played_copy) == before


def test_a_run_of_other_numbers_is_still_shown(played_copy, run):
    edit(run, ".", "versions", **{NUMBERS_KEY: None})
    before = (run / "tables/leaderboard.csv").read_bytes()
    example = read_jsonl(run / "data/train.jsonl")[0]["id"]
    for command in (("report", "small"), ("status", "small"), ("trace", "small", example)):
        run_cli_in_process(*command, cwd=played_copy)
    assert (run / "tables/leaderboard.csv").read_bytes() == before
    (row,) = [r for r in read_csv_rows(run / "tables/versions.csv") if r["name"] == NUMBERS_KEY]
    assert (row["version"], row["where"]) == ("1", ".")


def test_a_setting_that_was_chosen_under_other_numbers_is_said_to_be(run, monkeypatch, capsys):
    study = load_study("stability").model_copy(update={"tuned_by": run.name})
    chosen = pd.DataFrame({"objective": [], "key": [], "value": [], "chosen": pd.Series([], dtype=bool)})
    monkeypatch.setattr("harness.reporting.tables.study.chosen_table", lambda _: chosen)
    tuned_variants(study, load_config(str(SMALL_RECIPE)), run.parent)
    assert "of this program's numbers" not in capsys.readouterr().out
    edit(run, "space", "versions", **{NUMBERS_KEY: "1"})
    tuned_variants(study, load_config(str(SMALL_RECIPE)), run.parent)
    (line,) = [line for line in capsys.readouterr().out.splitlines() if "of this program's numbers" in line]
    assert f"small chose them with version 1 of this program's numbers, which are now version {NUMBERS_VERSION}" in line


def test_what_the_record_alone_says_counts_too(run):
    """A run that was played under other versions without a phase being made then."""
    path, now = run / "run.json", package_versions()
    record = json.loads(path.read_text())
    path.write_text(json.dumps({**record, "versions": {**now, "torch": "2.0.1"}}))
    said = version_warning(RunFolder(run), now)
    assert f"torch 2.0.1 (now {now['torch']}) at the run's last command;" in str(said)
    edit(run, "space", "versions", torch="2.0.1")
    said = str(version_warning(RunFolder(run), now))
    assert "last command" not in said and "(space)" in said
    path.write_text(json.dumps({**record, "versions": {**now, NUMBERS_KEY: "99"}}))
    with pytest.raises(UserError, match="made with version 99 of this program's numbers"):
        check_numbers_version(RunFolder(run))
    for folder in ("initial", "space", "spin"):  # the small files went when the manifests were edited
        shutil.rmtree(run / folder)
    check_numbers_version(RunFolder(run))  # as after a kill before the record was written
    shutil.rmtree(run / "data")
    del record["versions"][NUMBERS_KEY]
    path.write_text(json.dumps(record))
    check_numbers_version(RunFolder(run))  # as in a clone of a run that an older program made: no phase could be mixed


def test_nothing_is_taken_over_from_a_neighbour_of_other_numbers(played_copy, run):
    edit(run, ".", "versions", **{NUMBERS_KEY: "1"})
    run_cli_in_process(*AGAIN, "--name", "b", "--set", "share=true", "--objectives", "sft", "--iters", "1", cwd=played_copy)
    assert {event for event, _ in events(played_copy / "results/b")} == {"started", "committed"}


def test_tables_report_and_card_name_every_version_with_its_phases(run, tmp_path):
    edit(run, "space/seed-0/iteration-1", "versions", torch="2.0.1")
    edit(run, "initial/probe", "versions", torch=None)
    refresh(run)
    now, made = package_versions(), versions_by_phase(run)
    mine = [r for r in read_csv_rows(run / "tables/versions.csv") if r["name"] == "torch"]
    other = {(r["version"], r["where"]) for r in mine if r["version"] != now["torch"]}
    assert other == {("", "initial/probe"), ("2.0.1", "space/seed-0/iteration-1")}
    (rest,) = [r["where"].split() for r in mine if r["version"] == now["torch"]]
    assert set(rest) >= {"data", "initial/evaluate", "space/seed-0/iteration-0", "spin"}
    assert sum(int(r["phases"]) for r in mine) == len(made) == int(mine[0]["of"])
    write_report(run, tmp_path / "r.pdf")
    page = report_text(run)
    assert f"2.0.1 in 5 of {len(made)} phases (space/seed-0/iteration-1)" in page
    assert f"not recorded in 1 of {len(made)} phases (initial/probe)" in page
    assert f"numpy {now['numpy']}" in page
    kept = json.loads((tmp_path / "r" / "provenance.json").read_text())["versions"]
    assert kept["torch"]["2.0.1"] == ["space/seed-0/iteration-1"]
    assert kept["numpy"] == {now["numpy"]: ["."]}
    assert (tmp_path / "r" / "versions.csv").read_bytes() == (run / "tables/versions.csv").read_bytes()

    edit(run, "space/seed-0/iteration-1/evaluate", "versions", lm_eval="0.4.2")
    text = model_card(RunResults(run), "space", 0, 1)
    made = [line for line in text.splitlines() if line.startswith("Made with (")]
    trained, evaluated = (next(line for line in made if phase in line) for phase in ("train", "evaluate"))
    assert "torch 2.0.1" in trained and "0.4.2" not in trained and "0.4.2" in evaluated


def test_folders_are_the_fewest_that_hold_exactly_these_phases():
    every = ["data", "initial/probe", "initial/evaluate/two", "a/seed-0/iteration-0/train", "a/seed-1/iteration-0/train", "ab/x"]
    assert covering_folders(every, every) == ["a", "ab", "data", "initial"]
    assert covering_folders(["initial/evaluate/two", "a/seed-0/iteration-0/train"], every) == ["a/seed-0", "initial/evaluate"]
    assert covering_folders([], every) == []


def test_a_damaged_or_foreign_manifest_is_left_to_those_who_need_it(run):
    (run / "initial/probe/manifest.json").write_text("{")
    (run / "data/manifest.json").write_text("[1]")
    made = versions_by_phase(run)
    assert not {"initial/probe", "data"} & made.keys() and len(made) > 10
    assert version_warning(RunFolder(run), package_versions()) is None


def test_scores_of_an_older_version_of_the_suite_are_never_mixed_in(played_copy, run):
    suites = json.loads((run / "run.json").read_text())["suites"]
    edit_json(run / "run.json", suites={"two": {**suites["two"], "version": "0"}})
    line = refused(played_copy, *AGAIN, after_progress=True)
    assert "its scores on two are of the suite's version 0, now 1; use --name OTHER" in line
