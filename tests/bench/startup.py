"""(g) Start-up: `harness --help`, and `harness report` up to the moment its work begins, beside what its work takes."""

import tempfile
from pathlib import Path

from tests.bench.measure import median, python, report, seconds_of, time_alternating


def run(repeats: int, save: bool) -> None:
    with tempfile.TemporaryDirectory() as folder:

        def command(*words: str, code: int = 0) -> None:
            python("-m", "harness", *words, cwd=folder, code=code)

        command("run", "--recipe", "smoke", "--iters", "1")
        played = str(Path(folder) / "results" / "smoke")
        found = time_alternating(
            {
                "python alone": lambda: python("-c", "pass"),
                "harness --help": lambda: command("--help"),
                "harness report, to its first error": lambda: command("report", "nosuchrun", code=1),
                "harness status of a run": lambda: command("status", played),
            },
            repeats,
        )
        whole = seconds_of(lambda: command("report", played))
    rows = [[name, f"{median(s):.2f}"] for name, s in found.items()]
    rows.append(["harness report, all of it, once", f"{whole:.2f}"])
    report("startup", f"Seconds from the command to its end, median of {repeats}", ["", "seconds"], rows,
           {"repeats": repeats, "seconds": found, "report_seconds": round(whole, 2)}, save)  # fmt: skip
