"""Training checkpoints: adapter, optimizer and counters in one file, written atomically every few minutes, restored after a kill.

The file holds everything that the next step depends on, so an interrupted phase ends with the same bytes as an uninterrupted
one; the log of steps beside it is truncated to the restored step. Both belong to an unfinished phase. The file holds digests of
itself and of the log up to its step: where one of them does not match, training starts from its beginning.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from harness.errors import system_errno
from harness.files import write_atomic
from harness.records import StepRecord

STATE_FILE, LOG_FILE = "training.safetensors", "steps.jsonl"


@dataclass(frozen=True)
class TrainerState:
    """Counters after `step` steps: tokens trained on, largest log-ratio before the first, micro-batch size."""

    step: int
    tokens: int
    step0: float | None
    micro_batch: int


class TrainingCheckpointer:
    """Saves training's state in a folder, at most every `seconds`, and a line per step beside it; without a folder, nothing.

    notify: called with a line about what is damaged.
    """

    def __init__(
        self, folder: Path | None = None, seconds: float = 0.0, notify: Callable[[str], None] = lambda line: None
    ) -> None:
        self.path = folder / STATE_FILE if folder is not None else None
        self.log_path = folder / LOG_FILE if folder is not None else None
        self.seconds, self.last_saved, self.notify = seconds, time.monotonic(), notify
        self.log_hash = _hasher()

    def should_save(self) -> bool:
        return self.path is not None and time.monotonic() - self.last_saved >= self.seconds

    def log(self, record: StepRecord) -> None:
        """Append one step's line: readable while training runs, truncated to the saved step after a kill."""
        if self.log_path is not None:
            line = (json.dumps(asdict(record)) + "\n").encode("utf-8")
            with self.log_path.open("ab") as handle:
                handle.write(line)
            self.log_hash.update(line)

    def save(self, state: TrainerState, parameters: list[torch.nn.Parameter], optimizer: torch.optim.Optimizer) -> None:
        """Write the state after a step. parameters: in an order that is the same in every process."""
        from safetensors.torch import save_file

        assert self.path is not None
        tensors = {f"{n}": p.detach().cpu().contiguous() for n, p in enumerate(parameters)}
        for n, parameter in enumerate(parameters):
            for name, value in optimizer.state[parameter].items():
                tensors[f"{n}.{name}"] = value.detach().cpu().contiguous()
        self.path.parent.mkdir(parents=True, exist_ok=True)
        state_json = json.dumps({"reached": asdict(state), "log": self.log_hash.hexdigest()})
        metadata = {"said": state_json, "digest": _checkpoint_digest(tensors, state_json)}
        with write_atomic(self.path) as temporary:
            save_file(tensors, temporary, metadata=metadata)
        self.last_saved = time.monotonic()

    def restore(self, parameters: list[torch.nn.Parameter], optimizer: torch.optim.Optimizer) -> TrainerState | None:
        """Load the last saved state into parameters and optimizer; None, and nothing changed, where none is intact."""
        checkpoint = self._read() if self.path is not None and self.path.is_file() else None
        if checkpoint is None:
            self._truncate_log(0)
            return None
        state, log_digest, tensors = checkpoint
        if not self._truncate_log(state.step, log_digest):
            self.notify(f"{self.log_path}: damaged (not the steps that were logged); training starts from its beginning")
            return None
        with torch.no_grad():
            for n, parameter in enumerate(parameters):
                parameter.copy_(tensors.pop(f"{n}"))
        for key, value in tensors.items():
            n, name = key.split(".")
            parameter = parameters[int(n)]
            optimizer.state[parameter][name] = value if value.dim() == 0 else value.to(parameter.device)
        return state

    def _read(self) -> tuple[TrainerState, str, dict[str, torch.Tensor]] | None:
        """Counters, the log's digest and tensors as they were saved; None, with a notice, where the file is damaged."""
        from safetensors import safe_open

        try:
            with safe_open(self.path, "pt") as file:
                state_json, expected_digest = (file.metadata()[key] for key in ("said", "digest"))
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # not a dictionary
            if _checkpoint_digest(tensors, state_json) == expected_digest:
                return TrainerState(**json.loads(state_json)["reached"]), json.loads(state_json)["log"], tensors
        except Exception as error:  # a damaged header raises a dozen unrelated kinds
            if system_errno(error) is not None or isinstance(error, MemoryError):
                raise  # the system cannot read the file now; its contents may be intact
        self.notify(f"{self.path}: damaged; training starts from its beginning")
        return None

    def _truncate_log(self, steps: int, digest: str | None = None) -> bool:
        """Truncate the log to its first `steps` lines; False, and an empty log, where their digest is not `digest`."""
        if self.log_path is None:
            return steps == 0
        lines = self.log_path.read_bytes().splitlines(keepends=True)[:steps] if self.log_path.is_file() else []
        self.log_hash = _hasher(b"".join(lines))
        is_same = digest is None or (len(lines) == steps and self.log_hash.hexdigest() == digest)
        if not is_same:
            lines, self.log_hash = [], _hasher()
        self.log_path.parent.mkdir(parents=True, exist_ok=True)
        self.log_path.write_bytes(b"".join(lines))
        return is_same


def _hasher(content: bytes = b"") -> hashlib.blake2b:
    return hashlib.blake2b(content, digest_size=16)


def _checkpoint_digest(tensors: Mapping[str, torch.Tensor], state_json: str) -> str:
    """Digest of a state: its counters, and every tensor's name, precision, shape and bytes."""
    hasher = _hasher(state_json.encode("utf-8"))
    for name, tensor in sorted(tensors.items()):
        hasher.update(f"\0{name} {tensor.dtype} {tuple(tensor.shape)}\0".encode())
        hasher.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return hasher.hexdigest()


NO_CHECKPOINT = TrainingCheckpointer()
