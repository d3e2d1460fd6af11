"""Studies: what is chosen is chosen by validation items alone, holes are not chosen, and one command ends in a report."""

import json
import shutil
from types import SimpleNamespace

import pandas as pd
import pytest

from harness.discovery.variants import parse_variants
from harness.files import read_jsonl
from harness.loop.study import Grid, choose, load_study
from harness.reporting.tables.compute import compute_table
from tests.conftest import ROOT, SMALL_RECIPE, read_csv_rows, run_cli_in_process
from tests.helpers.damage import events
from tests.helpers.report_text import report_text

GRID = Grid(key="training.lr", values=[1e-4, 1e-3], validation="v")
VALIDATION = """
title = "Two of the lab's tasks, validation items"
version = "1"
lm_eval = "0.4.13"
include_paths = ["builtin:lab/tasks"]
apply_chat_template = true
task = [
  {name = "lab_continuation_validation", label = "Continuation", shots = 0, metric = "acc_norm", chance = 0.25, limit = 6}
]
"""
TUNE = f"""
title = "Tuning, small"
question = "Which rate?"
recipe = "{SMALL_RECIPE}"
objectives = "space,spin"
iterations = 1
seeds = [7]
grid = {{key = "training.lr", values = [1e-5, 2e-3], validation = "./validation.toml"}}
"""
COMPARE = f"""
title = "Comparing, small"
question = "Is it worth it?"
recipe = "{SMALL_RECIPE}"
objectives = "space,spin"
iterations = 2
seeds = [0]
tuned_by = "study-tune"
iterations_shown = [0]
arm = [{{variant = "space", note = "one arm"}}, {{variant = "spin", note = "another"}}]
contrast = [{{question = "first against second iteration", a = "space@0", b = "space@last"}}]
"""


def chosen(*candidates, grid=GRID):
    """Of candidates (objective, value, score of the last iteration, of the best where it is another)."""
    keys = ("objective", "value", "validation_last", "validation_best")
    rows = [dict(zip(keys, (*candidate, candidate[2]), strict=False)) for candidate in candidates]
    return [(r["objective"], r["value"]) for r in choose(grid, rows) if r["chosen"]]


def test_the_last_iteration_decides_and_each_objective_has_its_own():
    given = [("a", 1e-4, 0.5, 0.9), ("a", 1e-3, 0.6), ("b", 1e-4, 0.2), ("b", 1e-3, 0.1)]
    assert chosen(*given) == [("a", 1e-3), ("b", 1e-4)]
    assert chosen(*given, grid=GRID.model_copy(update={"choose": "best"})) == [("a", 1e-4), ("b", 1e-4)]


def test_a_tie_goes_to_the_smaller_value_and_a_hole_is_never_chosen():
    assert chosen(("a", 1e-3, 0.5), ("a", 1e-4, 0.5)) == [("a", 1e-4)]
    assert chosen(("a", 1e-3, 0.1 + 0.2), ("a", 1e-4, 0.3)) == [("a", 1e-4)], "a tie but for rounding"
    assert chosen(("a", 1e-4, None), ("a", 1e-3, 0.1)) == [("a", 1e-3)]
    assert chosen(("a", 1e-4, None), ("a", 1e-3, None)) == []


def test_a_choice_at_the_edge_of_what_was_tried_says_so():
    """Each objective's own edge: of three values the middle one is none."""
    best_in = {"a": 1e-4, "b": 3e-4, "c": 1e-3}
    rows = [
        {"objective": name, "value": value, "validation_last": float(value == best), "validation_best": 1.0}
        for name, best in best_in.items() for value in (1e-4, 3e-4, 1e-3)
    ]  # fmt: skip
    assert {row["objective"]: row["at_edge"] for row in choose(GRID, rows) if row["chosen"]} == {"a": True, "b": False, "c": True}
    assert not any(row["at_edge"] for row in choose(GRID, rows) if not row["chosen"])


@pytest.mark.parametrize("path", sorted((ROOT / "harness" / "studies").glob("*.toml")), ids=lambda p: p.stem)
def test_every_shipped_study_is_whole(path):
    """Its arms and contrasts speak of variants that it plays, at iterations that there are; nothing is called equal in compute,
    which is equal in tokens or in seconds alone."""
    study = load_study(path.stem)
    played = {v.label for v in parse_variants(study.variants())}
    spoken = [*(arm.variant for arm in study.arm), *(side.rpartition("@")[0] for c in study.contrast for side in (c.a, c.b))]
    assert {parse_variants(text)[0].label for text in spoken} <= played
    times = {side.rpartition("@")[2] for c in study.contrast for side in (c.a, c.b)} - {"last"}
    assert all(int(t) < study.iterations for t in (*times, *study.iterations_shown))
    said = [study.question, *(arm.note for arm in study.arm), *(c.question for c in study.contrast)]
    assert "compute" not in " ".join(said)


def test_tuning_and_the_leaderboard_have_no_item_in_common():
    """No item of the validation split is on the leaderboard; nor is its question, but for one task whose questions all are."""
    tasks = ROOT / "harness" / "lab" / "tasks"
    for path in sorted(tasks.glob("*_validation.jsonl")):
        mine, theirs = read_jsonl(path), read_jsonl(path.with_name(path.name.replace("_validation", "")))
        assert len(mine) >= 80
        assert [item for item in mine if item in theirs] == [], path.name
        if path.stem != "lab_misconceptions_validation":
            assert not {item["prompt"] for item in mine} & {item["prompt"] for item in theirs}, path.name


COSTS = [
    ("space", 0, 0, "generate", 10, 1.0), ("space", 0, 0, "score", 20, 2.0), ("space", 0, 0, "train", 100, 4.0),
    ("space", 0, 0, "evaluate", None, 50.0), ("space", 0, 1, "generate", 12, 1.0), ("space", 0, 1, "score", 22, 2.0),
    ("space", 0, 1, "train", 100, 4.0), ("space", 1, 0, "generate", 14, 3.0), ("space", 1, 0, "score", 20, 2.0),
    ("space", 1, 0, "train", 120, 8.0), ("sft", 0, 0, "train", 110, 9.0), ("sft", 1, 0, "train", 130, 9.0),
    ("sft", 0, 1, "train", 110, 9.0),
]  # fmt: skip


def test_compute_by_hand():
    """space@0: (10 + 14) / 2 drawn, 20 scored, 110 trained: 330 + 32 = 362 passes, (7 + 13) / 2 = 10 s; sft@0: 360 passes, 9 s.
    At iteration 1 seed 0 alone has played both: 22 drawn, 42 scored, 200 trained and 14 s against 220 trained and 18 s."""
    costs = pd.DataFrame(COSTS, columns=["objective", "seed", "iteration", "phase", "tokens", "seconds"])
    costs["tokens"] = costs["tokens"].astype("Int64")
    contrasts = [{"question": str(t), "a": ["space", t], "b": ["sft", t]} for t in (0, 1, 2)]
    facts = SimpleNamespace(study={"contrasts": contrasts}, record={"seeds": [0, 1]}, costs=costs)
    first, second, never = compute_table(facts).to_dict("records")
    assert (first["seeds"], first["tokens_drawn_a"], first["tokens_scored_a"], first["tokens_trained_a"]) == (2, 12, 20, 110)
    assert (first["token_passes_a"], first["token_passes_b"], first["tokens_drawn_b"]) == (362, 360, 0)
    assert (first["seconds_a"], first["seconds_b"]) == (10.0, 9.0)
    assert (first["token_passes_ratio"], first["seconds_ratio"]) == (pytest.approx(362 / 360), pytest.approx(10 / 9))
    assert (second["seeds"], second["token_passes_a"], second["token_passes_b"]) == (1, 600 + 22 + 42, 660)
    assert second["seconds_ratio"] == pytest.approx(14 / 18)
    assert never["seeds"] == 0 and pd.isna(never["token_passes_a"]) and pd.isna(never["seconds_ratio"])


@pytest.fixture(scope="module")
def studied(tmp_path_factory):
    """A tuning study and one that uses its choice, played by the real program."""
    folder = tmp_path_factory.mktemp("studied")
    for name, text in {"validation": VALIDATION, "tune": TUNE, "compare": COMPARE}.items():
        (folder / f"{name}.toml").write_text(text)
    for name in ("tune", "compare"):
        run_cli_in_process("study", folder / f"{name}.toml", cwd=folder)
    return folder


def test_the_choice_is_made_on_validation_items_and_judged_on_the_leaderboard(studied):
    run = studied / "results" / "study-tune"
    table = read_csv_rows(run / "tables/chosen.csv")
    assert [r["suite"] for r in table] == ["validation"] * 4
    for objective in ("space", "spin"):
        mine = [r for r in table if r["objective"] == objective]
        (one,) = [r for r in mine if r["chosen"] == "True"]
        assert float(one["validation_last"]) == max(float(r["validation_last"]) for r in mine)
    judged = {r["objective"] for r in read_csv_rows(run / "scores.csv")} - {"initial"}
    assert judged == {r["label"] for r in table if r["chosen"] == "True"}
    assert {r["suite"].split()[0] for r in read_csv_rows(run / "scores.csv")} == {"two"}


def test_the_second_study_plays_every_objective_at_both_settings_and_shares_what_it_can(studied):
    run = studied / "results" / "study-compare"
    common, tuned = json.loads((run / "run.json").read_text())["study"]["panels"]
    assert common["labels"] == [label.split("-")[0] for label in tuned["labels"]] == ["space", "spin"]
    assert all("lr" in label for label in tuned["labels"])
    assert {("taken over", "initial/evaluate/two"), ("taken over", "initial/probe")} <= set(events(run))


def test_the_studys_own_tables_hold_its_arms_and_contrasts(studied):
    run = studied / "results" / "study-compare"
    arms = read_csv_rows(run / "tables/study.csv")
    assert [(r["objective"], r["note"]) for r in arms] == [("space", "one arm"), ("spin", "another")]
    board = {(r["objective"], r["iteration"]): r["mean"] for r in read_csv_rows(run / "tables/leaderboard.csv")}
    means = [(r["mean_iteration_0"], r["mean_iteration_1"]) for r in arms]
    assert means == [(board[o, "0"], board[o, "1"]) for o in ("space", "spin")]
    (contrast,) = [r for r in read_csv_rows(run / "tables/comparisons.csv") if r["panel"] == "study" and r["task"] == "mean"]
    assert float(contrast["difference"]) == pytest.approx(float(board["space", "0"]) - float(board["space", "1"]))


def test_a_studys_contrasts_state_tokens_and_seconds_of_both_sides(studied):
    """Of space at iteration 0 and at the last: sums of cost.csv; their ratios stand in the report."""
    run = studied / "results" / "study-compare"
    (found,) = read_csv_rows(run / "tables/compute.csv")
    costs = [r for r in read_csv_rows(run / "tables/cost.csv") if r["objective"] == "space"]
    for side, last in (("a", 0), ("b", 1)):
        mine = [r for r in costs if int(r["iteration"]) <= last]
        spent = {phase: sum(int(r["tokens"]) for r in mine if r["phase"] == phase) for phase in ("train", "generate", "score")}
        assert [int(found[f"tokens_{name}_{side}"]) for name in ("trained", "drawn", "scored")] == list(spent.values())
        seconds = sum(float(r["seconds"]) for r in mine if r["phase"] in spent)
        assert float(found[f"seconds_{side}"]) == pytest.approx(seconds, abs=2e-3)
    page = report_text(run)
    assert f"= {float(found['token_passes_ratio']):.2f}" in page and f"= {float(found['seconds_ratio']):.2f}" in page
    assert "depend on the machine (cpu," in page
    assert (studied / "reports/study-compare/compute.csv").read_bytes() == (run / "tables/compute.csv").read_bytes()


@pytest.mark.slow
def test_deleting_the_reports_and_writing_them_again_gives_the_same_bytes(studied):
    reports = studied / "reports"
    before = {p.relative_to(reports): p.read_bytes() for p in reports.rglob("*") if p.is_file()}
    assert {str(p) for p in before} >= {"study-compare.pdf", "study-compare.html", "study-compare/standing.csv"}
    shutil.rmtree(reports)
    for name in ("study-tune", "study-compare"):
        run_cli_in_process("report", name, cwd=studied)
    assert {p.relative_to(reports): p.read_bytes() for p in reports.rglob("*") if p.is_file()} == before


def test_repeating_a_study_plays_nothing_again(studied):
    journal = studied / "results" / "study-tune" / "journal.jsonl"
    before = journal.read_text().count("committed")
    run_cli_in_process("study", studied / "tune.toml", cwd=studied)
    assert journal.read_text().count("committed") == before
