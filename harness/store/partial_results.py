"""Work kept inside a phase that is not finished: parts of it, each whole or not there, taken up again by the next attempt.

A shard is a JSON file under the name of its place in the work, with a key that says what it was made from and a digest of key and
rows; a shard whose key or digest does not fit is made again. The folder belongs to a phase's draft and is gone when that is
committed, so shards are never shared between phases, players or runs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from harness.errors import DamagedError
from harness.files import json_round_trip
from harness.progress import Advance
from harness.store import checked_records as kept

T = TypeVar("T")


class ChunkFiles:
    """A folder of shards; without a folder nothing is kept. notice: takes the line that says what is damaged."""

    def __init__(self, folder: Path | None = None, notify: Callable[[str], None] = lambda line: None) -> None:
        self.folder, self.notify = folder, notify

    def get(self, name: str, key: str) -> list[Any] | None:
        """The rows kept under `name` for exactly this `key`; None when there are none, or they are damaged, which is said."""
        if self.folder is None:
            return None
        try:
            stored = kept.read(self.folder / f"{name}.json")
        except DamagedError as error:
            self.notify(f"{error}; what it held is made again")
            return None
        return stored["rows"] if stored is not None and stored["key"] == key else None

    def put(self, name: str, key: str, rows: Sequence[Any]) -> None:
        if self.folder is not None:
            self.folder.mkdir(parents=True, exist_ok=True)
            kept.write(self.folder / f"{name}.json", json_round_trip({"key": key, "rows": list(rows)}))

    def map(
        self,
        name: str,
        items: Sequence[T],
        chunk_size: int,
        key: Callable[[Sequence[T]], str],
        compute: Callable[[Sequence[T]], list[Any]],
        advance: Advance = lambda n: None,
    ) -> list[Any]:
        """`work` on `size` items after the other, its rows in order; what an earlier attempt has kept is not done again.

        A row is plain JSON: numbers, texts, lists. The parts do not depend on what was kept, so neither do the rows. advance is
        told of what was kept; of the rest `work` tells.
        """
        all_rows: list[Any] = []
        for number, start in enumerate(range(0, len(items), chunk_size)):
            chunk = items[start : start + chunk_size]
            chunk_name, chunk_key = f"{name}-{number:05d}", key(chunk)
            rows = self.get(chunk_name, chunk_key)
            if rows is None:
                rows = compute(chunk)
                self.put(chunk_name, chunk_key, rows)
            else:
                advance(len(chunk))
            all_rows += rows
        return all_rows


@dataclass(frozen=True)
class PartialResults:
    """Where a phase that is not complete keeps what it has: shards of `size` rows each."""

    chunks: ChunkFiles
    chunk_size: int


NO_PARTIAL_RESULTS = PartialResults(ChunkFiles(), 1 << 30)
