"""Judgements saved as they arrive, one JSON line each, so that a failed or killed evaluation repeats none of them.

A judgement is looked up by a digest of the host and the whole request: model, instruction, question, answers, sampling. Two
checkpoints share one only where their answers to a question are the same, so that the request has the same bytes. Files are only
appended to, one per checkpoint, and only by the process that evaluates it. Every line has a digest of its own; a damaged one is
ignored, and its judgement is requested again.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from harness.files import write_text
from harness.records import digest


@dataclass(frozen=True)
class Judgement:
    """A judge's rating of one answer. `replies` are its messages in order; the rating is in the last."""

    key: str
    question_id: str
    turn: int
    rating: float
    replies: list[str]
    model: str


class JudgementLog:
    """The judgements in the folder of `file`; new ones are appended to `file`. notify: called with a line on damaged ones."""

    def __init__(self, file: Path, notify: Callable[[str], None] = lambda line: None) -> None:
        self.file = file
        file.parent.mkdir(parents=True, exist_ok=True)
        self.known: dict[str, Judgement] = {}
        for path in sorted({file, *file.parent.glob("*.jsonl")}):
            lines = path.read_bytes().split(b"\n")[:-1] if path.is_file() else []  # those that end in a line break
            judgements = [_parse_line(line) for line in lines]
            if num_damaged := judgements.count(None):
                notify(f"{path}: {num_damaged} of {len(lines)} judgements damaged; they are requested again where needed")
            if path == file:  # never append after a line that a kill cut off; other processes may be writing the other files
                intact = (line for line, judgement in zip(lines, judgements, strict=True) if judgement is not None)
                intact_bytes = b"".join(line + b"\n" for line in intact)
                if file.is_file() and file.read_bytes() != intact_bytes:
                    write_text(file, intact_bytes.decode("utf-8"))
            self.known |= {judgement.key: judgement for judgement in judgements if judgement is not None}

    def append(self, judgement: Judgement) -> None:
        fields = asdict(judgement)
        with self.file.open("a", encoding="utf-8") as handle:
            handle.write(json.dumps({**fields, "digest": _digest(fields)}, ensure_ascii=True, allow_nan=False) + "\n")
        self.known[judgement.key] = judgement


def _parse_line(line: bytes) -> Judgement | None:
    """The judgement of a line; None where it is damaged. Lines of earlier versions have no digest."""
    try:
        fields = json.loads(line.decode("utf-8"))
        if "digest" in fields and fields.pop("digest") != _digest(fields):
            return None
        return Judgement(**fields)
    except (ValueError, TypeError, AttributeError, RecursionError):
        return None


def _digest(fields: dict[str, Any]) -> str:
    return digest(json.dumps(fields, sort_keys=True))
