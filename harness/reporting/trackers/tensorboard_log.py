"""TensorBoard: a file of events per finished phase, in a folder per trial. Looked at with `tensorboard --logdir FOLDER`.

Each phase has a file of its own, named so that TensorBoard, which reads them in the order of their names, reads them in the order
of the work. torch's SummaryWriter would need torch, and appends to one file, of which a killed process leaves a half.
"""

from __future__ import annotations

import io
import time
from pathlib import Path

from harness.files import write_bytes
from harness.reporting.trackers.series import Chunk, TrialSeries


def is_live() -> bool:
    return True


def place(folder: Path, run: str) -> str:
    return f"tensorboard --logdir {folder / run}"


def log_trial(folder: Path, run: str, trial: TrialSeries, run_id: str | None) -> str:
    """Write the phases' files. run_id: the trial's folder, which is always the same."""
    target = folder / run / trial.id
    target.mkdir(parents=True, exist_ok=True)
    num_files = len(list(target.glob("events.out.tfevents.*")))
    for number, chunk in enumerate(trial.chunks, start=num_files):
        name = f"events.out.tfevents.{number:06}.{chunk.key.replace('/', '.')}"
        for interrupted in target.glob(f"events.out.tfevents.*.{chunk.key.replace('/', '.')}"):
            interrupted.unlink()  # written by a command that was killed before it could note so
        write_bytes(target / name, _events(chunk))
    return trial.id


def _events(chunk: Chunk) -> bytes:
    """The records of an event file: its version, then an event per step."""
    from tensorboard.compat.proto.event_pb2 import Event  # pyright: ignore
    from tensorboard.compat.proto.summary_pb2 import Summary  # pyright: ignore
    from tensorboard.summary.writer.record_writer import RecordWriter  # pyright: ignore

    buffer, now = io.BytesIO(), time.time()
    writer = RecordWriter(buffer)
    writer.write(Event(wall_time=now, file_version="brain.Event:2").SerializeToString())
    for step, values in chunk.by_step().items():
        summary = Summary(value=[Summary.Value(tag=name, simple_value=value) for name, value in values.items()])
        writer.write(Event(wall_time=now, step=step, summary=summary).SerializeToString())
    return buffer.getvalue()
