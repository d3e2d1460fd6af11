"""The command that measures the table row by row, each in a process of its own: what one loads or breaks, no other sees."""

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.bench.measure import RESULTS, ROOT
from tests.bench.registry import rows
from tests.bench.rounds import measure_row
from tests.bench.row import Row, Situation
from tests.bench.row_file import RowFile, current_identity

REPEATS, TINY_REPEATS = 3, 1


def run(parser: argparse.ArgumentParser, asked: argparse.Namespace) -> int:
    """Measure the rows asked for and write the tables; the exit code: 1 where a row failed."""
    names = asked.names[1:]
    known = {row.name: row for row in rows()}
    if unknown := [name for name in names if name not in known]:
        parser.error(f"unknown row {', '.join(unknown)}; known: {', '.join(known)}")
    repeats = asked.repeats or (TINY_REPEATS if asked.tiny else REPEATS)
    folder = asked.folder or (Path(tempfile.mkdtemp(prefix="bench-")) if asked.tiny else RESULTS)
    failed = []
    for row in [known[name] for name in names] or known.values():
        if row.needs_mirror and asked.mirror is None:
            print(f"{row.name}: left out, it needs the real model or its data; give --mirror DIR", flush=True)
            continue
        file = RowFile(folder / f"{row.name}.json", current_identity())
        if file.note is not None:
            print(f"{row.name}: {file.note}; it is measured anew", flush=True)
        if file.is_finished(repeats):
            if not asked.again and row.name not in names:
                print(f"{row.name}: finished", flush=True)
                continue
            file.path.unlink()  # asked for again
        options = ["--tiny"] * asked.tiny + (["--mirror", str(asked.mirror.resolve())] if asked.mirror else [])
        command = [sys.executable, "-W", "ignore", "-m", "tests.bench.table", row.name, str(repeats), str(folder), *options]
        if subprocess.run(command, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, check=False).returncode != 0:
            failed.append(row.name)
            print(f"{row.name}: failed", flush=True)
    if folder == RESULTS:
        from tests.bench import speed_table

        speed_table.write_readmes()
    else:
        print(f"rows in {folder}", flush=True)
    return 1 if failed else 0


def measure(row: Row, repeats: int, folder: Path, situation: Situation) -> None:
    """In this process."""
    measure_row(row, RowFile(folder / f"{row.name}.json", current_identity()), situation, repeats)


def main(arguments: Sequence[str]) -> None:
    """ROW REPEATS FOLDER [--tiny] [--mirror DIR]: one row, in this process."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.table")
    parser.add_argument("row")
    parser.add_argument("repeats", type=int)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--tiny", action="store_true")
    parser.add_argument("--mirror", type=Path)
    asked = parser.parse_args(arguments)
    row = next(row for row in rows() if row.name == asked.row)
    measure(row, asked.repeats, asked.folder, Situation(asked.mirror, asked.tiny))


if __name__ == "__main__":
    main(sys.argv[1:])
