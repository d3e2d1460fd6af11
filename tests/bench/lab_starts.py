"""What labs made by the build command are like: `python -m tests.bench.lab_starts DIR ... [--save]`, each from its own seed.

Per task: the base asked plainly, of the almanac and of the tavern; the `sft` start; and what SFT on the pairs adds to both after
five iterations, over five seeds. With --save into results/bench/lab-starts.json, from which `python -m tests.bench print` writes
the table of harness/lab/README.md.
"""

import argparse
import csv
import json
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

from harness.reporting.generated_docs import rewrite
from tests.bench.measure import RESULTS, ROOT, machine, python
from tests.bench.speed_table import markdown
from tests.helpers.lab_scores import LAB, Score, scores, with_definitions

KEPT = RESULTS / "lab-starts.json"
STARTS = {"base": "lab", "sft": "lab-from-sft"}  # and their recipes
README = LAB / "README.md"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", type=Path, metavar="DIR")
    parser.add_argument("--save", action="store_true")
    asked = parser.parse_args()
    found = {"machine": machine(), "labs": [measured(folder.resolve()) for folder in asked.folders]}
    if asked.save:
        KEPT.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    print(starts_table(found))


def measured(folder: Path) -> dict[str, Any]:
    """Of one built lab: seed, seconds it took, per task its scores and gains."""
    tasks = with_definitions(folder / "tasks")
    plain = {start: scores(folder / start, "lab-ten", tasks) for start in STARTS}
    sources = scores(folder / "base", "lab-sources", tasks)
    gains = {start: gained(folder, start) for start in STARTS}
    training = {start: json.loads((folder / start / "training.json").read_text(encoding="utf-8")) for start in STARTS}
    rows = {}
    for task, score in plain["base"].items():
        named = {source: sources[f"{task}_{source}"].value for source in ("almanac", "tavern")}
        rows[task] = {
            "base": asdict(score),
            "sft": asdict(plain["sft"][task]),
            **named,
            "gain": {s: gains[s][task] for s in STARTS},
        }
    seconds = {start: record["seconds"] for start, record in training.items()}
    means = {start: gains[start]["mean"] for start in STARTS}
    return {"seed": training["base"]["seed"], "seconds": seconds, "mean_gain": means, "tasks": rows}


def gained(folder: Path, start: str) -> dict[str, list[float]]:
    """[difference, low, high] per task and of their mean: SFT's last of five iterations against the start, five seeds, paired."""
    with tempfile.TemporaryDirectory() as place:
        suite = (ROOT / "harness/suites/lab-ten.toml").read_text(encoding="utf-8")
        here = suite.replace('"builtin:lab/tasks"', json.dumps(str(folder / "tasks")))
        assert here != suite
        (Path(place) / "suite.toml").write_text(here, encoding="utf-8")
        python(
            "-W", "ignore", "-m", "harness", "run", "--recipe", STARTS[start], "--objectives", "sft", "--iters", "5",
            "--seeds", "0,1,2,3,4", "--name", "gain", "--model", str(folder / start), "--data", str(folder / "data/train.jsonl"),
            "--suite", "suite.toml", "--set", f"data.heldout={folder / 'data/heldout.jsonl'}", cwd=place,
        )  # fmt: skip
        with (Path(place) / "results/gain/tables/comparisons.csv").open(encoding="utf-8", newline="") as handle:
            rows = [row for row in csv.DictReader(handle) if row["b"] == "initial"]
    return {row["task"]: [float(row[name]) for name in ("difference", "low", "high")] for row in rows}


def starts_table(found: dict[str, Any]) -> str:
    """One row per seed and task, in percent and points."""
    head = ["seed", "task", "base", "above chance", "almanac", "tavern", "base + SFT", "`sft` start", "`sft` + SFT"]
    body = []
    for lab in found["labs"]:
        for task, row in lab["tasks"].items():
            base, tuned = Score(**row["base"]), Score(**row["sft"])
            above = f"{base.errors_above_chance:.1f} s.e." if base.chance else "no chance level"
            body.append([
                str(lab["seed"]), task.removeprefix("lab_"), _percent(base), above,
                *(f"{100 * row[s]:.0f}" for s in ("almanac", "tavern")),
                _gain(row["gain"]["base"]), _percent(tuned), _gain(row["gain"]["sft"]),
            ])  # fmt: skip
        means = [sum(row[start]["value"] for row in lab["tasks"].values()) / len(lab["tasks"]) for start in STARTS]
        named = [sum(row[source] for row in lab["tasks"].values()) / len(lab["tasks"]) for source in ("almanac", "tavern")]
        body.append([
            str(lab["seed"]), "**mean**", f"{100 * means[0]:.1f}", "", *(f"{100 * value:.0f}" for value in named),
            _gain(lab["mean_gain"]["base"]), f"{100 * means[1]:.1f}", _gain(lab["mean_gain"]["sft"]),
        ])  # fmt: skip
    return markdown(head, body)


def _percent(score: Score) -> str:
    return f"{100 * score.value:.1f} ± {100 * score.stderr:.1f}"


def _gain(interval: list[float]) -> str:
    value, low, high = (100 * v for v in interval)
    return f"{value:+.1f} [{low:+.1f}, {high:+.1f}]"


def write_readme() -> None:
    is_there = KEPT.is_file()
    rewrite(README, "lab starts", starts_table(json.loads(KEPT.read_text(encoding="utf-8"))) if is_there else "Not measured yet.")


if __name__ == "__main__":
    main()
