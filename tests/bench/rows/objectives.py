"""Six objectives in one run beside a run of each, as a user types them: one seed, five iterations, report included."""

import json
import tempfile
from pathlib import Path

from harness.discovery.variants import list_objectives
from tests.bench.measure import python, seconds_of
from tests.bench.row import Outcome, Situation, Work

SHARED = ("data", "initial")  # folders of phases that do not depend on the objective
PEER = "six runs"


def prepare(situation: Situation) -> Work:
    names = list(list_objectives())[: 2 if situation.tiny else None]
    options = ("--recipe", "smoke", "--iters", "1") if situation.tiny else ("--iters", "5")
    return Work(
        {"harness": lambda: Outcome(run(",".join(names), options)[0]), PEER: lambda: separate(names, options)},
        {"objectives": names, "options": options},
        {"of": PEER, "part": "shared once"},
        warm_up=lambda: run(names[0], ("--recipe", "smoke", "--iters", "1")),
    )


def run(objectives: str, options: tuple[str, ...]) -> tuple[float, dict[str, float]]:
    """(seconds of the command, seconds of every phase by its folder)."""
    with tempfile.TemporaryDirectory() as folder:
        command = ("-m", "harness", "run", "--objectives", objectives, "--name", "timed", *options)
        seconds = seconds_of(lambda: python(*command, cwd=folder))
        root = Path(folder, "results", "timed")
        manifests = {path.parent.relative_to(root).as_posix(): path for path in root.rglob("manifest.json")}
        return seconds, {name: json.loads(path.read_text(encoding="utf-8"))["seconds"] for name, path in manifests.items()}


def separate(names: list[str], options: tuple[str, ...]) -> Outcome:
    """The sum of a run per objective; and what it would be with shared phases, and everything outside phases, once."""
    runs = [run(name, options) for name in names]
    own, shared, outside = 0.0, {}, []
    for seconds, phases in runs:
        own += sum(spent for name, spent in phases.items() if not name.startswith(SHARED))
        shared |= {name: spent for name, spent in phases.items() if name.startswith(SHARED)}
        outside.append(seconds - sum(phases.values()))
    once = own + sum(shared.values()) + sum(outside) / len(outside)
    return Outcome(sum(seconds for seconds, _ in runs), parts={"shared once": once})
