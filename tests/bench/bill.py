"""The bill against the run: seconds of every kind of phase as `--dry-run` foretells them, and as the run's manifests then say."""

import json
import tempfile
from pathlib import Path

from harness.loop.plan import PHASES
from tests.bench.measure import median, paired_ratio, python, report

PHASE_KINDS = tuple(dict.fromkeys(phase.kind for phase in PHASES))
ASKED = ("--objectives", "sft,space:mu=3,spin,tspin", "--iters", "3", "--set", "evaluation.limit=80")


def run(repeats: int, save: bool) -> None:
    foretold: dict[str, list[float]] = {kind: [] for kind in (*PHASE_KINDS, "all")}
    needed: dict[str, list[float]] = {kind: [] for kind in (*PHASE_KINDS, "all")}
    for _ in range(repeats):
        with tempfile.TemporaryDirectory() as folder:
            for found, seconds in ((foretold, _foretold(folder)), (needed, _needed(folder))):
                for kind, values in found.items():
                    values.append(sum(seconds.values()) if kind == "all" else seconds[kind])
    ratios = {kind: paired_ratio(foretold[kind], needed[kind]) for kind in foretold}
    rows = [
        [kind, f"{median(foretold[kind]):.1f}", f"{median(needed[kind]):.1f}",
         f"{ratios[kind]['median']:.2f} ({ratios[kind]['least']:.2f} to {ratios[kind]['largest']:.2f})"]
        for kind in foretold
    ]  # fmt: skip
    report(
        "bill", f"The lab, {' '.join(ASKED)}, one cell at a time: seconds foretold and needed, medians of {repeats}",
        ["phase", "foretold", "needed", "foretold / needed"], rows,
        {"repeats": repeats, "asked": ASKED, "foretold": foretold, "needed": needed, "ratio": ratios}, save,
    )  # fmt: skip


def _foretold(folder: str) -> dict[str, float]:
    """Seconds by kind of phase, from the bill itself in a process of its own."""
    code = f"""
import json, sys
from pathlib import Path
import harness.commands.plan as plan
kept = plan._table
def note(found, measured):
    kept(found, measured)
    print("BILL", json.dumps({{kind: cost.seconds for kind, (_, cost) in found.lines.items()}}))
plan._table = note
sys.argv = ["harness", "run", *{ASKED!r}, "--jobs", "1", "--dry-run"]
from harness.cli import main
main()
"""
    (line,) = [x for x in python("-c", code, cwd=folder).splitlines() if x.startswith("BILL ")]
    return json.loads(line.removeprefix("BILL "))


def _needed(folder: str) -> dict[str, float]:
    """Seconds by kind of phase, from the manifests of the run."""
    python("-m", "harness", "run", *ASKED, "--jobs", "1", "--name", "bill", cwd=folder)
    found = dict.fromkeys(PHASE_KINDS, 0.0)
    for path in Path(folder, "results", "bill").rglob("manifest.json"):
        for kind in set(PHASE_KINDS) & set(path.relative_to(folder).parts):
            found[kind] += json.loads(path.read_text(encoding="utf-8"))["seconds"]
    return found
