"""Judgements kept as they come, one JSON line each, so that a failed or killed evaluation pays for none of them twice.

A judgement is found by a digest of the host and the whole request: model, instruction, question, answers, sampling. Two players
share one only where they gave the same answers to the same question, which is when the judge would be sent the same bytes; any
difference in an answer is another key. Files are only appended to, one per player, and only by the process that evaluates it.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from harness.errors import UserError


@dataclass(frozen=True)
class Judgement:
    """What a judge said of one answer. `replies` are its messages in turn; the rating is in the last."""

    key: str
    question_id: str
    turn: int
    rating: float
    replies: list[str]
    model: str


class Judgements:
    """Every judgement kept in the folder of `file`, and `file` to keep more in."""

    def __init__(self, file: Path) -> None:
        self.file = file
        file.parent.mkdir(parents=True, exist_ok=True)
        _cut_torn_line(file)
        self.known = {one.key: one for path in sorted(file.parent.glob("*.jsonl")) for one in _read(path)}

    def keep(self, judgement: Judgement) -> None:
        with self.file.open("a", encoding="utf-8") as handle:
            handle.write(json.dumps(asdict(judgement), ensure_ascii=True, allow_nan=False) + "\n")
        self.known[judgement.key] = judgement


def _read(path: Path) -> list[Judgement]:
    """The whole lines of a file; another player's last line may be on its way."""
    lines = path.read_text(encoding="utf-8").split("\n")[:-1]
    try:
        return [Judgement(**json.loads(line)) for line in lines]
    except (ValueError, TypeError) as error:
        raise UserError(f"{path}: damaged ({error}); delete it to have its answers judged again") from error


def _cut_torn_line(path: Path) -> None:
    """A line that a kill cut off is no judgement, and nothing must be written behind it."""
    if path.exists():
        whole = path.read_bytes()
        with path.open("r+b") as handle:
            handle.truncate(whole.rfind(b"\n") + 1)
