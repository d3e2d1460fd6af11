"""The command that measures the table row by row, each in a process of its own: what one loads or breaks, no other sees."""

import argparse
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path

from harness.language.engine.worker import exit_with_parent
from tests.bench.measure import RESULTS, ROOT
from tests.bench.registry import rows
from tests.bench.rounds import measure_row
from tests.bench.row import Situation
from tests.bench.row_file import RowFile, current_identity
from tests.bench.speed_table import write_readmes

REPEATS, TINY_REPEATS = 3, 1


def run(parser: argparse.ArgumentParser, asked: argparse.Namespace) -> int:
    """Measure the rows asked for and write the tables; the exit code: 1 where a row failed."""
    names = asked.names[1:]
    known = {row.name: row for row in rows()}
    if unknown := [name for name in names if name not in known]:
        parser.error(f"unknown row {', '.join(unknown)}; known: {', '.join(known)}")
    repeats = asked.repeats or (TINY_REPEATS if asked.tiny else REPEATS)
    folder = asked.folder.resolve() if asked.folder else Path(tempfile.mkdtemp(prefix="bench-")) if asked.tiny else RESULTS
    options = ["--tiny"] * asked.tiny + (["--mirror", str(asked.mirror.resolve())] if asked.mirror else [])
    failed = False
    for row in [known[name] for name in names] or known.values():
        if row.needs_mirror and asked.mirror is None:
            print(f"{row.name}: left out, it needs the real model or its data; give --mirror DIR", flush=True)
            continue
        file = RowFile(folder / f"{row.name}.json", current_identity())
        if file.note is not None:
            print(f"{row.name}: {file.note}; it is measured anew", flush=True)
        finished = file.is_finished(repeats)
        if finished and not asked.again and row.name not in names:
            print(f"{row.name}: finished", flush=True)
            continue
        failed |= not in_a_process([row.name, str(repeats), str(folder), *["--again"] * finished, *options])
        if folder == RESULTS:
            write_readmes()
    print(f"rows in {folder}", flush=True)
    return int(failed)


def in_a_process(arguments: Sequence[str]) -> bool:
    """Whether `main` with these arguments went well in a process of its own, whose output is shown."""
    command = [sys.executable, "-W", "ignore", "-m", "tests.bench.table", *arguments, "--parent", str(os.getpid())]
    done = subprocess.run(command, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, check=False)
    if done.returncode != 0:
        print(f"{arguments[0]}: failed", flush=True)
    return done.returncode == 0


def main(arguments: Sequence[str]) -> None:
    """ROW REPEATS FOLDER [--tiny] [--again] [--mirror DIR] --parent PID: one row, in this process, which ends with that one."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.table")
    parser.add_argument("row")
    parser.add_argument("repeats", type=int)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--tiny", action="store_true")
    parser.add_argument("--again", action="store_true", help="forget the rounds of a finished row")
    parser.add_argument("--mirror", type=Path)
    parser.add_argument("--parent", type=int, required=True)
    asked = parser.parse_args(arguments)
    threading.Thread(target=exit_with_parent, args=(asked.parent,), daemon=True).start()
    row = next(row for row in rows() if row.name == asked.row)
    file = RowFile(asked.folder / f"{row.name}.json", current_identity())
    if asked.again:
        file.start_anew(None)
    measure_row(row, file, Situation(asked.mirror, asked.tiny), asked.repeats)


if __name__ == "__main__":
    main(sys.argv[1:])
