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
from harness.files import read_back
from harness.progress import Advance
from harness.store import checked_records as kept

T = TypeVar("T")


class Shards:
    """A folder of shards; without a folder nothing is kept. notice: takes the line that says what is damaged."""

    def __init__(self, folder: Path | None = None, notice: Callable[[str], None] = lambda line: None) -> None:
        self.folder, self.notice = folder, notice

    def get(self, name: str, key: str) -> list[Any] | None:
        """The rows kept under `name` for exactly this `key`; None when there are none, or they are damaged, which is said."""
        if self.folder is None:
            return None
        try:
            found = kept.get(self.folder / f"{name}.json")
        except DamagedError as error:
            self.notice(f"{error}; what it held is made again")
            return None
        return found["rows"] if found is not None and found["key"] == key else None

    def put(self, name: str, key: str, rows: Sequence[Any]) -> None:
        if self.folder is not None:
            self.folder.mkdir(parents=True, exist_ok=True)
            kept.put(self.folder / f"{name}.json", read_back({"key": key, "rows": list(rows)}))

    def each(
        self,
        name: str,
        items: Sequence[T],
        size: int,
        key: Callable[[Sequence[T]], str],
        work: Callable[[Sequence[T]], list[Any]],
        advance: Advance = lambda n: None,
    ) -> list[Any]:
        """`work` on `size` items after the other, its rows in order; what an earlier attempt has kept is not done again.

        A row is plain JSON: numbers, texts, lists. The parts do not depend on what was kept, so neither do the rows. advance is
        told of what was kept; of the rest `work` tells.
        """
        found: list[Any] = []
        for number, start in enumerate(range(0, len(items), size)):
            part = items[start : start + size]
            place, made_from = f"{name}-{number:05d}", key(part)
            rows = self.get(place, made_from)
            if rows is None:
                rows = work(part)
                self.put(place, made_from, rows)
            else:
                advance(len(part))
            found += rows
        return found


@dataclass(frozen=True)
class Unfinished:
    """Where a phase that is not complete keeps what it has: shards of `size` rows each."""

    shards: Shards
    size: int


NOTHING_KEPT = Unfinished(Shards(), 1 << 30)
