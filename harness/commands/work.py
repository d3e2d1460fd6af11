"""Carry out the plan of a run: lock it, prepare it, show and log its work. Loads torch, which the commands wait with."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from contextlib import closing
from functools import partial
from pathlib import Path

from harness import __version__
from harness.commands.plan import find_plan
from harness.commands.track import log_to_trackers
from harness.errors import UserError, error_line
from harness.launch import workers
from harness.planning.planned_work import finished_work, planned_work
from harness.planning.prepare import prepare_run, write_failed_trials
from harness.planning.request import RunRequest
from harness.progress.log_file import LogFile
from harness.progress.planned import RunProgress
from harness.progress.screen import Screen
from harness.reporting.live_score import checkpoint_score
from harness.reporting.tables import refresh
from harness.security.redact import redact_command
from harness.store.output_folders import remove_empty
from harness.store.run_folder import RunFolder
from harness.store.untrusted import make_way


def carry_out(request: RunRequest, run: RunFolder, screen: Screen, num_workers: int) -> dict[str, str]:
    """Run what is to do; returns the errors of failed trials, by name. A request that fails leaves nothing behind."""
    new_folders = [folder for folder in (run.root, *run.root.parents) if not folder.exists()]
    with run.lock(screen.show_line), closing(screen):
        try:
            return _run_locked(request, run, screen, num_workers)
        except BaseException as error:
            workers.stop_server()
            if screen.log is not None:
                screen.log.write(f"ended: {error_line(error)}")
            if isinstance(error, (UserError, OSError)) and new_folders and not (run.root / "data").exists():
                remove_empty(new_folders)
            raise


def _run_locked(request: RunRequest, run: RunFolder, screen: Screen, num_workers: int) -> dict[str, str]:
    run.show_line = screen.show_line
    make_way(run, [variant.label for variant in request.variants], request.config.recompute)
    screen.log = LogFile(run.root)
    screen.log.write(f"harness {__version__}: {shlex.join(redact_command(['harness', *sys.argv[1:]]))}")
    workers.warm_up(num_workers)
    loop = prepare_run(request, run, screen)
    loop.write_tables = partial(_write_live_views, run, request.config.report_to)
    screen.score_of = partial(checkpoint_score, run.root)
    plan = find_plan(request, run)  # anew: what is damaged may have been set aside
    progress = RunProgress(planned_work(loop, plan.to_do), finished_work(loop, plan.done), num_workers)
    with screen.show(progress):
        failed = workers.run_trials(request, loop, num_workers)
    write_failed_trials(run, failed)
    if problem := log_to_trackers(run, request.config.report_to, screen.show_line):
        failed["--report-to"] = problem
    return failed


def _write_live_views(run: RunFolder, trackers: Sequence[str], root: Path) -> None:
    """What is looked at while the run goes on: the tables that are written fast, and the trackers."""
    refresh(root, everything=False)
    if problem := log_to_trackers(run, trackers, run.show_line, live=True):
        run.notify(f"WARNING {problem}")
