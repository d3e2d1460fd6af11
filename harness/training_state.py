"""How far training has come: adapter, optimizer and counters in one file, written whole every few minutes, taken up after a kill.

Everything that the next step depends on is in it, so an interrupted phase ends with the bytes of an unbroken one; the log of
steps beside it is cut back to where training goes on from. Both belong to an unfinished phase.
"""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from harness.records import StepRecord

STATE, LOG = "training.safetensors", "steps.jsonl"


@dataclass(frozen=True)
class Reached:
    """Counters after `step` steps: tokens trained on, the largest log-ratio before the first, prompts at once."""

    step: int
    tokens: int
    step0: float | None
    micro_batch: int


class Keeper:
    """Keeps training's state in a folder, at most every `seconds`, and a line per step beside it; without a folder, nothing."""

    def __init__(self, folder: Path | None = None, seconds: float = 0.0) -> None:
        self.path = folder / STATE if folder is not None else None
        self.log_path = folder / LOG if folder is not None else None
        self.seconds, self.last = seconds, time.monotonic()

    def due(self) -> bool:
        return self.path is not None and time.monotonic() - self.last >= self.seconds

    def log(self, record: StepRecord) -> None:
        """Add one step's line; it is there for whoever looks on, and after a kill up to the step that was kept."""
        if self.log_path is not None:
            with self.log_path.open("a", encoding="utf-8") as handle:
                handle.write(json.dumps(asdict(record)) + "\n")

    def keep(self, reached: Reached, parameters: list[torch.nn.Parameter], optimizer: torch.optim.Optimizer) -> None:
        """Write the state after a step. parameters: in an order that is the same in every process."""
        from safetensors.torch import save_file

        assert self.path is not None
        tensors = {f"{n}": p.detach().cpu().contiguous() for n, p in enumerate(parameters)}
        for n, parameter in enumerate(parameters):
            for name, value in optimizer.state[parameter].items():
                tensors[f"{n}.{name}"] = value.detach().cpu().contiguous()
        self.path.parent.mkdir(parents=True, exist_ok=True)
        temporary = self.path.with_suffix(".tmp")
        save_file(tensors, temporary, metadata={"reached": json.dumps(asdict(reached))})
        temporary.replace(self.path)
        self.last = time.monotonic()

    def take_up(self, parameters: list[torch.nn.Parameter], optimizer: torch.optim.Optimizer) -> Reached | None:
        """Put the state kept last into parameters and optimizer; None, and nothing changed, where there is none unharmed."""
        from safetensors import SafetensorError, safe_open

        if self.path is None or not self.path.is_file():
            self._cut_log(0)
            return None
        try:
            with safe_open(self.path, "pt") as kept:
                reached = Reached(**json.loads(kept.metadata()["reached"]))
                tensors = {name: kept.get_tensor(name) for name in kept.keys()}  # noqa: SIM118  # not a dictionary
        except (SafetensorError, ValueError, TypeError, KeyError):
            self._cut_log(0)
            return None
        if not self._cut_log(reached.step):
            return None
        with torch.no_grad():
            for n, parameter in enumerate(parameters):
                parameter.copy_(tensors.pop(f"{n}"))
        for place, value in tensors.items():
            n, name = place.split(".")
            parameter = parameters[int(n)]
            optimizer.state[parameter][name] = value if value.dim() == 0 else value.to(parameter.device)
        return reached

    def _cut_log(self, steps: int) -> bool:
        """Leave the log's first `steps` lines; False, and none left, where there are fewer."""
        if self.log_path is None:
            return steps == 0
        lines = self.log_path.read_text(encoding="utf-8").splitlines(keepends=True) if self.log_path.is_file() else []
        enough = len(lines) >= steps
        self.log_path.parent.mkdir(parents=True, exist_ok=True)
        self.log_path.write_text("".join(lines[:steps] if enough else []), encoding="utf-8")
        return enough


NOTHING_KEPT = Keeper()
