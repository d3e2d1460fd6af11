"""Command `prune`: delete what no table and no report of a run needs, after saying what that is."""

from __future__ import annotations

from pathlib import Path

from harness.commands.console import console, echo, make_table, print_note
from harness.commands.plan import format_bytes
from harness.errors import UserError
from harness.planning.run_status import run_status
from harness.store.opening import open_run
from harness.store.pruning import PrunePlan, plan_pruning, prune, trials_here
from harness.store.run_folder import RunFolder
from harness.store.untrusted import explain_malformed


def prune_command(run: str, results: Path, yes: bool, keep_adapters: bool) -> int:
    """Say what is deleted and, with `yes`, delete it; returns the exit code, 1 where something is left to confirm."""
    run_folder = open_run(run, results)
    root = run_folder.root
    with run_folder.lock(echo), explain_malformed(root):
        status = run_status(run_folder)
        if status.damage:
            raise status.damage[0]
        here = set(trials_here(run_folder))
        finished = [trial.name for trial in status.trials if trial.name in here and not trial.num_missing]
        unfinished = [trial.name for trial in status.trials if trial.name in here and trial.num_missing]
        plan = plan_pruning(run_folder, finished, unfinished, keep_adapters)
        if not plan.total_bytes:
            echo(f"{root}: nothing to delete")
            for line in plan.kept:
                echo(f"kept: {line}")
            return 0
        _print_plan(run_folder, plan, status.bytes, keep_adapters, yes)
        if not yes:
            flags = " --keep-adapters" if keep_adapters else ""
            echo(f"nothing deleted; to do it: harness prune {root.name}{flags} --yes")
            return 1
        try:
            prune(run_folder, plan)
        except OSError as error:
            raise UserError(f"{root}: not all deleted ({error}); nothing that counts is lost, repeat the command") from error
    echo(f"deleted: {format_bytes(plan.total_bytes)}")
    return 0


def _print_plan(run: RunFolder, plan: PrunePlan, total: int, keep_adapters: bool, yes: bool) -> None:
    verb = "deletes" if yes else "would delete"
    echo(f"{run.root}: prune {verb} {format_bytes(plan.total_bytes)} of {format_bytes(total)}")
    table = make_table("", ("what", "bytes"), right=("bytes",))
    for kind, size in plan.bytes_by_kind.items():
        table.add_row(kind, f"{size:,}")
    console.print(table)
    for line in plan.kept:
        echo(f"kept: {line}")
    print_note(
        "kept: tables, figures, report and the small files they are made from (facts/), the data, and what other objectives and "
        "seeds begin with" + (", the trained adapters" if keep_adapters else "")
    )
    if keep_adapters:
        print_note("after it: more iterations draw and score the earlier samples again; trace shows no samples of these trials")
    else:
        print_note(
            "after it: no more iterations, no push and no sample of these trials (see --keep-adapters); trace shows what is left"
        )
