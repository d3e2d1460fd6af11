"""Commands that inspect run folders: report, status, trace."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from rich.table import Table

from harness.commands.console import console, echo
from harness.errors import DamagedError, OtherFormatError, UserError, unexpected_error_line
from harness.store.finished_phases import FinishedPhases
from harness.store.opening import open_run
from harness.store.output_folders import check_report
from harness.store.run_folder import RunFolder
from harness.store.untrusted import explain_malformed


def report_command(run: str, results: Path, pdf: Path | None) -> None:
    run_folder = open_run(run, results)
    pdf = pdf or Path("reports") / f"{run_folder.name}.pdf"
    check_report(pdf, "--out", run_folder.root)
    with run_folder.lock(echo), explain_malformed(run_folder.root):
        from harness.commands.run import write_views

        for label, path in write_views(run_folder, pdf).items():
            echo(f"{label:<8}{path}")


def status_command(run: str | None, results: Path) -> None:
    """A grid per run: trials down, iterations across, one letter per phase.

    Raises UserError, after all is shown, for the first run that cannot be, or the first damaged manifest; other files of a phase
    are not read.
    """
    if results.exists() and not results.is_dir():
        raise UserError(f"--results {results}: is a file, not a folder; name the folder that holds the run folders")
    names = [run] if run else sorted(p.parent.name for p in results.glob("*/run.json"))
    if not names:
        echo(f"no runs in {results}; start one with: harness run")
    errors: list[UserError] = []
    for name in names:
        try:
            run_folder = open_run(name, results)
            with explain_malformed(run_folder.root):
                _print_status(run_folder)
        except UserError as error:
            errors.append(error)  # the other runs can still be shown
        except OSError as error:
            if (line := unexpected_error_line(error)) is None:
                raise
            errors.append(UserError(line))
    if errors:
        raise errors[0]


def _print_status(run: RunFolder) -> None:
    from harness.loop.plan import PHASES

    record = run.record()
    assert record is not None
    suite = record["suite"]
    table = Table(title=f"{run.root}", title_justify="left", box=None, pad_edge=False)
    table.add_column("trial")
    for t in range(record["iterations"]):
        table.add_column(f"iter {t}")
    num_missing = num_small_only = 0
    damage_errors: list[UserError] = []
    finished_phases = FinishedPhases(run.root)
    phases = [phase for phase in PHASES if phase.letter]
    for label, variant in record["variants"].items():
        for seed in record["seeds"]:
            columns = []
            for t in range(record["iterations"]):
                needs: Any = SimpleNamespace(**variant["needs"][min(t, len(variant["needs"]) - 1)])
                letters = ""
                for phase in phases:
                    if not phase.is_needed(needs):
                        letters += " "
                        continue
                    phase_folder = f"{label}/seed-{seed}/iteration-{t}/{phase.path_in_iteration(suite)}"
                    try:
                        complete = finished_phases.manifest(phase_folder) is not None
                    except (DamagedError, OtherFormatError) as error:
                        damage_errors.append(error)
                        letters += "!"
                        continue
                    num_missing += not complete
                    letters += phase.letter if complete else "·"
                columns.append(letters)
            small_only = finished_phases.only_small_file(f"{label}/seed-{seed}")
            num_small_only += small_only
            table.add_row(f"{label}/seed-{seed}" + (" (small files)" if small_only else ""), *columns)
    console.print(table)
    legend = ", ".join(f"{phase.letter} {phase.title or phase.kind}" for phase in phases)
    missing_text = f"{num_missing} phases" if num_missing else "none" + ("" if damage_errors else ", complete")
    echo(f"{legend}; · not done: {missing_text}" + (f"; ! damaged: {len(damage_errors)}" if damage_errors else "") + "\n")
    if num_small_only:
        echo(f"small files: {num_small_only} trial(s) have no adapter here, so they can be neither extended nor pushed\n")
    if damage_errors:
        raise damage_errors[0]


def trace_command(run: str, example_id: str, results: Path) -> None:
    """Print every use of an example, file by file. Raises UserError first where the run is damaged."""
    run_folder = open_run(run, results)
    with explain_malformed(run_folder.root):
        check_undamaged(run_folder, run_folder.phases())
        _trace(run_folder.root, run_folder.phases(), example_id)


def check_undamaged(run: RunFolder, phases: Sequence[str]) -> None:
    """Raises UserError where a file of these phases, or the run's copy of an objective, is not what was committed."""
    from harness.discovery.copies import check_copies

    run.verify_phases(phases, recompute=False)
    check_copies(run.root, (run.record() or {})["variants"])


def _trace(root: Path, phases: Sequence[str], example_id: str) -> None:
    if "data" not in phases:
        raise UserError(
            f"{root}: holds no examples (small files or tables alone, or its data is not finished); trace {example_id} on the "
            "machine that ran it, or repeat the run's command to make them"
        )
    ids = set()
    for split in ("train", "heldout"):
        for row in _read_jsonl(root / "data" / f"{split}.jsonl"):
            if row["id"].startswith(example_id):
                ids.add(row["id"])
                echo(f"data/{split}.jsonl  {row['id']}\n  prompt   {row['prompt']!r}\n  real     {row['real']!r}")
    if len(ids) != 1:
        match_text = f"{len(ids)} examples" if ids else "no example"
        raise UserError(f"{example_id}: {match_text} of {root} match; take an id from {root / 'data' / 'train.jsonl'}")
    (full_id,) = ids
    for path in sorted(path for phase in phases for path in (root / phase).rglob("*.jsonl")):
        relative = path.relative_to(root).as_posix()
        if path.name == "steps.jsonl":
            steps = [r for r in _read_jsonl(path) if full_id in r["example_ids"]]
            for row in steps:
                num_prompts = len(row["example_ids"])
                pairs = zip(row["example_ids"], row.get("example_iterations", []), strict=False)  # absent in old runs
                iteration_text = "".join(f", with the samples of iteration {t}" for id_, t in pairs if id_ == full_id)
                echo(
                    f"{relative}  step {row['step']} (epoch {row['epoch']}) of {num_prompts} prompts, loss "
                    f"{row['loss']:.4f}{iteration_text}"
                )
        elif path.name in ("samples.jsonl", "scores.jsonl"):
            for row in _read_jsonl(path):
                if row["example_id"] != full_id:
                    continue
                if "reference_logp" in row:
                    response_name = f"{row['role']} {row['iteration']}.{row['index']}"
                    text = f"{response_name}  log-prob {row['reference_logp']:.3f} nats, {row['length']} tokens"
                else:
                    text = f"{row['text']!r}" + ("" if row["finished"] else "  (cut off)")
                echo(f"{relative}  {text}")


def _read_jsonl(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
