"""Partial results of an unfinished phase: chunks of rows, each written atomically, reused by the next attempt.

A chunk is a JSON file named after its position, with a key of what it was computed from and a digest of key and rows; a chunk
whose key or digest does not match is computed again. The folder belongs to an unfinished phase and is removed when that is
committed, so chunks are never shared between phases, checkpoints or runs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from harness.errors import DamagedError
from harness.files import read_checked, write_checked
from harness.progress import Advance

T = TypeVar("T")


@dataclass(frozen=True)
class PartialResults:
    """A folder of chunks of `chunk_size` items; without a folder nothing is stored. notify: called with a line about damage."""

    folder: Path | None = None
    chunk_size: int = 1 << 30
    notify: Callable[[str], None] = lambda line: None

    def map(
        self,
        name: str,
        items: Sequence[T],
        key: Callable[[Sequence[T]], str],
        compute: Callable[[Sequence[T]], list[Any]],
        advance: Advance = lambda n: None,
    ) -> list[Any]:
        """Rows of `compute` on chunks of the items, in order; chunks stored by an earlier attempt are read instead.

        A row is plain JSON: numbers, texts, lists. The chunks do not depend on what is stored, so neither do the rows. `advance`
        is called for chunks that are read; for the others `compute` calls it.
        """
        all_rows: list[Any] = []
        for index, start in enumerate(range(0, len(items), self.chunk_size)):
            chunk = items[start : start + self.chunk_size]
            chunk_name, chunk_key = f"{name}-{index:05d}", key(chunk)
            rows = self._read(chunk_name, chunk_key)
            if rows is None:
                rows = compute(chunk)
                self._write(chunk_name, chunk_key, rows)
            else:
                advance(len(chunk))
            all_rows += rows
        return all_rows

    def _read(self, name: str, key: str) -> list[Any] | None:
        """The rows stored under `name` for exactly this `key`; None when there are none, or, with a notice, they are damaged."""
        try:
            stored = read_checked(self.folder / f"{name}.json") if self.folder is not None else None
        except DamagedError as error:
            self.notify(f"{error}; its rows are computed again")
            return None
        return stored["rows"] if stored is not None and stored["key"] == key else None

    def _write(self, name: str, key: str, rows: list[Any]) -> None:
        if self.folder is not None:
            self.folder.mkdir(parents=True, exist_ok=True)
            write_checked(self.folder / f"{name}.json", {"key": key, "rows": rows})


NO_PARTIAL_RESULTS = PartialResults()
