"""Rows of a file or a hub data set -> a judged suite's questions, two turns each, with reference answers where there are any."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.config import DataConfig
from harness.errors import UserError
from harness.records import digest
from harness.settings.paths import resolve_path
from harness.sources.rows import rows_of

TURNS = 2


@dataclass(frozen=True)
class Question:
    """What is asked, turn by turn. `references` holds one text per turn, empty where there is none; `row` all of its columns."""

    id: str
    category: str
    turns: tuple[str, ...]
    references: tuple[str, ...]
    row: Mapping[str, Any] = field(default_factory=dict, compare=False, repr=False)

    @property
    def digest(self) -> str:
        return digest(self.id, self.category, *self.turns, *self.references)


def load_questions(source: str, folder: Path, mirror: Path | None) -> list[Question]:
    """Every question of a file (relative ones start at `folder`), a folder or a hub id, in its order.

    A row has prompt_id, category, prompt and reference, or FastChat's question_id, category, turns and reference.
    Raises UserError for a source that is not there or a row that is no question of two turns.
    """
    beside = resolve_path(source, folder)
    named = str(beside) if beside.exists() else source
    found = [_question(where, row) for where, row in rows_of(DataConfig(source=named), named, mirror)]
    ids = [question.id for question in found]
    repeated = sorted({i for i in ids if ids.count(i) > 1})
    if repeated:
        raise UserError(f"{named}: two questions have the id {repeated[0]!r}")
    return found


def _question(where: str, row: Any) -> Question:
    if not isinstance(row, dict):
        raise UserError(f"{where}: expected an object with prompt_id, category, prompt and reference, found {type(row).__name__}")
    number = row.get("prompt_id", row.get("question_id"))
    if number is None or isinstance(number, bool) or str(number) == "":
        raise UserError(f"{where}: has no prompt_id (or question_id)")
    category = row.get("category")
    if not isinstance(category, str):
        raise UserError(f"{where}: category={category!r}: expected a text")
    turns = _texts(row.get("prompt", row.get("turns")))
    if turns is None or len(turns) != TURNS or not all(turn.strip() for turn in turns):
        raise UserError(f"{where}: prompt (or turns) must be a list of {TURNS} texts, one per turn")
    given = row.get("reference")
    references = _texts(given if given is not None else [])
    if references is None or len(references) > TURNS:
        raise UserError(f"{where}: reference must be a list of at most {TURNS} texts, empty where there is none")
    filled = (*references, *[""] * TURNS)[:TURNS]
    return Question(str(number), category, tuple(turns), tuple(filled), row)


def _texts(value: Any) -> Sequence[str] | None:
    """A list of texts, whether Python's or an array of a table; None for anything else."""
    listed = value.tolist() if hasattr(value, "tolist") else value
    return listed if isinstance(listed, list) and all(isinstance(text, str) for text in listed) else None
