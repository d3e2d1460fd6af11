"""`python -m tests.bench table [ROW ...]`: measure the speed table; `print`: write it; other names: a benchmark of its own.

table [ROW ...] [--repeats 3] [--mirror DIR] [--again] [--tiny] measures rows that are not finished, or these whether they are or
not, a process for each; it may be stopped at any time and goes on behind the last whole round. --mirror: a folder in place of the
hub with SmolLM2-135M-Instruct and the tasks' data; without one the rows that need it are left out. --tiny: a few items of every
row, into a temporary folder, to see that it runs. print writes the table into README.md and results/README.md from results/bench,
and what the lab says from results/reference/. `python -m tests.bench.lab_starts DIR ...` looks at labs that were built.
"""

import argparse
import importlib
import os
from pathlib import Path

BENCHES = ("bill", "coverage", "gpu", "growth", "kills")


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"table [ROW ...], print, or of {', '.join(BENCHES)}")
    parser.add_argument("--repeats", "--count", type=int, help="rounds of each (table: 3, others: 5); for kills, how many")
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="of torch for peers; the harness has a lane per core")
    parser.add_argument("--save", action="store_true", help="keep the numbers of a benchmark of its own in results/bench/")
    parser.add_argument("--mirror", type=Path, help="for rows of the real model")
    parser.add_argument("--again", action="store_true", help="measure finished rows anew")
    parser.add_argument("--tiny", action="store_true", help="try every row at its smallest")
    parser.add_argument("--folder", type=Path, help="of the rows' files, in place of results/bench")
    asked = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = str(asked.threads)
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    if asked.names[:1] == ["table"]:
        from tests.bench import table

        raise SystemExit(table.run(parser, asked))
    if asked.names == ["print"]:
        from tests.bench import lab_starts, lab_tables, speed_table

        lab_starts.write_readme()
        lab_tables.write_readme()
        return speed_table.write_readmes()
    if unknown := set(asked.names) - set(BENCHES):
        parser.error(f"unknown benchmark {', '.join(sorted(unknown))}; known: table, print, {', '.join(BENCHES)}")
    for name in asked.names:
        importlib.import_module(f"tests.bench.{name}").run(asked.repeats or 5, asked.save or name == "kills")
    for name in BENCHES if not asked.names else ():
        module = importlib.import_module(f"tests.bench.{name}")
        print(f"{name:<12}{(module.__doc__ or '').splitlines()[0]}")
    return None


if __name__ == "__main__":
    main()
