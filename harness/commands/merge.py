"""Command `merge`: trials that were run on several machines become one run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from harness.commands.console import echo
from harness.errors import UserError
from harness.store.run_folder import RunFolder


def merge_command(name: str, folders: Sequence[str], results: Path) -> None:
    """Join the runs `folders` into the run `name`, which is created if it does not exist."""
    from harness.commands.run import check_merge_folders, named_run
    from harness.store.merging import copy_extra_files, plan_merge
    from harness.store.opening import as_argument, open_run
    from harness.store.output_folders import remove_empty
    from harness.store.small_files import update_all_small_files
    from harness.store.untrusted import explain_malformed, make_way, validate_run_folder

    run = named_run(name, results)
    sources = [open_run(folder, results).root for folder in folders]
    for source in sources:
        if source.resolve() == run.root.resolve():
            raise UserError(f"{source}: is the target run itself; name only the other folders")
    check_merge_folders(run, results)
    new_folders = [folder for folder in (run.root, *run.root.parents) if not folder.exists()]
    if run.root.exists():
        validate_run_folder(run.root)
    from harness.reporting.tables import refresh  # pandas takes a second to load; a wrong name is found by now

    with run.lock(echo):
        run.show_line = echo
        make_way(run)
        record: dict[str, Any] | None = run.record()
        try:
            for index, source in enumerate(sources):  # compare every pair before anything is copied
                with explain_malformed(source):
                    for other in (run, *map(RunFolder, sources[:index])):
                        plan_merge(other, source, other.record())
            for index, source in enumerate(sources):
                with explain_malformed(source):
                    plan, record = plan_merge(run, source, record)
                    for step in plan.steps:
                        step()
                    copy_extra_files(run, source, record)
                run.write_record(record)
                run.journal("merged", source=str(source), number=index)
                for line in plan.messages:
                    echo(f"{source}  {line}")
        finally:
            if new_folders and record is None:
                remove_empty(new_folders)
        update_all_small_files(run.root)
        refresh(run.root)
    echo(f"tables  {run.root / 'tables' / 'leaderboard.md'}\nits report: harness report {as_argument(run.root)}")
