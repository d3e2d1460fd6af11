"""The merge command: cells that were played on several machines become one run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from harness.commands.console import say
from harness.errors import UserError
from harness.store.run_folder import RunFolder


def merge_command(name: str, folders: Sequence[str], results: Path) -> None:
    """Join the runs `folders` into the run `name`, which is made where there is none yet."""
    from harness.commands.inspect import open_run
    from harness.commands.run import check_folder, named_run, remove_empty
    from harness.reporting.tables import refresh
    from harness.store.merging import bring_beside, joined
    from harness.store.small_files import keep_all
    from harness.store.untrusted import look_over, make_way, reading

    run = named_run(name, results)
    sources = [open_run(folder, results).root for folder in folders]
    for source in sources:
        if source.resolve() == run.root.resolve():
            raise UserError(f"{source}: is the run that is joined into; name the other folders")
    check_folder(run, results)
    made = [folder for folder in (run.root, *run.root.parents) if not folder.exists()]
    if run.root.exists():
        look_over(run.root)
    with run.locked(say):
        run.say = say
        make_way(run)
        record: dict[str, Any] | None = run.record()
        try:
            for number, source in enumerate(sources):  # every two are compared before the first is copied
                with reading(source):
                    for other in (run, *map(RunFolder, sources[:number])):
                        joined(other, source, other.record())
            for number, source in enumerate(sources):
                with reading(source):
                    plan, record = joined(run, source, record)
                    for step in plan.steps:
                        step()
                    bring_beside(run, source, record)
                run.write_record(record)
                run.journal("merged", source=str(source), number=number)
                for line in plan.said:
                    say(f"{source}  {line}")
        finally:
            if made and record is None:
                remove_empty(made)
        keep_all(run.root)
        refresh(run.root)
    say(f"tables  {run.root / 'tables' / 'leaderboard.md'}\nits report: harness report {name}")
