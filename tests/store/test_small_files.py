"""Small files: enough for every view, intact or refused, a finished cell by themselves, and joined from several machines."""

import gzip
import io
import json
import lzma
import os
import re
import shutil
from types import SimpleNamespace

import pandas as pd
import pytest

from harness.analysis.earlier_tables import MEASURED_TABLES
from harness.analysis.facts import RunResults
from harness.errors import DamagedError, UserError
from harness.files import bytes_digest
from harness.planning.remaining import remaining_phases
from harness.reporting.tables import refresh
from harness.store import merging
from harness.store.merging import plan_merge
from harness.store.run_folder import RunFolder
from harness.store.small_files import (
    PhaseSummary,
    pack,
    read_small_file,
    small_file_path,
    summarize_phase,
    units,
    update_small_file,
    write_small_file,
)
from harness.store.verification import checksum
from tests.conftest import ROOT, SMALL_RECIPE, read_csv_rows, rewrite_manifest, run_cli_in_process, update_manifest_digests
from tests.helpers.damage import edit_json, edit_manifest, flip, flipped, refused
from tests.helpers.report_text import report_text

AGAIN = ("run", "--recipe", SMALL_RECIPE, "--jobs", "1")
CELL = "space/seed-0"
PHASES = ("data", "initial", "space", "spin")

COMMITTED = sorted(path.parent for pattern in ("*", "reference/*") for path in (ROOT / "results").glob(f"{pattern}/run.json"))


def prune(run, *tops):
    """Delete every phase below these folders and leave the empty folders around them, as a careless hand does."""
    for top in tops or PHASES:
        for manifest in sorted((run / top).rglob("manifest.json")):
            shutil.rmtree(manifest.parent)


def keep_tables_alone(run):
    for folder in (*PHASES, "facts"):
        shutil.rmtree(run / folder)


def views(folder):
    endings = (".csv", ".md", ".tex", ".svg", ".png", ".pdf", ".html")
    return {p.relative_to(folder): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file() and p.suffix in endings}


def test_tables_figures_and_report_are_the_same_bytes_from_the_small_files_alone(played_copy, run):
    run_cli_in_process("report", "small", "--out", "one/r.pdf", cwd=played_copy)
    before = views(run), views(played_copy / "one")
    assert len(before[0]) > 15
    prune(run)
    for path in run.rglob("*.csv"):
        path.unlink()
    shutil.rmtree(run / "plots")
    run_cli_in_process("report", "small", "--out", "one/r.pdf", cwd=played_copy)
    assert (views(run), views(played_copy / "one")) == before


def test_small_files_depend_on_what_is_finished_alone(run):
    """The same phases, gathered anew or read and written again, give the same bytes; nothing of the moment is in them."""
    path = small_file_path(run, CELL)
    before = path.read_bytes()
    assert pack(CELL, read_small_file(run, CELL)) == before
    path.unlink()
    os.utime(run / CELL / "iteration-0/probe/samples.jsonl.gz", (1, 1))
    update_small_file(run, CELL)
    assert path.read_bytes() == before and path.stat().st_size < 20_000


def test_every_bit_of_a_small_file_counts(run):
    path = small_file_path(run, CELL)
    raw = path.read_bytes()
    cut = (raw[:length] for length in (0, 5, len(raw) // 2, len(raw) - 1))
    for content in (*(flipped(raw, 8 * place) for place in range(10, len(raw), 211)), *cut):
        path.write_bytes(content)
        with pytest.raises(DamagedError, match="damaged"):
            read_small_file(run, CELL)


def forged(unit, body, **head):
    said = {"format": 1, "unit": unit, "digest": bytes_digest(body)} | head
    return lzma.compress(json.dumps(said).encode() + b"\n" + body)


def test_somebody_elses_small_file_is_one_line(played_copy, run):
    """Of another format, of another cell, with a path upwards, without phases, nested without end, and no archive."""
    prune(run, "space")
    for raw, named in (
        (forged(CELL, b"", format=7), "format 7 of small files"), (forged("spin/seed-0", b""), "is of 'spin/seed-0'"),
        (forged(CELL, b'{"phase": "space/seed-0/../../x", "kept": {"manifest": {}}}\n'), "holds 'space/seed-0/../../x'"),
        (forged(CELL, b"[]\n"), "damaged"), (lzma.compress(b"[" * 100_000), "damaged"), (b"a page", "damaged"),
    ):  # fmt: skip
        small_file_path(run, CELL).write_bytes(raw)
        assert named in refused(played_copy, "report", "small")


@pytest.mark.parametrize("how", ["flipped", "of another format", "a folder"])
def test_a_damaged_small_file_is_set_aside_on_request_and_written_anew_where_its_folder_is(run, how):
    path = small_file_path(run, CELL)
    before = path.read_bytes()
    if how == "a folder":
        path.unlink()
        path.mkdir()
    else:
        path.write_bytes(flipped(before, 800) if how == "flipped" else lzma.compress(b'{"format": 9, "unit": 0, "digest": 0}'))
    with pytest.raises(UserError, match=r"seed-0\.jsonl\.xz: .*--recompute"):
        update_small_file(run, CELL)
    RunFolder(run).set_small_files_aside()
    update_small_file(run, CELL)
    assert path.read_bytes() == before
    assert path.with_name(path.name + ".damaged").exists()


def test_of_a_cell_with_a_damaged_small_file_alone_everything_is_to_do_on_request(run):
    folders = [f"{CELL}/iteration-{t}/{kind}" for t in (0, 1) for kind in ("train", "probe")]
    phases = [SimpleNamespace(folder=folder, variant=object(), read_later=True) for folder in folders]
    prune(run, "space")
    assert remaining_phases(run, phases) == []
    small_file_path(run, CELL).write_bytes(b"[]")
    with pytest.raises(DamagedError):
        remaining_phases(run, phases)
    assert remaining_phases(run, phases, ignore_damaged=True) == phases


def forge_output(run, unit, phase, name):
    """Let a unit's small file say another digest of one output of a phase."""
    kept = read_small_file(run, unit)
    manifest = {**kept[phase].manifest, "outputs": {**kept[phase].manifest["outputs"], name: "0" * 16}}
    forged = PhaseSummary({**manifest, "checksum": checksum(manifest)}, kept[phase].files)
    write_small_file(run, unit, {**kept, phase: forged})


def test_folder_and_small_file_that_disagree_are_one_line(played_copy, run):
    forge_output(run, CELL, f"{CELL}/iteration-1/train", "adapter/adapter_model.safetensors")
    line = refused(played_copy, "report", "small")
    assert "iteration-1/train: differs from" in line and "adapter_model.safetensors" in line


def test_only_missing_cells_are_played_and_what_they_share_comes_out_as_recorded(played_copy, run):
    """The last cell's folder and small file are gone, of the rest the small files are here."""
    before = {phase: summarize_phase(run, phase) for phase in ("initial/probe", "initial/score", "initial/seed-0/generate/k-0")}
    scores = (run / "scores.csv").read_bytes()
    prune(run)
    small_file_path(run, "spin/seed-0").unlink()
    done = run_cli_in_process(*AGAIN, cwd=played_copy)
    assert "plan: 13 phases to do, 11 to reuse" in done.stdout and "space, seed 0" not in done.stderr
    assert not list((run / "space").rglob("manifest.json"))
    assert (run / "scores.csv").read_bytes() == scores
    assert {phase: summarize_phase(run, phase) for phase in before} == before, "manifest, seconds and all"
    assert not (run / "initial/evaluate/two").exists()
    assert "plan: 0 phases to do, 24 to reuse" in run_cli_in_process(*AGAIN, cwd=played_copy).stdout


@pytest.mark.slow
def test_shared_samples_that_come_out_otherwise_are_refused(played_copy, run):
    phase = "initial/seed-0/generate/k-0"
    prune(run)
    small_file_path(run, "spin/seed-0").unlink()
    forge_output(run, "initial", phase, "samples.jsonl")
    line = refused(played_copy, *AGAIN, after_progress=True)
    assert "k-0: made again, it differs from what the run's small files record in outputs samples.jsonl" in line
    assert not (run / "spin/seed-0/iteration-0/train").exists()


def test_what_begins_from_a_deleted_adapter_is_one_line_before_anything_is_made(played_copy, run):
    prune(run, "space")
    for command in ((*AGAIN, "--iters", "3"), (*AGAIN, "--iters", "3", "--dry-run")):
        assert "of space/seed-0 only the small files are here, with 2 iteration(s)" in refused(played_copy, *command)
    assert not (run / "spin/seed-0/iteration-2").exists()
    assert "no adapter, only the small files" in refused(played_copy, "push", "small", "space")
    assert "space/seed-0 (small files)" in run_cli_in_process("status", "small", cwd=played_copy).stdout
    shutil.rmtree(run / "data")
    refused(played_copy, "trace", "small", "7f")


@pytest.mark.slow
def test_a_phase_deleted_to_be_made_again_does_not_come_back_from_the_small_file(played_copy, run):
    folder = run / CELL / "iteration-1/evaluate"
    shutil.rmtree(folder)
    refresh(run)
    left = {(r["objective"], r["iteration"]) for r in read_csv_rows(run / "scores.csv")}
    assert left == {("initial", "-1"), ("space", "0"), ("spin", "0"), ("spin", "1")}
    assert "plan: 1 phases to do" in run_cli_in_process(*AGAIN, cwd=played_copy).stdout
    assert (folder / "two/manifest.json").is_file()


# ---------------------------------------------------------------- runs of which the tables alone are kept


def test_of_a_run_committed_before_small_files_every_table_is_kept_or_made_anew(played_copy, run):
    before = {p: p.read_bytes() for p in (run, run / "tables") for p in sorted(p.glob("*.csv"))}
    assert b"since_best" in before[run / "tables/standing.csv"]
    keep_tables_alone(run)
    run_cli_in_process("report", "small", "--out", "r.pdf", cwd=played_copy)
    after = {p: p.read_bytes() for p in before}
    for path, content in before.items():  # errors of items come from scores.csv there: equal but for rounding
        pd.testing.assert_frame_equal(*(pd.read_csv(io.BytesIO(c)) for c in (after[path], content)), check_dtype=False, rtol=1e-9)
    measured = [p for p in before if p.relative_to(run).as_posix() in MEASURED_TABLES]
    assert [p for p in measured if after[p] != before[p]] == []
    page = report_text(run)
    assert "As computed when the run was made" in page and "tables/comparisons.csv" in page
    assert RunResults(run).item_scores == {}


def test_the_tables_of_an_earlier_version_are_read_as_they_were_written(played_copy, run):
    """scores.csv without clusters, comparisons.csv by bootstrap: a column that there was not is empty, and the page says whose
    intervals these are."""
    keep_tables_alone(run)
    pd.read_csv(run / "scores.csv").drop(columns="clusters").to_csv(run / "scores.csv", index=False)
    path = run / "tables/comparisons.csv"
    old = pd.read_csv(path, keep_default_na=False).drop(columns="clusters").rename(columns={"over": "redrawn"})
    old.assign(low=-0.25, high=0.125).to_csv(path, index=False)
    before = path.read_bytes()
    run_cli_in_process("report", "small", "--out", "r.pdf", cwd=played_copy)
    assert path.read_bytes() == before
    page = report_text(run)
    for said in ("[-25.0, +12.5]", "are from the bootstrap of that version", "by bootstrap (none below five items a task)"):
        assert said in page
    assert read_csv_rows(run / "tables/leaderboard.csv")[1]["item_stderr"]


@pytest.mark.slow
@pytest.mark.parametrize("run", COMMITTED, ids=lambda run: run.name)
def test_every_committed_run_is_reported_again(run, tmp_path):
    shutil.copytree(run, tmp_path / "results" / run.name)
    run_cli_in_process("report", run.name, "--out", "r.pdf", cwd=tmp_path)
    assert not re.search(r"\bnan\b|\[(nan|–|,)", report_text(tmp_path / "results" / run.name))


@pytest.mark.slow
def test_what_is_not_kept_of_such_a_run_is_named_and_not_invented(played_copy, run):
    collapse = (run / "tables/collapse.csv").read_bytes()
    keep_tables_alone(run)
    for name in ("training.csv", "tables/comparisons.csv", "tables/versions.csv"):
        (run / name).unlink()
    missing = "the checkpoints' responses, the counts of the data, training.csv, tables/comparisons.csv."
    for _ in range(2):
        run_cli_in_process("report", "small", "--out", "r.pdf", cwd=played_copy)
        assert f"Not here, so not shown: {missing}" in report_text(run)
        assert not (run / "training.csv").exists()
        assert (run / "tables/collapse.csv").read_bytes() == collapse
    versions = {r["name"]: r["version"] for r in read_csv_rows(run / "tables/versions.csv")}
    assert versions["torch"] == json.loads((run / "run.json").read_text())["versions"]["torch"]


# ---------------------------------------------------------------- cells of several machines


def split_in_two(played_copy, run):
    """The run as two machines would have it: space as a folder, spin as its small file alone."""
    for name, other in (("a", "spin"), ("b", "space")):
        part = played_copy / name
        shutil.copytree(run, part)
        edit_record("variants", lambda variants, other=other: variants.pop(other))(part)
        shutil.rmtree(part / other)
        shutil.rmtree(part / "facts" / other)
    prune(played_copy / "b", "data", "initial", "spin")
    return played_copy / "a", played_copy / "b"


def test_cells_of_two_machines_make_the_tables_of_one(played_copy, run):
    a, b = split_in_two(played_copy, run)
    expected = {p.name: p.read_bytes() for folder in (run, run / "tables") for p in folder.glob("*.csv")}
    for _ in range(2):
        run_cli_in_process("merge", "both", a, b, cwd=played_copy)
        both = played_copy / "results/both"
        assert {p.name: p.read_bytes() for folder in (both, both / "tables") for p in folder.glob("*.csv")} == expected
    assert (both / "space/seed-0/iteration-1/train/adapter/adapter_model.safetensors").is_file()
    assert not (both / "spin").exists()
    before = {p: p.read_bytes() for p in both.rglob("*") if p.is_file() and p.name not in ("journal.jsonl", ".lease")}
    run_cli_in_process("merge", "both", "small", cwd=played_copy)
    assert (both / "spin/seed-0/iteration-1/train/manifest.json").is_file(), "the folder comes where the small file was"
    assert {p: p.read_bytes() for p in before} == before


def test_what_cells_share_comes_as_folders_where_its_small_file_was(run):
    bare = run.with_name("bare")
    shutil.copytree(run, bare)
    prune(bare)
    plan, _ = plan_merge(RunFolder(bare), run, json.loads((bare / "run.json").read_text()))
    for step in plan.steps:
        step()
    for name in ("data/train.jsonl", "initial/probe/samples.jsonl.gz", "initial/seed-0/adapter/adapter_model.safetensors"):
        assert (bare / name).read_bytes() == (run / name).read_bytes(), name


def test_a_merge_that_was_killed_goes_on(played_copy, run, monkeypatch):
    a, b = split_in_two(played_copy, run)
    copied, copy = [], merging._copy_verified

    def until(source, to):
        copied.append(to)
        if len(copied) == 9:
            (to / "half").mkdir(parents=True)
            raise KeyboardInterrupt
        copy(source, to)

    monkeypatch.setattr(merging, "_copy_verified", until)
    assert run_cli_in_process("merge", "both", a, b, cwd=played_copy, check=False).returncode != 0
    both = played_copy / "results/both"
    assert not (both / "space/seed-0").exists(), "a cell is there whole or not at all"
    monkeypatch.setattr(merging, "_copy_verified", copy)
    run_cli_in_process("merge", "both", a, b, cwd=played_copy)
    assert (both / "scores.csv").read_bytes() == (run / "scores.csv").read_bytes()
    assert not list(both.rglob("*.partial"))


def edit_record(key, change):
    def how(part):
        value = json.loads((part / "run.json").read_text())[key]
        change(value)
        edit_json(part / "run.json", **{key: value})

    return how


def other_output(where, name):
    return lambda part: edit_manifest(part / where / "manifest.json", "outputs", **{name: "0" * 16})


def other_text(path):
    path.write_text(path.read_text().rstrip("\n") + " \n")
    update_manifest_digests(path.parent)


def other_versions(part):
    for path in part.rglob("manifest.json"):
        edit_manifest(path, "versions", torch="1.0")


DIFFERENCES = [
    (edit_record("identity", lambda identity: identity["training"].update(lr=0.5)), "training.lr is 0.5 there"),
    (lambda part: edit_json(part / "run.json", base_digest="x"), "base_digest"),
    (edit_record("suites", lambda suites: suites["two"].update(version="9")), "suite two"),
    (other_versions, "made with torch 1.0 there"),
    (other_output("data", "train.jsonl"), "data: is not the phase"),
    (lambda part: other_text(part / "initial/evaluate/two/items.json"), "outputs items.json"),
    (other_output("space/seed-0/iteration-1/train", "adapter/adapter_model.safetensors"), "iteration-1/train: is not"),
    (lambda part: shutil.rmtree(part / "data") or small_file_path(part, "initial").unlink(), "which data"),
    (lambda part: (part / "failed.json").write_text("[]"), "part/failed.json: damaged"),
]


@pytest.mark.parametrize(("how", "named"), DIFFERENCES)
def test_what_differs_is_named_and_nothing_is_joined(played_copy, run, how, named):
    part = played_copy / "part"
    shutil.copytree(run, part)
    shutil.rmtree(part / "facts/space")
    how(part)
    before = {p: p.read_bytes() for p in run.rglob("*") if p.is_file() and p.name != ".lease"}
    assert named in refused(played_copy, "merge", "small", part)
    assert {p: p.read_bytes() for p in before} == before


def test_seconds_and_step_times_are_no_difference_and_a_damaged_phase_is_not_copied(played_copy, run):
    part = played_copy / "part"
    shutil.copytree(run, part)
    shutil.rmtree(part / "facts")
    other_text(part / "space/seed-0/iteration-1/train/steps.jsonl")
    manifest = json.loads((part / "initial/probe/manifest.json").read_text())
    rewrite_manifest(part / "initial/probe/manifest.json", {**manifest, "seconds": 99.0, "hardware": {"machine": "other"}})
    assert "space/seed-0: already present" in run_cli_in_process("merge", "small", part, cwd=played_copy).stdout
    flip(part / "space/seed-0/iteration-0/train/adapter/adapter_model.safetensors")
    assert "damaged" in refused(played_copy, "merge", "new", part)
    assert not (played_copy / "results/new/space/seed-0").exists()


def test_a_run_is_not_joined_into_itself(played_copy):
    refused(played_copy, "merge", "small", "small")
    (played_copy / "results/empty").mkdir()
    shutil.copy(played_copy / "results/small/run.json", played_copy / "results/empty")
    assert "nothing to merge" in refused(played_copy, "merge", "small", "empty")


def test_a_small_file_with_gzip_of_an_earlier_version_is_read_and_replaced_when_it_is_written_again(run):
    """Its phases are the same; then the trial is written as now, and the earlier file is gone."""
    path = small_file_path(run, CELL)
    summaries, raw = read_small_file(run, CELL), lzma.decompress(path.read_bytes())
    earlier = path.with_name("seed-0.jsonl.gz")
    earlier.write_bytes(gzip.compress(raw))
    path.unlink()
    assert read_small_file(run, CELL) == summaries and CELL in units(run)
    write_small_file(run, CELL, summaries)
    assert lzma.decompress(path.read_bytes()) == raw and not earlier.exists()
