"""The lab's items for tasks with few-shot prompts: questions from the first half, shots from the second."""

import json
from pathlib import Path

import datasets

import harness.lab


def load(skill: str, **_: object) -> dict[str, datasets.Dataset]:
    path = Path(harness.lab.__file__).parent / "tasks" / f"lab_{skill}.jsonl"
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return {"test": datasets.Dataset.from_list(rows[:80]), "shots": datasets.Dataset.from_list(rows[80:])}
