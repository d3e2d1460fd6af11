"""Rebuild the lab from a seed: `python -m harness.lab.build --seed 0 --out DIR` writes items, data, tokenizer, base, `sft` start.

Data, items and tokenizer come out byte for byte as shipped; weights agree up to rounding of the machine.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from harness.lab import corpus, fine_tune, pretrain
from harness.lab.lexicon import Part
from harness.lab.tokenizer import write_tokenizer
from harness.lab.world import VOCABULARY

PARTS = ("data", "tokenizer", "base", "sft")
ITEM_FILES: Mapping[Part, str] = {"test": "", "validation": "_validation", "pairs": "_shots"}


def build(out: Path, seed: int, parts: Iterable[str]) -> None:
    """Write these parts below `out`: data/*.jsonl and tasks/*.jsonl, base/tokenizer*, base/model.safetensors, sft/."""
    base, tuned = out / "base", out / "sft"
    if "data" in parts:
        for name, (train, heldout) in {"": corpus.pairs(seed), "pool_": corpus.pool(seed)}.items():
            _write(out / "data" / f"{name}train.jsonl", train)
            _write(out / "data" / f"{name}heldout.jsonl", heldout)
        for part, suffix in ITEM_FILES.items():
            for skill, rows in corpus.items(seed, part).items():
                _write(out / "tasks" / f"lab_{skill}{suffix}.jsonl", rows)
    if "tokenizer" in parts:
        write_tokenizer(VOCABULARY, base)
    if "base" in parts:
        _record(base, pretrain.pretrain(base, seed))
    if "sft" in parts:
        _record(tuned, fine_tune.fine_tune(base, tuned, seed))


def _record(folder: Path, record: dict[str, Any]) -> None:
    (folder / "training.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


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
