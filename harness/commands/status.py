"""Command `status`: one line a run, or one run in detail; as text or as JSON."""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from harness.commands.console import console, echo, make_table, print_json, print_note
from harness.commands.plan import format_bytes
from harness.errors import UserError, unexpected_error_line
from harness.planning.run_status import ADAPTERS, MeanScore, RunStatus, TrialStatus, run_status
from harness.records import INITIAL
from harness.store.opening import as_argument, open_run, run_names
from harness.store.run_folder import RunFolder
from harness.store.untrusted import explain_malformed

LIST_NOTE = (
    "best: the highest mean over tasks of an objective at an iteration, in percent; last: the same objective's at its last. "
    "Over seeds, from tables/leaderboard.csv; errors and n: harness status RUN"
)
SMALL_NOTE = (
    "small files: finished; of some trials no weights are here, so they can be reported and compared, not extended, pushed or "
    "sampled from"
)


def status_command(runs: Sequence[str], results: Path, as_json: bool = False) -> None:
    """Without runs a line for each in `results`; with runs each in detail.

    Raises UserError, after all is shown, for the first run that cannot be, or the first damaged manifest; other files of a phase
    are not read.
    """
    if results.exists() and not results.is_dir():
        raise UserError(f"--results {results}: is a file, not a folder; name the folder that holds the run folders")
    names = list(runs) or run_names(results)
    statuses: list[tuple[RunFolder, RunStatus]] = []
    errors: list[UserError] = []
    for name in names:
        try:
            run_folder = open_run(name, results)
            with explain_malformed(run_folder.root):
                statuses.append((run_folder, run_status(run_folder)))
        except UserError as error:
            errors.append(error)  # the other runs can still be shown
        except OSError as error:
            if (line := unexpected_error_line(error)) is None:
                raise
            errors.append(UserError(line))
    if as_json:
        print_json({"runs": [status_document(status) for _, status in statuses], "errors": [str(error) for error in errors]})
    elif runs:
        for run_folder, status in statuses:
            _print_details(run_folder, status)
    else:
        _print_list([status for _, status in statuses], results, bool(names))
    errors += [error for _, status in statuses for error in status.damage[:1]]
    if errors:
        raise errors[0]


def status_document(status: RunStatus) -> dict[str, Any]:
    """One run of `harness status --json`; its keys and types are in docs/runs.md."""
    best = status.best_and_last()
    fields = dataclasses.asdict(dataclasses.replace(status, damage=[]))
    del fields["running"]
    return fields | {
        "state": status.state,
        "phases_missing": status.num_missing,
        "damage": [str(error) for error in status.damage],
        "best": {"objective": best[0], **dataclasses.asdict(best[1])} if best else None,
        "last": {"objective": best[0], **dataclasses.asdict(best[2])} if best else None,
    }


# ---------------------------------------------------------------- one line a run


def _print_list(statuses: Sequence[RunStatus], results: Path, any_run: bool) -> None:
    if not any_run:
        echo(f"no runs in {results}; start one with: harness run")
    if not statuses:
        return
    rows = [_list_row(status, ", ".join(status.objectives)) for status in statuses]  # their number alone where that is too wide
    header = ("run", "objectives", "seeds\nx iters", "best", "last", "state", "size", "changed")
    if _width(header, rows) > console.width:
        rows = [_list_row(status, str(len(status.objectives))) for status in statuses]
    table = make_table("", header, right=("best", "last", "size"))
    for column in table.columns:
        column.no_wrap = True  # a name too long for the screen makes a longer line, not half a name
    for row in rows:
        table.add_row(*row)
    console.print(table, width=max(console.width, _width(header, rows)), crop=False, soft_wrap=True)
    if any(status.best_and_last() for status in statuses):
        print_note(f"\n{LIST_NOTE}")
    if any(_state_word(status) == "small files" for status in statuses):
        print_note(SMALL_NOTE)
    for status in statuses:
        if status.failed:
            more = f"harness status {as_argument(Path(status.path))}"
            echo(f"{status.name}: {len(status.failed)} failed; why, and what next: {more}")


def _list_row(status: RunStatus, objectives: str) -> tuple[str, ...]:
    best = status.best_and_last()
    means = [f"{100 * score.mean:.1f}" for score in best[1:]] if best else ["–", "–"]
    sizes = f"{len(status.seeds)} x {status.iterations}"
    return (status.name, objectives, sizes, *means, _state_word(status), format_bytes(status.bytes), status.date[:10])


def _state_word(status: RunStatus) -> str:
    if status.state == "unfinished":
        return f"{status.num_missing} to do"
    if status.state == "failed":
        return f"{len(status.failed)} failed"
    return "small files" if status.state == "finished" and status.small_only else status.state


def _width(header: Sequence[str], rows: Sequence[Sequence[str]]) -> int:
    columns = zip(*(header, *rows), strict=True)
    return sum(max(len(line) for text in column for line in text.split("\n")) for column in columns) + 2 * (len(header) - 1)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


# ---------------------------------------------------------------- one run


def _print_details(run: RunFolder, status: RunStatus) -> None:
    from harness.loop.plan import PHASES

    what = f"{_count(len(status.objectives), 'objective')}, {_count(len(status.seeds), 'seed')}, "
    what += f"{_count(status.iterations, 'iteration')}, suite {status.suite}"
    print_note(f"{run.root}: {status.state}; {what}; {format_bytes(status.bytes)}, last changed {status.date.replace('T', ' ')}")
    table = make_table("", ("trial", *(f"iter {t}" for t in range(status.iterations))))
    for trial in status.trials:
        stored = "" if trial.stored not in (ADAPTERS, "small files") else f" ({trial.stored})"
        table.add_row(trial.name + stored + (" FAILED" if trial.error is not None else ""), *trial.phases)
    console.print(table)
    legend = ", ".join(f"{phase.letter} {phase.title or phase.kind}" for phase in PHASES if phase.letter)
    missing_text = f"{status.num_missing} phases" if status.num_missing else "none" + ("" if status.damage else ", complete")
    echo(f"{legend}; · not done: {missing_text}" + (f"; ! damaged: {len(status.damage)}" if status.damage else ""))
    _print_scores(status)
    _print_next(run, status)
    echo("")


def _print_scores(status: RunStatus) -> None:
    if not any(status.scores.values()):
        return
    columns = ("mean over tasks, %", "seeds", "first", "best", "at", "last")
    table = make_table("", columns, right=columns[1:])
    for name, scores in status.scores.items():
        if name == INITIAL:
            table.add_row("initial policy", "", _mean_text(scores[0]), "", "", "")
            continue
        best = max(scores, key=lambda score: score.mean)
        seeds = "" if best.seeds is None else str(best.seeds)
        table.add_row(name, seeds, *(_mean_text(s) for s in (scores[0], best)), str(best.iteration), _mean_text(scores[-1]))
    console.print(table)
    print_note("±: standard error of sampling test items, not of seeds; from tables/leaderboard.csv")


def _mean_text(score: MeanScore) -> str:
    error = "" if score.item_stderr is None else f" ± {100 * score.item_stderr:.1f}"
    return f"{100 * score.mean:.1f}{error}"


def _print_next(run: RunFolder, status: RunStatus) -> None:
    """What is wrong or left, and the command for it."""
    command = (run.record() or {}).get("command") or []
    again = shlex.join(map(str, command))
    for trial in status.failed:
        echo(f"failed: {trial.name}: {trial.error}")
    if status.failed:
        echo(f"the other trials are kept; once the cause is mended: {again}")
    elif status.num_missing and not status.running:
        echo(f"to go on: {again}")
    small: list[TrialStatus] = status.small_only
    if small:
        print_note(
            f"finished, small files only: {_count(len(small), 'trial')} without an adapter here, so reported and compared, "
            "neither extended nor pushed nor sampled from"
        )
