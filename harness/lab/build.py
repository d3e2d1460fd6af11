"""Rebuild the lab from a seed: `python -m harness.lab.build --seed 0 --out DIR` writes data, tasks' items, tokenizer and base.

Data, items and tokenizer come out byte for byte as shipped; the base's weights agree up to rounding of the machine.
"""

from __future__ import annotations

import argparse
import itertools
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from harness.lab import corpus, pretrain
from harness.lab.tokenizer import train_tokenizer

PARTS = ("data", "tokenizer", "base")
TOKENIZER_TEXTS = 20_000


def build(out: Path, seed: int, parts: Iterable[str]) -> None:
    """Write these parts below `out`: data/*.jsonl and tasks/*.jsonl, base/tokenizer*, base/model.safetensors."""
    items = corpus.benchmark_items(seed)
    task_prompts = frozenset(item["prompt"] for rows in items.values() for item in rows)
    if "data" in parts:
        train, heldout = corpus.pairs(seed)
        _write(out / "data" / "train.jsonl", train)
        _write(out / "data" / "heldout.jsonl", heldout)
        for skill, rows in items.items():
            _write(out / "tasks" / f"lab_{skill}.jsonl", rows)
        for skill, rows in corpus.validation_items(seed).items():
            _write(out / "tasks" / f"lab_{skill}_validation.jsonl", rows)
    base = out / "base"
    if "tokenizer" in parts:
        base.mkdir(parents=True, exist_ok=True)
        documents = itertools.islice(corpus.pretraining(seed, task_prompts, pretrain.STAGES[0].mixture), TOKENIZER_TEXTS)
        train_tokenizer((text for pair in documents for text in pair), base)
    if "base" in parts:
        record = pretrain.pretrain(base, task_prompts, seed)
        (base / "training.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


def _write(path: Path, rows: list[dict[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as handle:
        handle.writelines(json.dumps(row, ensure_ascii=True) + "\n" for row in rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent, help="default: the installed package")
    parser.add_argument("--only", choices=PARTS, action="append", help="rebuild only this part; may be repeated")
    arguments = parser.parse_args()
    build(arguments.out, arguments.seed, arguments.only or PARTS)


if __name__ == "__main__":
    main()
