"""Judgements kept as they come, one JSON line each, so that a failed or killed evaluation pays for none of them twice.

A judgement is found by a digest of the host and the whole request: model, instruction, question, answers, sampling. Two players
share one only where they gave the same answers to the same question, which is when the judge would be sent the same bytes; any
difference in an answer is another key. Files are only appended to, one per player, and only by the process that evaluates it.
Every line has a digest of its own; one that is damaged is no judgement, and what it said is asked again.
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
    """What a judge said of one answer. `replies` are its messages in turn; the rating is in the last."""

    key: str
    question_id: str
    turn: int
    rating: float
    replies: list[str]
    model: str


class JudgementLog:
    """Every judgement kept in the folder of `file`, and `file` to keep more in. notice: is told what is damaged."""

    def __init__(self, file: Path, notify: Callable[[str], None] = lambda line: None) -> None:
        self.file = file
        file.parent.mkdir(parents=True, exist_ok=True)
        self.known: dict[str, Judgement] = {}
        for path in sorted({file, *file.parent.glob("*.jsonl")}):
            lines = _complete_lines(path)
            judgements = [_parse_line(line) for line in lines]
            if num_damaged := judgements.count(None):
                notify(
                    f"{path}: {num_damaged} of {len(lines)} judgements damaged; what they said is asked again where it is needed"
                )
            if path == file:  # nothing must be written behind a line that a kill cut off; others' may be on its way
                intact_bytes = b"".join(line + b"\n" for line, one in zip(lines, judgements, strict=True) if one is not None)
                if file.is_file() and file.read_bytes() != intact_bytes:
                    write_text(file, intact_bytes.decode("utf-8"))
            self.known |= {one.key: one for one in judgements if one is not None}

    def append(self, judgement: Judgement) -> None:
        fields = asdict(judgement)
        with self.file.open("a", encoding="utf-8") as handle:
            handle.write(json.dumps({**fields, "digest": _digest(fields)}, ensure_ascii=True, allow_nan=False) + "\n")
        self.known[judgement.key] = judgement


def _complete_lines(path: Path) -> list[bytes]:
    """The whole lines of a file."""
    return path.read_bytes().split(b"\n")[:-1] if path.is_file() else []


def _parse_line(line: bytes) -> Judgement | None:
    """The judgement of a line; None where it is not what was written. A line of before there were digests has none."""
    try:
        fields = json.loads(line.decode("utf-8"))
        if "digest" in fields and fields.pop("digest") != _digest(fields):
            return None
        return Judgement(**fields)
    except (ValueError, TypeError, AttributeError, RecursionError):
        return None


def _digest(fields: dict[str, Any]) -> str:
    return digest(json.dumps(fields, sort_keys=True))
