"""The real program from outside: played, extended, reported; killed and resumed in test_kills.py."""

import json
import shutil

import pytest

from harness.files import read_jsonl
from tests.conftest import ROOT, SMALL_RECIPE, read_csv_rows, run_cli, run_cli_in_process
from tests.helpers.broken import changed
from tests.helpers.damage import refused
from tests.helpers.report_text import report_text
from tests.helpers.run_contents import COMPARED, RUN, contents


def test_a_run_leaves_every_file_of_its_contract(played):
    run = played / RUN
    expected = [
        *COMPARED, "run.json", "journal.jsonl", "tables/leaderboard.tex", "tables/cost.csv", "data/train.jsonl",
        "objectives/space.py", "objectives/spin.py", "initial/evaluate/two/scores.json", "initial/evaluate/two/lm_eval.json",
        "initial/seed-0/generate/k-0/samples.jsonl.gz", "initial/probe/measurements.json",
        *(f"plots/stability_curves.{kind}" for kind in ("png", "svg", "pdf")),
        *(f"{o}/seed-0/iteration-{t}/{f}" for o in ("space", "spin") for t in (0, 1)
          for f in ("score/scores.jsonl.gz", "train/adapter/adapter_model.safetensors", "train/steps.jsonl",
                    "evaluate/two/samples_lab_arithmetic.jsonl.gz", "probe/samples.jsonl.gz", "generate/manifest.json")),
    ]  # fmt: skip
    assert [name for name in expected if not (run / name).is_file()] == []
    assert not list(run.rglob("*.partial")) and not list(run.rglob("*.tmp"))
    assert (played / "reports" / "small.pdf").read_bytes().startswith(b"%PDF")


def test_scores_csv_is_the_public_contract(played):
    rows = read_csv_rows(played / RUN / "scores.csv")
    assert {"objective", "seed", "iteration", "task", "metric", "filter", "value", "stderr", "n"} <= set(rows[0])
    assert [(r["objective"], r["seed"], r["iteration"]) for r in rows[:2]] == [("initial", "", "-1")] * 2
    assert {(r["objective"], r["iteration"]) for r in rows[2:]} == {(o, t) for o in ("space", "spin") for t in "01"}
    assert {r["task"]: r["n"] for r in rows} == {"lab_arithmetic": "4", "lab_continuation": "6"}
    for row in rows:
        record = json.loads((played / RUN / row["source"]).read_text())["records"]
        assert float(row["value"]) == next(r["value"] for r in record if r["task"] == row["task"])


def test_history_mixes_the_previous_iteration_and_all_is_scored_by_the_current_opponent(played):
    first, scores = (read_jsonl(played / RUN / f"spin/seed-0/iteration-{t}/score/scores.jsonl") for t in (0, 1))
    assert {s["iteration"] for s in scores} == {0, 1}
    assert len(scores) == 2 * 2 * 12  # two iterations, real and synthetic, twelve prompts
    before = {(s["example_id"], s["role"]): s["reference_logp"] for s in first}
    again = {(s["example_id"], s["role"]): s["reference_logp"] for s in scores if s["iteration"] == 0}
    assert all(abs(before[k] - again[k]) > 0 for k in before)


def test_iteration_0_samples_are_shared_and_the_step_0_invariant_is_recorded(played):
    run = played / RUN
    for objective in ("space", "spin"):
        manifest = json.loads((run / f"{objective}/seed-0/iteration-0/generate/manifest.json").read_text())
        assert list(manifest["inputs"]) == ["initial/seed-0/generate/k-0"]
        train = json.loads((run / f"{objective}/seed-0/iteration-1/train/manifest.json").read_text())
        assert 0 <= train["counts"]["step0_max_abs_log_ratio_per_token"] < 1e-4


def test_evaluated_samples_are_kept_with_prompt_hash_and_correctness(played):
    rows = read_jsonl(played / RUN / "space/seed-0/iteration-0/evaluate/two/samples_lab_arithmetic.jsonl")
    assert {"doc", "prompt_hash", "resps", "exact_match", "filter"} <= set(rows[0])
    assert {r["filter"] for r in rows} == {"strict-match", "flexible-extract"}


def test_prompts_are_the_same_for_every_player(played):
    hashes = {json.loads(p.read_text())["counts"]["prompt_hash"] for p in (played / RUN).rglob("evaluate/two/manifest.json")}
    assert len(hashes) == 1


def test_the_same_command_again_does_nothing(played_copy):
    adapters = {p: p.stat().st_mtime_ns for p in (played_copy / RUN).rglob("*.safetensors")}
    assert "0 phases to do" in run_cli_in_process("run", "--recipe", SMALL_RECIPE, cwd=played_copy).stdout
    assert {p: p.stat().st_mtime_ns for p in (played_copy / RUN).rglob("*.safetensors")} == adapters


def test_extension_by_objective_seed_and_iteration_changes_no_other_cell(played, played_copy):
    """More of everything, then the old cells' rows are compared byte for byte."""
    before = contents(played / RUN, ("initial", "space", "spin"))
    more = ("--objectives", "space,spin,tspin", "--seeds", "0,1", "--iters", "3")
    run_cli_in_process("run", "--recipe", SMALL_RECIPE, *more, cwd=played_copy)
    after = contents(played_copy / RUN, ("initial", "space", "spin"))
    assert len(after["scores.csv"]) == 2 + 2 * 2 * 3 * 2
    for name in ("scores.csv", "training.csv", "dynamics.csv"):
        kept = [r for r in after[name] if r["seed"] in ("", "0") and r["iteration"] in ("-1", "0", "1")]
        columns = before[name][0].keys()
        assert [{c: r[c] for c in columns} for r in kept] == before[name]


def test_a_changed_setting_is_refused_in_one_sentence(played_copy):
    line = refused(played_copy, "run", "--recipe", SMALL_RECIPE, "--name", "small", "--set", "training.lr=0.5")
    assert "training.lr=0.001, now asked for 0.5" in line and "--name OTHER" in line


def test_a_failing_objective_leaves_a_hole_and_the_others_go_on(played_copy):
    """Exit code 2, the failed cell named, its rows absent, the other objective's still there; the one example is written out.

    The loss divides by zero for the longest real response of the data, and the report says so where it shows the hole.
    """
    data = read_jsonl(played_copy / RUN / "data/train.jsonl")
    lengths = {s["example_id"]: s["length"] for s in read_jsonl(played_copy / RUN / "initial/score/scores.jsonl")}
    longest = max(lengths.values())
    named = {example for example, length in lengths.items() if length == longest}
    assert len(named) < len(data) / 2
    loss, sft = "loss=-real.mean_logp[:, 0]", (ROOT / "objectives" / "sft.py").read_text()
    (played_copy / "broken.py").write_text(changed(sft, loss, f"{loss} / (real.length[:, 0] < {longest})"))
    done = run_cli_in_process("run", "--recipe", SMALL_RECIPE, "--objectives", "./broken.py,space", cwd=played_copy, check=False)
    assert done.returncode == 2
    kept = "broken/seed-0/iteration-0/train.failed.json"
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("failed  broken/seed-0: TrainingStopped: step ")]
    assert line.endswith(f"; written out in {kept}")
    rows = read_csv_rows(played_copy / RUN / "tables/leaderboard.csv")
    assert {r["mean"] for r in rows if r["objective"] == "broken"} == {""}
    assert all(r["mean"] for r in rows if r["objective"] == "space")
    written = json.loads((played_copy / RUN / kept).read_text())
    assert {one["id"] for one in written["examples"]} <= named
    (one, *_) = written["examples"]
    (pair,) = [row for row in data if row["id"] == one["id"]]
    assert pair["prompt"] in one["prompt"]["text"] and pair["real"] in one["responses"][0]["text"] and one["loss"] == "inf"
    page = report_text(played_copy / RUN)
    assert "Failed: broken/seed-0: TrainingStopped: step" in page
    assert "Incomplete, not compared: broken" in page


def test_an_objective_by_path_works_with_no_other_change(tmp_path):
    text = (ROOT / "objectives" / "space.py").read_text().replace("class SPACE", "class Mine")
    (tmp_path / "mine.py").write_text(text)
    run_cli_in_process("run", "--recipe", SMALL_RECIPE, "--iters", "1", "--objectives", "./mine.py:mu=3", cwd=tmp_path)
    run = tmp_path / "results/small"
    assert (run / "objectives" / "mine.py").read_text() == text
    assert len(list((run / "initial/seed-0/generate").iterdir())) == 3
    assert {r["objective"] for r in read_csv_rows(run / "scores.csv")} == {"initial", "mine-mu3"}


def test_reports_are_views_deleted_and_written_again_they_have_the_same_bytes(played_copy):
    report = played_copy / "reports"
    before = {p.relative_to(report): p.read_bytes() for p in report.rglob("*") if p.is_file()}
    shutil.rmtree(report)
    run_cli_in_process("report", "small", cwd=played_copy)
    assert {p.relative_to(report): p.read_bytes() for p in report.rglob("*") if p.is_file()} == before


@pytest.mark.slow
def test_all_six_objectives_end_in_a_report(tmp_path):
    objectives = "sft,space,space:mu=3,spin,spin:history=0,tspin,sipo,ssimpo"
    run_cli("run", "--recipe", "smoke", "--objectives", objectives, cwd=tmp_path)
    assert (tmp_path / "reports/smoke.pdf").is_file()
