"""What one run of several objectives saves beside a run of each: seconds of its phases, and of the same phases run alone.

Read from the manifests of a finished run. A phase that all trials share lies in `initial/` (and `data/`); alone, each objective
that needs it would have run it. The ratio is a bound: no schedule of the same phases on the same machine takes less together.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.store.finished_phases import FinishedPhases

Needs = Sequence[Mapping[str, Any]]  # of one variant in run.json: an entry per iteration, the last one repeated


@dataclass(frozen=True)
class SharedSeconds:
    """together: seconds of all phases of the run; alone: by variant, what a run of that one would take."""

    together: float
    alone: Mapping[str, float]

    def ratio(self, seconds_outside: float = 0.0) -> float:
        """One run's seconds over the sum of the single runs'. seconds_outside: of every run beside its phases (start, report)."""
        return (self.together + seconds_outside) / (sum(self.alone.values()) + len(self.alone) * seconds_outside)


def shared_seconds(root: Path) -> SharedSeconds:
    """The seconds of a finished run's phases. Raises ValueError for a folder without one, such as tables alone."""
    variants: Mapping[str, Any] = json.loads((root / "run.json").read_text(encoding="utf-8"))["variants"]
    finished = FinishedPhases(root)
    seconds = {phase: (finished.manifest(phase) or {})["seconds"] for phase in finished.phases()}
    if not seconds:
        raise ValueError(f"{root}: no finished phase")
    alone = {
        label: sum(s for phase, s in seconds.items() if phase.startswith(f"{label}/") or _needs_shared(phase, variant["needs"]))
        for label, variant in variants.items()
    }
    return SharedSeconds(sum(seconds.values()), alone)


def _needs_shared(phase: str, needs: Needs) -> bool:
    """Whether a run of an objective with these needs has this phase of the initial policy."""
    parts = phase.split("/")
    if parts[0] not in ("data", "initial"):
        return False
    if "generate" in parts:  # initial/seed-S/generate/k-INDEX
        return int(parts[-1].removeprefix("k-")) < _num_initial_samples(needs)
    return bool(needs[0]["reference"]) if parts[-1] == "score" else True


def _num_initial_samples(needs: Needs) -> int:
    """Responses of the initial policy per prompt: proto ones, and the synthetic ones of iterations that reach back to it."""
    synthetic = [entry["synthetic"] for number, entry in enumerate(needs) if number <= entry["history"]]
    return max([*synthetic, *(entry["proto"] for entry in needs)])


if __name__ == "__main__":
    result = shared_seconds(Path(sys.argv[1]))
    for name, alone_seconds in result.alone.items():
        print(f"{name:<20} alone {alone_seconds:8.1f} s")
    print(f"together {result.together:.1f} s, alone in sum {sum(result.alone.values()):.1f} s, ratio {result.ratio():.2f}")
