"""What the lab's task files call: their items beside them, and the checks a program can make of a response."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import datasets

from harness.lab.generated import Format
from harness.lab.speakers import Source, with_source


def load(skill: str, part: str = "", source: Source | None = None, **_: Any) -> datasets.DatasetDict:
    """Splits `test`, the items in the file beside this one, and `shots`, on the pairs' topics; plainly or of a source.

    `plain` is the prompt without its source.
    """
    rows = {"test": _items(f"lab_{skill}{part}.jsonl"), "shots": _items(f"lab_{skill}_shots.jsonl")}
    for row in (*rows["test"], *rows["shots"]):
        row["plain"] = row["prompt"]
        if source is not None:
            row["prompt"] = with_source(row["prompt"], source)
    return datasets.DatasetDict({split: datasets.Dataset.from_list(of_split) for split, of_split in rows.items()})


def _items(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (Path(__file__).parent / name).read_text(encoding="utf-8").splitlines()]


def exact(doc: dict[str, Any], results: list[Any]) -> dict[str, float]:
    """Whether the number the filter extracted is the answer."""
    found = results[0][0] if isinstance(results[0], list) else results[0]
    return {"exact_match": float(str(found).strip() == doc["answer"])}


def obedience(doc: dict[str, Any], results: list[str]) -> dict[str, float]:
    """Whether the response follows the prompt's instruction, checked by program."""
    skill = Format()
    fields = skill.fields_of(doc["plain"])
    assert fields is not None
    return {"prompt_level_strict_acc": float(skill.obeys(fields, results[0]))}
