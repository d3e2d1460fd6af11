"""(g) Start-up: `harness --help`, and `harness report` up to the moment its work begins, beside what its work takes."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.bench.measure import median, report, time_alternating

ROOT = Path(__file__).parents[2]


def run(repeats: int, save: bool) -> None:
    with tempfile.TemporaryDirectory() as folder:

        def command(*words: str, code: int = 0) -> None:
            done = subprocess.run(
                [sys.executable, "-m", "harness", *words], cwd=folder, capture_output=True, text=True, check=False,
                env={**os.environ, "PYTHONPATH": str(ROOT)},
            )  # fmt: skip
            assert done.returncode == code, done.stderr

        command("run", "--recipe", "smoke", "--iters", "1")
        played = str(Path(folder) / "results" / "smoke")
        found = time_alternating(
            {
                "python alone": lambda: subprocess.run([sys.executable, "-c", "pass"], check=True),
                "harness --help": lambda: command("--help"),
                "harness report, to its first error": lambda: command("report", "nosuchrun", code=1),
                "harness status of a run": lambda: command("status", played),
            },
            repeats,
        )
        began = time.perf_counter()
        command("report", played)
        whole = time.perf_counter() - began
    rows = [[name, f"{median(s):.2f}"] for name, s in found.items()]
    rows.append(["harness report, all of it, once", f"{whole:.2f}"])
    report("startup", f"Seconds from the command to its end, median of {repeats}", ["", "seconds"], rows,
           {"repeats": repeats, "seconds": found, "report_seconds": round(whole, 2)}, save)  # fmt: skip
