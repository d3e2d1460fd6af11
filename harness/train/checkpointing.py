"""How far training has come: adapter, optimizer and counters in one file, written whole every few minutes, taken up after a kill.

Everything that the next step depends on is in it, so an interrupted phase ends with the bytes of an unbroken one; the log of
steps beside it is cut back to where training goes on from. Both belong to an unfinished phase. The state holds a digest of itself
and one of the log up to its step: where either is of something else, training starts from its beginning.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from harness.errors import system_trouble
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
    """Keeps training's state in a folder, at most every `seconds`, and a line per step beside it; without a folder, nothing.

    notice: takes the line that says what is damaged.
    """

    def __init__(
        self, folder: Path | None = None, seconds: float = 0.0, notice: Callable[[str], None] = lambda line: None
    ) -> None:
        self.path = folder / STATE if folder is not None else None
        self.log_path = folder / LOG if folder is not None else None
        self.seconds, self.last, self.notice = seconds, time.monotonic(), notice
        self.logged = _state()

    def due(self) -> bool:
        return self.path is not None and time.monotonic() - self.last >= self.seconds

    def log(self, record: StepRecord) -> None:
        """Add one step's line; it is there for whoever looks on, and after a kill up to the step that was kept."""
        if self.log_path is not None:
            line = (json.dumps(asdict(record)) + "\n").encode("utf-8")
            with self.log_path.open("ab") as handle:
                handle.write(line)
            self.logged.update(line)

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
        said = json.dumps({"reached": asdict(reached), "log": self.logged.hexdigest()})
        save_file(tensors, temporary, metadata={"said": said, "digest": _content(tensors, said)})
        temporary.replace(self.path)
        self.last = time.monotonic()

    def take_up(self, parameters: list[torch.nn.Parameter], optimizer: torch.optim.Optimizer) -> Reached | None:
        """Put the state kept last into parameters and optimizer; None, and nothing changed, where there is none intact."""
        found = self._read() if self.path is not None and self.path.is_file() else None
        if found is None:
            self._cut_log(0)
            return None
        reached, log, tensors = found
        if not self._cut_log(reached.step, log):
            self.notice(f"{self.log_path}: damaged (not the steps that were logged); training starts from its beginning")
            return None
        with torch.no_grad():
            for n, parameter in enumerate(parameters):
                parameter.copy_(tensors.pop(f"{n}"))
        for place, value in tensors.items():
            n, name = place.split(".")
            parameter = parameters[int(n)]
            optimizer.state[parameter][name] = value if value.dim() == 0 else value.to(parameter.device)
        return reached

    def _read(self) -> tuple[Reached, str, dict[str, torch.Tensor]] | None:
        """Counters, the log's digest and tensors as they were kept; None, and a notice, where they are something else."""
        from safetensors import safe_open

        try:
            with safe_open(self.path, "pt") as kept:
                said, recorded = (kept.metadata()[key] for key in ("said", "digest"))
                tensors = {name: kept.get_tensor(name) for name in kept.keys()}  # noqa: SIM118  # not a dictionary
            if _content(tensors, said) == recorded:
                return Reached(**json.loads(said)["reached"]), json.loads(said)["log"], tensors
        except Exception as error:  # a damaged header raises a dozen unrelated kinds; each means: not what was kept
            if system_trouble(error) is not None or isinstance(error, MemoryError):
                raise  # the system refuses the file now; what is in it may be sound
        self.notice(f"{self.path}: damaged; training starts from its beginning")
        return None

    def _cut_log(self, steps: int, digest: str | None = None) -> bool:
        """Leave the log's first `steps` lines; False, and none left, where these are not the ones of that digest."""
        if self.log_path is None:
            return steps == 0
        lines = self.log_path.read_bytes().splitlines(keepends=True)[:steps] if self.log_path.is_file() else []
        self.logged = _state(b"".join(lines))
        same = digest is None or (len(lines) == steps and self.logged.hexdigest() == digest)
        if not same:
            lines, self.logged = [], _state()
        self.log_path.parent.mkdir(parents=True, exist_ok=True)
        self.log_path.write_bytes(b"".join(lines))
        return same


def _state(content: bytes = b"") -> hashlib.blake2b:
    return hashlib.blake2b(content, digest_size=16)


def _content(tensors: Mapping[str, torch.Tensor], said: str) -> str:
    """Names what a state holds: its counters, and every tensor's name, precision, shape and bytes."""
    state = _state(said.encode("utf-8"))
    for name, tensor in sorted(tensors.items()):
        state.update(f"\0{name} {tensor.dtype} {tuple(tensor.shape)}\0".encode())
        state.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return state.hexdigest()


NOTHING_KEPT = Keeper()
