"""Command `fetch`: what a run needs of the hub, into a folder that a machine without a network runs from; and its check."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.commands.console import say
from harness.commands.run import requested
from harness.errors import UserError
from harness.sources.confinement import leading_out
from harness.sources.mirror import FILE, Wanted, check_revision, faults, folders_in, found_in, place, read_manifest
from harness.store.output_folders import check_outside


def fetch_command(passed: Mapping[str, Any], to: Path, check: bool) -> int:
    """Fetch, or check what was fetched; returns the exit code, 1 when the check finds something."""
    if check:
        return _check(passed, to)
    check_outside(to, "--to")
    from harness.progress import Reporter
    from harness.sources.fetch import fetch

    wanted = _wanted(passed, to)
    if not wanted:
        say("nothing of it comes from the hub: it runs without a mirror")
        return 0
    fetch(wanted, to, Reporter())
    say(f"complete: {to}; on a machine without a network: harness run ... --mirror {to}")
    return 0


def _wanted(passed: Mapping[str, Any], to: Path) -> list[Wanted]:
    from harness.language.benchmark.lm_eval_benchmark import manager_of, task_files
    from harness.language.benchmark.suite_check import needs_of
    from harness.language.hub_items import wanted_by_run
    from harness.loop.suite import load_suite

    config = requested(passed)
    suite = load_suite(config.evaluation.suite)
    needs = needs_of(suite, task_files(manager_of(suite))) if suite.judge is None else []  # its rows are no tasks of lm-eval's
    for problem in (line for row in needs for line in row.problems):
        raise UserError(problem)
    return wanted_by_run(config, suite, needs, to)


def _check(passed: Mapping[str, Any], to: Path) -> int:
    """Every checksum of the mirror, and that nothing in it leads out of its folder; with a recipe or anything else asked for,
    also that all of it is there.
    """
    entered = [to / place(entry.kind, entry.id) for entry in read_manifest(to).entries if entry.kind != "nltk"]
    folders = dict.fromkeys([*(folder for folder in entered if folder.exists()), *folders_in(to)])
    outside = list(dict.fromkeys(line for folder in folders for line in leading_out(folder, to)))
    if not (to / FILE).is_file() and not outside:
        raise UserError(f"--to {to}: no {FILE} there; fetch into it first, or check the folder that was fetched into")
    manifest = read_manifest(to)
    problems = list(outside)
    for entry in manifest.entries:
        found = list(faults(to, entry, thorough=True))
        problems += found
        said = f", {len(found)} of them missing or damaged" if found else ""
        say(f"{entry.kind:<8}{entry.id}: {len(entry.files)} files{said}")
    for wanted in _wanted(passed, to) if passed else []:
        entry = manifest.entry(wanted.kind, wanted.id)
        try:
            if entry is None:
                found_in(to, wanted)
            else:
                check_revision(to, entry, wanted)
        except UserError as error:
            if not any(line in str(error) for line in outside):
                problems.append(str(error))
    for problem in problems:
        say(f"PROBLEM  {problem}")
    if not problems:
        say("every file is there and intact, and nothing leads out of its folder")
    elif len(problems) > len(outside):
        say(f"mend it where there is a hub: harness fetch ... --to {to}")
    return 1 if problems else 0
