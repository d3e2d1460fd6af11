"""Pruning: what is said is deleted, nothing that a table or report needs; and what can still be done afterwards."""

import contextlib
import json
import shutil

import pytest

from harness.analysis.facts import RunResults
from harness.errors import UserError
from harness.files import walk
from harness.store.finished_phases import FinishedPhases
from harness.store.pruning import plan_pruning, prune
from harness.store.run_folder import RunFolder
from harness.store.small_files import drop_outdated, read_small_file
from tests.conftest import SMALL_RECIPE, run_cli_in_process
from tests.helpers.damage import refused

AGAIN = ("run", "--recipe", SMALL_RECIPE, "--jobs", "1")
TRIALS = ["space/seed-0", "spin/seed-0"]


def snapshot(folder):
    return {path.relative_to(folder): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def num_bytes(folder):
    return sum(path.stat().st_size for path in walk(folder) if path.is_file())


def results_of(run):
    """Everything that tables, figures and explorer read."""
    results = RunResults(run)
    frames = (results.scores, results.training, results.dynamics, results.costs.drop(columns="source"))
    return [frame.to_csv() for frame in frames] + [json.dumps(str(results.item_scores)), sorted(results.held_out_samples)]


def test_without_yes_nothing_changes_and_the_bytes_are_those_that_go(played_copy, run):
    before = snapshot(run)
    done = run_cli_in_process("prune", "small", cwd=played_copy, check=False)
    assert done.returncode == 1 and "nothing deleted; to do it: harness prune small --yes" in done.stdout
    after = snapshot(run)
    assert {path for path in after if after[path] != before.get(path)} <= {
        path for path in before if path.name == "journal.jsonl"
    }
    rows = [
        line.rsplit(maxsplit=1)
        for line in done.stdout.splitlines()
        if line.split() and line.split()[-1].replace(",", "").isdigit()
    ]
    said = {name.strip(): int(size.replace(",", "")) for name, size in rows}
    assert {"adapters and logs of steps", "samples", "raw evaluations", "log-probabilities", "diagnostics' samples"} == set(said)
    size = num_bytes(run)
    run_cli_in_process("prune", "small", "--yes", cwd=played_copy)
    journal = (run / "journal.jsonl").stat().st_size - len(before[(run / "journal.jsonl").relative_to(run)])
    assert size - num_bytes(run) + journal == sum(said.values())


@pytest.mark.parametrize("flags", [(), ("--keep-adapters",)])
def test_tables_and_report_are_made_from_what_is_left_and_the_same_command_has_nothing_to_do(played_copy, run, flags):
    before = results_of(run)
    run_cli_in_process("report", "small", "--out", "one/r.pdf", cwd=played_copy)
    pages = snapshot(played_copy / "one")
    run_cli_in_process("prune", "small", "--yes", *flags, cwd=played_copy)
    assert bool(list(run.rglob("adapter_model.safetensors"))) and bool(list((run / "space").rglob("*.safetensors"))) == bool(
        flags
    )
    assert not list((run / "space").rglob("*.jsonl.gz")) and not (run / "initial/evaluate/two").exists()
    assert results_of(run) == before
    run_cli_in_process("report", "small", "--out", "one/r.pdf", cwd=played_copy)
    assert snapshot(played_copy / "one") == pages
    assert drop_outdated(run) == [], "what was pruned was not deleted to be made again"
    done = run_cli_in_process(*AGAIN, cwd=played_copy)
    assert "plan: 0 phases to do" in done.stdout and not list((run / "space").rglob("*.jsonl.gz"))
    stored = "adapters and small files" if flags else "small files"
    assert f"space/seed-0 ({stored})" in run_cli_in_process("status", "small", cwd=played_copy).stdout
    assert "nothing to delete" in run_cli_in_process("prune", "small", *flags, cwd=played_copy).stdout


def test_other_objectives_are_added_and_what_no_longer_works_is_one_line(played_copy, run):
    run_cli_in_process("prune", "small", "--yes", cwd=played_copy)
    shared = snapshot(run / "initial")
    done = run_cli_in_process(*AGAIN, "--objectives", "sft", "--iters", "1", cwd=played_copy)
    assert "plan: 3 phases to do" in done.stdout
    assert {path: raw for path, raw in snapshot(run / "initial").items() if path in shared} == shared
    assert "of spin/seed-0 only the small files are here" in refused(played_copy, *AGAIN, "--objectives", "spin", "--iters", "3")
    for command in (("push", "small", "spin"), ("sample", "small", "spin", "hello")):
        assert "no adapter, only the small files of spin/seed-0 are here (it was pruned" in refused(played_copy, *command)
    example = json.loads((run / "data/train.jsonl").read_text().splitlines()[0])["id"]
    said = run_cli_in_process("trace", "small", example, cwd=played_copy).stdout
    assert "initial/seed-0/generate/k-0/samples.jsonl.gz" in said
    assert "not here: spin/seed-0: its samples" in said


@pytest.mark.slow
def test_a_run_whose_adapters_were_kept_goes_on_to_the_same_numbers(played, played_copy, run, tmp_path):
    """The samples and scores that the next iteration reads are made again, and are those that were deleted."""
    shutil.copytree(played, tmp_path / "whole")
    for folder, pruned in ((tmp_path / "whole", False), (played_copy, True)):
        if pruned:
            run_cli_in_process("prune", "small", "--yes", "--keep-adapters", cwd=folder)
        run_cli_in_process(*AGAIN, "--iters", "3", cwd=folder)
    assert (run / "scores.csv").read_bytes() == (tmp_path / "whole/results/small/scores.csv").read_bytes()
    weights = "spin/seed-0/iteration-2/train/adapter/adapter_model.safetensors"
    assert (run / weights).read_bytes() == (tmp_path / "whole/results/small" / weights).read_bytes()


def test_a_trial_that_is_not_finished_stays_whole_with_the_attempt_it_goes_on_from(played_copy, run):
    shutil.rmtree(run / "spin/seed-0/iteration-1/probe")
    partial = run / "spin/seed-0/iteration-1/probe.partial/unfinished"
    partial.mkdir(parents=True)
    (partial / "begun.json").write_text("{}")
    for name in ("space/seed-0/iteration-1/train.partial", "spin/seed-0/iteration-0/train.abandoned"):
        (run / name).mkdir()
        (run / name / "half").write_text("x" * 1000)
    before = snapshot(run / "spin/seed-0/iteration-1")
    done = run_cli_in_process("prune", "small", "--yes", cwd=played_copy)
    assert "kept: spin/seed-0: not finished" in done.stdout and "half-written attempts" in done.stdout
    assert snapshot(run / "spin/seed-0/iteration-1") == before
    assert not (run / "space").exists() and not list(run.rglob("*.abandoned"))


def test_nothing_is_deleted_where_the_small_files_are_not_true_of_it(played_copy, run):
    """A file that the views read is damaged: the small file cannot be verified against it."""
    path = run / "spin/seed-0/iteration-1/evaluate/two/items.json"
    path.write_bytes(path.read_bytes()[:-3])
    before = snapshot(run / "space")
    assert "items.json: damaged" in refused(played_copy, "prune", "small", "--yes")
    assert snapshot(run / "space") == before


@pytest.mark.parametrize("keep", [False, True])
def test_a_kill_at_any_moment_loses_no_phase(run, monkeypatch, keep):
    """Stopped after any number of deletions, every phase is finished still, from its folder or from the small files."""
    finished = FinishedPhases(run).phases()
    expected = {trial: set(read_small_file(run, trial)) for trial in TRIALS}
    rmtree, calls = shutil.rmtree, []

    def stop(*arguments, **named):
        calls.append(arguments)
        if len(calls) % 3 == 2:
            raise KeyboardInterrupt
        rmtree(*arguments, **named)

    monkeypatch.setattr("harness.store.pruning.shutil.rmtree", stop)
    for _ in range(100):
        plan = plan_pruning(RunFolder(run), [t for t in TRIALS if (run / t).exists()], [], keep)
        if not plan.total_bytes:
            break
        with contextlib.suppress(KeyboardInterrupt):
            prune(RunFolder(run), plan)
        assert FinishedPhases(run).phases() == finished
        drop_outdated(run)
        assert {trial: set(read_small_file(run, trial)) for trial in TRIALS} == expected
    assert len(calls) > 3 and not list(run.rglob("*.abandoned"))


def test_a_list_of_pruned_phases_that_is_none_is_named(run):
    for content in ("{}", '["spin/seed-0/iteration-0/probe"]', '["../x"]'):
        (run / "facts/space/seed-0.pruned.json").write_text(content)
        with pytest.raises(UserError, match=r"seed-0\.pruned\.json: damaged"):
            FinishedPhases(run).phases()
