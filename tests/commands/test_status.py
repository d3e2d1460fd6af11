"""`harness status`: a line a run that fits the screen, true states, and a document whose keys do not change unseen."""

import json
import re
import shutil

import pytest

from harness.planning.run_status import read_mean_scores
from harness.store.lease import folder_lock
from tests.conftest import ROOT, run_cli_in_process
from tests.helpers.damage import edit_json, refused

RUN_KEYS = {
    "name": str, "path": str, "objectives": list, "seeds": list, "iterations": int, "suite": str, "trials": list, "scores": dict,
    "bytes": int, "date": str, "damage": list, "state": str, "phases_missing": int, "best": dict, "last": dict,
}  # fmt: skip
TRIAL_KEYS = {"objective": str, "seed": int, "phases": list, "stored": str, "error": (str, type(None))}
NUMBER = (float, type(None))
SCORE_KEYS = {"iteration": int, "mean": float, "item_stderr": NUMBER, "low": NUMBER, "high": NUMBER, "seeds": (int, type(None))}


def check_schema(value, keys):
    assert value.keys() == keys.keys()
    for key, kind in keys.items():
        assert isinstance(value[key], kind), key


def list_lines(folder):
    return run_cli_in_process("status", cwd=folder).stdout.splitlines()


def document(folder, *arguments, check=True):
    return json.loads(run_cli_in_process("status", *arguments, "--json", cwd=folder, check=check).stdout)


def test_the_document_has_these_keys_and_kinds(played):
    whole = document(played)
    assert whole.keys() == {"runs", "errors"} and whole["errors"] == []
    (run,) = whole["runs"]
    check_schema(run, RUN_KEYS)
    for trial in run["trials"]:
        check_schema(trial, TRIAL_KEYS)
    assert run["scores"].keys() == {"initial", "space", "spin"}
    for score in (score for scores in run["scores"].values() for score in scores):
        check_schema(score, SCORE_KEYS)
    for one in (run["best"], run["last"]):
        check_schema(one, SCORE_KEYS | {"objective": str})
    assert (run["state"], run["phases_missing"], run["iterations"], run["seeds"]) == ("finished", 0, 2, [0])
    assert run["bytes"] == sum(path.stat().st_size for path in (played / "results/small").rglob("*") if path.is_file())
    assert document(played, "small")["runs"] == whole["runs"]


def test_a_run_is_one_line_of_at_most_80_columns_with_no_word_cut(played, tmp_path):
    shutil.copytree(played / "results", tmp_path / "results")
    shutil.copytree(ROOT / "results/lab-reference", tmp_path / "results/lab-reference")
    record = json.loads((tmp_path / "results/small/run.json").read_text())
    variants = {f"space-with-a-long-label-{n}": record["variants"]["space"] for n in range(9)}
    shutil.copytree(tmp_path / "results/small", tmp_path / "results/many")
    edit_json(tmp_path / "results/many/run.json", variants=variants)
    lines = list_lines(tmp_path)
    assert all(len(line.rstrip()) <= 80 for line in lines), lines
    rows = {line.split()[0]: line.split() for line in lines[2:5]}
    assert rows.keys() == {"lab-reference", "many", "small"}
    means = [
        score
        for name, scores in read_mean_scores(ROOT / "results/lab-reference").items()
        if name != "initial"
        for score in scores
    ]
    best = f"{100 * max(score.mean for score in means):.1f}"
    assert rows["lab-reference"][1:6] == ["3", "1", "x", "5", best] and rows["lab-reference"][7] == "small"
    assert rows["many"][1] == "9" and rows["many"][8:10] == ["to", "do"]
    assert rows["small"][1:5] == ["2", "1", "x", "2"] and rows["small"][7] == "finished"
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", rows["small"][-1])


def test_best_and_last_are_those_of_the_leaderboard(played):
    run = document(played)["runs"][0]
    scores = read_mean_scores(played / "results/small")
    best = max((s.mean, name) for name, rows in scores.items() if name != "initial" for s in rows)[0]
    assert run["best"]["mean"] == best
    assert run["last"]["mean"] == scores[run["last"]["objective"]][-1].mean


def test_of_a_committed_reference_nothing_is_called_not_done(tmp_path):
    shutil.copytree(ROOT / "results/lab-reference", tmp_path / "results/lab-reference")
    said = run_cli_in_process("status", "lab-reference", cwd=tmp_path).stdout
    assert "not done: none, complete" in said and "finished, small files only: 3 trials" in said
    shutil.rmtree(tmp_path / "results/lab-reference/facts")
    run = document(tmp_path)["runs"][0]
    assert run["state"] == "finished" and {trial["stored"] for trial in run["trials"]} == {"small files"}, "tables alone"


def test_a_failed_trial_is_shown_with_its_reason_and_the_next_command(played_copy, run):
    shutil.rmtree(run / "spin/seed-0/iteration-1/train")
    (run / "failed.json").write_text(json.dumps({"spin/seed-0": "ValueError: no \x1b[31mluck", "space/seed-0": "mended since"}))
    lines = list_lines(played_copy)
    assert any(line.startswith("small") and "1 failed" in line for line in lines)
    assert "small: 1 failed; why, and what next: harness status small" in lines
    said = run_cli_in_process("status", "small", cwd=played_copy).stdout
    assert "spin/seed-0 FAILED" in said and "space/seed-0 FAILED" not in said
    assert "failed: spin/seed-0: ValueError: no \\u{1b}[31mluck" in said
    assert "once the cause is mended: harness run --recipe" in said
    assert document(played_copy)["runs"][0]["trials"][1]["error"] == "ValueError: no \x1b[31mluck"


def test_unfinished_running_and_damaged_runs_are_called_so(played_copy, run):
    with folder_lock(run):
        assert document(played_copy)["runs"][0]["state"] == "running"
    shutil.rmtree(run / "spin/seed-0/iteration-1/probe")
    assert any("1 to do" in line for line in list_lines(played_copy))
    assert "to go on: harness run --recipe" in run_cli_in_process("status", "small", cwd=played_copy).stdout
    (run / "space/seed-0/iteration-0/train/manifest.json").write_text("{}")
    assert "damaged" in refused(played_copy, "status")
    damaged = document(played_copy, check=False)["runs"][0]
    assert damaged["state"] == "damaged" and len(damaged["damage"]) == 1
    (run / "tables/leaderboard.csv").write_text("objective,iteration,seeds,mean\nspace,x,1,0.5\n")
    (run / "failed.json").write_text("[]")
    damage = document(played_copy, check=False)["runs"][0]["damage"]
    assert ["failed.json" in damage[0], "leaderboard.csv" in damage[-1], len(damage)] == [True, True, 3]


@pytest.mark.parametrize("name", ["small", "results/small"])
def test_several_runs_in_detail_and_one_that_is_not_there_is_named_last(played, name):
    done = run_cli_in_process("status", name, "smal", cwd=played, check=False)
    assert done.returncode == 1 and "results/small: finished" in done.stdout and 'no run "smal"' in done.stderr
