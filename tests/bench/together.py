"""(e) Six objectives in one run against six runs, as a user types them: wall time of the command, one and two cells at once."""

import os
import tempfile

from harness.discovery.variants import list_objectives
from tests.bench.measure import median, python, report, seconds_of


def run(repeats: int, save: bool) -> None:
    names = list(list_objectives())
    alone: dict[str, list[float]] = {name: [] for name in names}
    together: dict[str, list[float]] = {"one cell at a time": [], "as many as there are cores": []}
    for _ in range(repeats):
        for name in names:
            alone[name].append(_seconds(name, 1))
        together["one cell at a time"].append(_seconds(",".join(names), 1))
        together["as many as there are cores"].append(_seconds(",".join(names), os.cpu_count() or 1))
    total = sum(median(s) for s in alone.values())
    rows = [[name, f"{median(s):.1f}", ""] for name, s in alone.items()] + [["sum of six runs", f"{total:.1f}", "1.00"]]
    rows += [[f"together, {how}", f"{median(s):.1f}", f"{median(s) / total:.2f}"] for how, s in together.items()]
    report(
        "together", f"One iteration of each objective on the lab, report included, seconds, median of {repeats}",
        ["", "seconds", "of the sum"], rows,
        {
            "rounds": repeats, "alone": alone, "together": together,
            "share": {how: round(median(s) / total, 3) for how, s in together.items()},
        },
        save,
    )  # fmt: skip


def _seconds(objectives: str, jobs: int) -> float:
    with tempfile.TemporaryDirectory() as folder:
        command = ("-m", "harness", "run", "--objectives", objectives, "--iters", "1", "--jobs", str(jobs))
        return seconds_of(lambda: python(*command, cwd=folder))
