"""Rows of text in columns that fit a terminal. A first cell without room beside the others stands above them; no word is cut."""

from __future__ import annotations

import textwrap
from collections.abc import Collection, Sequence

GAP = "  "


def blocks(rows: Sequence[Sequence[str]], width: int, to_the_left: Collection[int] = (0,)) -> list[list[str]]:
    """The lines of every row; the first row is the header. to_the_left: indices of the columns that are aligned to the left."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    fits = sum(widths) + len(GAP) * (len(widths) - 1) <= width
    if not fits:
        widths[0] = len(GAP)

    def line(cells: Sequence[str]) -> str:
        aligned = (
            cell.ljust(size) if column in to_the_left else cell.rjust(size)
            for column, (cell, size) in enumerate(zip(cells, widths, strict=True))
        )
        return GAP.join(aligned).rstrip()

    if fits:
        return [[line(row)] for row in rows]
    header, *others = rows
    return [[line(["", *header[1:]])], *([*textwrap.wrap(row[0], width), line(["", *row[1:]])] for row in others)]
