"""Commands that look at runs on disk: report, status, trace."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.table import Table

from harness.commands.console import out, say
from harness.errors import DamagedError, OtherFormatError, UserError, did_you_mean, unexpected_line
from harness.settings.paths import opened
from harness.store.finished_phases import Played
from harness.store.output_folders import check_report
from harness.store.run_folder import RunFolder
from harness.store.untrusted import look_over, reading


def open_run(run: str, results: Path) -> RunFolder:
    """A run by name below `results`, or by folder, looked over as a stranger's. Raises UserError with the nearest name."""
    if not run.strip():
        raise UserError(f"the run's name is empty; expected the name of a run in {results}, or its folder")
    for candidate in (results / run, opened(run)):
        if (candidate / "run.json").is_file():
            look_over(candidate)
            return RunFolder(candidate if candidate.name not in ("", "..") else candidate.resolve())
        if (candidate / "run.json").is_dir():
            look_over(candidate)  # which says so
    known = [p.parent.name for p in results.glob("*/run.json")]
    raise UserError(f'no run "{run}" in {results}{did_you_mean(run, known)}')


def report_command(run: str, results: Path, pdf: Path | None) -> None:
    folder = open_run(run, results)
    pdf = pdf or Path("reports") / f"{folder.name}.pdf"
    check_report(pdf, "--out", folder.root)
    with folder.locked(say), reading(folder.root):
        from harness.commands.run import finish

        for label, path in finish(folder, pdf).items():
            say(f"{label:<8}{path}")


def status_command(run: str | None, results: Path) -> None:
    """A grid per run: cells down, iterations across, one letter per phase.

    Raises UserError, when all has been shown, for the first run that cannot be, or a manifest that is not what was written; the
    other files of a phase are not read.
    """
    if results.exists() and not results.is_dir():
        raise UserError(f"--results {results}: is a file, not a folder; name the folder that holds the run folders")
    names = [run] if run else sorted(p.parent.name for p in results.glob("*/run.json"))
    if not names:
        say(f"no runs in {results}; start one with: harness run")
    refused: list[UserError] = []
    for name in names:
        try:
            folder = open_run(name, results)
            with reading(folder.root):
                _print_status(folder)
        except UserError as error:
            refused.append(error)  # of the others something can be said
        except OSError as error:
            if (line := unexpected_line(error)) is None:
                raise
            refused.append(UserError(line))
    if refused:
        raise refused[0]


PHASES = (("g", "generate"), ("s", "score"), ("t", "train"), ("e", "evaluate"), ("p", "probe"))


def _print_status(run: RunFolder) -> None:
    record = run.record()
    assert record is not None
    suite = record["suite"]
    table = Table(title=f"{run.root}", title_justify="left", box=None, pad_edge=False)
    table.add_column("cell")
    for t in range(record["iterations"]):
        table.add_column(f"iter {t}")
    missing = small = 0
    damaged: list[UserError] = []
    played = Played(run.root)
    for label, variant in record["variants"].items():
        for seed in record["seeds"]:
            cells = []
            for t in range(record["iterations"]):
                needs = variant["needs"][min(t, len(variant["needs"]) - 1)]
                wanted = {"g": needs["synthetic"], "s": needs["reference"], "t": 1, "e": 1, "p": 1}
                letters = ""
                for letter, phase in PHASES:
                    if not wanted[letter]:
                        letters += " "
                        continue
                    folder = f"{label}/seed-{seed}/iteration-{t}/{phase}"
                    try:
                        complete = played.manifest(f"{folder}/{suite}" if phase == "evaluate" else folder) is not None
                    except (DamagedError, OtherFormatError) as error:
                        damaged.append(error)
                        letters += "!"
                        continue
                    missing += not complete
                    letters += letter if complete else "·"
                cells.append(letters)
            only = played.small_only(f"{label}/seed-{seed}")
            small += only
            table.add_row(f"{label}/seed-{seed}" + (" (small files)" if only else ""), *cells)
    out.print(table)
    legend = ", ".join(f"{letter} {phase}" for letter, phase in PHASES)
    said = f"{missing} phases" if missing else "none" + ("" if damaged else ", complete")
    say(f"{legend}; · not done: {said}" + (f"; ! damaged: {len(damaged)}" if damaged else "") + "\n")
    if small:
        say(f"small files: of {small} cell(s) there is no adapter here, so they can be neither extended nor pushed\n")
    if damaged:
        raise damaged[0]


def trace_command(run: str, example_id: str, results: Path) -> None:
    """Every place an example appears in, file by file; of a run that the run command would refuse, nothing."""
    folder = open_run(run, results)
    with reading(folder.root):
        refuse_damaged(folder, folder.phases())
        _trace(folder.root, folder.phases(), example_id)


def refuse_damaged(run: RunFolder, phases: Sequence[str]) -> None:
    """Raises UserError where a file of these phases is not what was committed, or an objective's copy not what was played."""
    from harness.discovery.copies import refuse_damaged_copies

    run.check(phases, recompute=False)
    refuse_damaged_copies(run.root, (run.record() or {})["variants"])


def _trace(folder: Path, phases: Sequence[str], example_id: str) -> None:
    if "data" not in phases:
        raise UserError(
            f"{folder}: holds no examples (small files or tables alone, or its data is not finished); follow {example_id} on the "
            "machine that played it, or make them with the run's command"
        )
    ids = set()
    for part in ("train", "heldout"):
        for row in _rows(folder / "data" / f"{part}.jsonl"):
            if row["id"].startswith(example_id):
                ids.add(row["id"])
                say(f"data/{part}.jsonl  {row['id']}\n  prompt   {row['prompt']!r}\n  real     {row['real']!r}")
    if len(ids) != 1:
        found = f"{len(ids)} examples" if ids else "no example"
        raise UserError(f"{example_id}: {found} of {folder} begin so; take an id from {folder / 'data' / 'train.jsonl'}")
    (wanted,) = ids
    for path in sorted(path for phase in phases for path in (folder / phase).rglob("*.jsonl")):
        relative = path.relative_to(folder).as_posix()
        if path.name == "steps.jsonl":
            used = [r for r in _rows(path) if wanted in r["example_ids"]]
            for row in used:
                of = len(row["example_ids"])
                pairs = zip(row["example_ids"], row.get("example_iterations", []), strict=False)  # runs made before had none
                drawn = "".join(f", its pair of iteration {iteration}" for id_, iteration in pairs if id_ == wanted)
                say(f"{relative}  step {row['step']} (epoch {row['epoch']}) of {of} prompts, loss {row['loss']:.4f}{drawn}")
        elif path.name in ("samples.jsonl", "scores.jsonl"):
            for row in _rows(path):
                if row["example_id"] != wanted:
                    continue
                if "reference_logp" in row:
                    which = f"{row['role']} {row['iteration']}.{row['index']}"
                    text = f"{which}  log-prob {row['reference_logp']:.3f} nats, {row['length']} tokens"
                else:
                    text = f"{row['text']!r}" + ("" if row["finished"] else "  (cut off)")
                say(f"{relative}  {text}")


def _rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
