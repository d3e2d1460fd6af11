"""Rows of a file or a hub data set -> the questions of a judged suite: two turns each, and reference answers if there are any."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.config import DataConfig
from harness.errors import UserError
from harness.records import digest
from harness.settings.paths import resolve_path
from harness.sources.rows import read_rows

TURNS = 2


@dataclass(frozen=True)
class Question:
    """A question of several turns. `references` holds one text per turn, empty where there is none; `row` all of its columns."""

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
    Raises UserError for a source that does not exist or a row that is not a question of two turns.
    """
    local_path = resolve_path(source, folder)
    source_name = str(local_path) if local_path.exists() else source
    questions = [_parse_question(where, row) for where, row in read_rows(DataConfig(source=source_name), source_name, mirror)]
    for question_id, count in Counter(question.id for question in questions).items():
        if count > 1:
            raise UserError(f"{source_name}: two questions have the id {question_id!r}")
    return questions


def _parse_question(where: str, row: Any) -> Question:
    if not isinstance(row, dict):
        raise UserError(f"{where}: expected an object with prompt_id, category, prompt and reference, found {type(row).__name__}")
    question_id = row.get("prompt_id", row.get("question_id"))
    if question_id is None or isinstance(question_id, bool) or str(question_id) == "":
        raise UserError(f"{where}: has no prompt_id (or question_id)")
    category = row.get("category")
    if not isinstance(category, str):
        raise UserError(f"{where}: category={category!r}: expected a text")
    turns = _as_string_list(row.get("prompt", row.get("turns")))
    if turns is None or len(turns) != TURNS or not all(turn.strip() for turn in turns):
        raise UserError(f"{where}: prompt (or turns) must be a list of {TURNS} texts, one per turn")
    reference = row.get("reference")
    references = _as_string_list(reference if reference is not None else [])
    if references is None or len(references) > TURNS:
        raise UserError(f"{where}: reference must be a list of at most {TURNS} texts, empty where there is none")
    return Question(str(question_id), category, tuple(turns), (*references, *[""] * (TURNS - len(references))), row)


def _as_string_list(value: Any) -> Sequence[str] | None:
    """A list of texts, from a Python list or an array of a table; None for anything else."""
    items = value.tolist() if hasattr(value, "tolist") else value
    return items if isinstance(items, list) and all(isinstance(text, str) for text in items) else None
