"""`python -m tests.bench [NAME ...] [--repeats 5] [--threads 2] [--save]`: run benchmarks by name, or list them."""

import argparse
import importlib
import os
from pathlib import Path


def main() -> None:
    folder = Path(__file__).parent
    known = sorted(p.stem for p in folder.glob("*.py") if p.stem not in ("__init__", "__main__", "measure", "peers", "lab"))
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(known))
    parser.add_argument("--repeats", "--count", type=int, default=5, help="rounds of each; for kills, how many")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--save", action="store_true", help="keep the numbers in results/bench/")
    asked = parser.parse_args()
    if unknown := set(asked.names) - set(known):
        parser.error(f"unknown benchmark {', '.join(sorted(unknown))}; known: {', '.join(known)}")
    os.environ["OMP_NUM_THREADS"] = str(asked.threads)
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    for name in asked.names:
        importlib.import_module(f"tests.bench.{name}").run(asked.repeats, asked.save or name == "kills")
    for name in known if not asked.names else ():
        module = importlib.import_module(f"tests.bench.{name}")
        print(f"{name:<12}{(module.__doc__ or '').splitlines()[0]}")


if __name__ == "__main__":
    main()
