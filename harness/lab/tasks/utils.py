"""What the lab's task files call: their items beside them, and the checks a program can make of a response."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import datasets

from harness.lab.corpus import FIXED_SHOTS
from harness.lab.generated import Format


def load(skill: str, part: str = "", **_: Any) -> datasets.DatasetDict:
    """Splits `test` and, for a few-shot task, `shots`: its first items, the same for every question."""
    lines = (Path(__file__).parent / f"lab_{skill}{part}.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    shots = FIXED_SHOTS.get(skill, 0)
    splits: Any = {"test": datasets.Dataset.from_list(rows[shots:])}
    if shots:
        splits["shots"] = datasets.Dataset.from_list(rows[:shots])
    return datasets.DatasetDict(splits)


def exact(doc: dict[str, Any], results: list[Any]) -> dict[str, float]:
    """Whether the number the filter extracted is the answer."""
    found = results[0][0] if isinstance(results[0], list) else results[0]
    return {"exact_match": float(str(found).strip() == doc["answer"])}


def obedience(doc: dict[str, Any], results: list[str]) -> dict[str, float]:
    """Whether the response follows the prompt's instruction, checked by program."""
    skill = Format()
    fields = skill.fields_of(doc["prompt"])
    assert fields is not None
    return {"prompt_level_strict_acc": float(skill.obeys(fields, results[0]))}
