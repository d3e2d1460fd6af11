"""The size of type of a table that has to fit a width: wide type and upright heads where there is room, else smaller and turned.

A table that fits in no size has its columns divided into several tables of the same rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from harness.reporting.tables.latex.text_width import BOLD, number_width, text_width
from harness.security.escaping import escape_latex, one_line

PAPER_WIDTH = 396.0  # pt: 5.5 in, the text of one column of NeurIPS and ICLR
LANDSCAPE_WIDTH = 640.0  # pt: a little less than the 9 in that the text of such a page is high
MIN_TEXT_COLUMN = 48.0  # pt: a column of names is not made narrower than this; its words go on below
MAX_NAME_CHARS = 60
MAX_HEAD_CHARS = 24
MAX_WORD_CHARS, PIECE_CHARS = 12, 6
BOLD_MARK, UNDERLINE_MARK = "textbf", "underline"


@dataclass(frozen=True)
class Cell:
    """text: what a mark (BOLD_MARK, UNDERLINE_MARK or none) is put on; rest: what stands behind it. Both plain text."""

    text: str
    rest: str = ""
    mark: str = ""
    is_number: bool = True

    def width(self, size: float) -> float:
        measure = number_width if self.is_number else text_width
        return measure(self.text, size) * (BOLD if self.mark == BOLD_MARK else 1.0) + measure(self.rest, size)

    def latex(self) -> str:
        text, rest = (self._escaped(part) for part in (self.text, self.rest))
        return (f"\\{self.mark}{{{text}}}" if self.mark else text) + rest

    def _escaped(self, part: str) -> str:
        if not self.is_number:
            return " ".join(_breakable(word) for word in one_line(part).split(" "))
        escaped = " " * part.startswith(" ") + escape_latex(part)
        return escaped.replace("-", "$-$") if part not in ("–", "") else escaped


def _breakable(word: str) -> str:
    """A long word of a name may go on in the next line of its column."""
    if len(word) <= MAX_WORD_CHARS:
        return escape_latex(word)
    pieces = (word[start : start + PIECE_CHARS] for start in range(0, len(word), PIECE_CHARS))
    return r"\allowbreak{}".join(map(escape_latex, pieces))


@dataclass(frozen=True)
class Column:
    """head: plain text; a column of names is aligned "l" and may be broken into lines, one of numbers "r"."""

    head: str
    cells: Sequence[Cell]
    align: str = "r"

    def cells_width(self, size: float) -> float:
        return max((cell.width(size) for cell in self.cells), default=0.0)


@dataclass(frozen=True)
class Layout:
    """size: of type, in pt; gap: \\tabcolsep, in pt; turned: whether heads that are wider than their column stand upright."""

    size: float
    gap: float
    turned: bool
    text_column: float | None = None  # pt; of every column of names, None: as wide as its widest cell

    def is_turned(self, column: Column) -> bool:
        return self.turned and column.align == "r" and text_width(column.head, self.size) > column.cells_width(self.size)

    def column_width(self, column: Column) -> float:
        if column.align == "l" and self.text_column is not None:
            return self.text_column
        head = 1.2 * self.size if self.is_turned(column) else text_width(column.head, self.size)
        return max(head, column.cells_width(self.size))

    def width(self, columns: Sequence[Column]) -> float:
        """Of the whole table, in pt."""
        return sum(self.column_width(column) + 2 * self.gap for column in columns)


# Sizes that Computer Modern is cut in: TeX takes another of these for 8.5 and warns.
LAYOUTS = (Layout(9, 4, False), Layout(8, 2.5, False), Layout(9, 3, True), Layout(8, 2.5, True), Layout(7, 2, True))
SMALLER_LAYOUTS = (*LAYOUTS, Layout(6, 1.8, True))


def name_cell(name: str) -> Cell:
    return Cell(name if len(name) <= MAX_NAME_CHARS else name[: MAX_NAME_CHARS - 1] + "…", is_number=False)


def head(text: str) -> str:
    """A task's label as the head of a column."""
    return text if len(text) <= MAX_HEAD_CHARS else text[: MAX_HEAD_CHARS - 1] + "…"


def choose_layout(columns: Sequence[Column], limit: float, layouts: Sequence[Layout] = LAYOUTS) -> Layout | None:
    """The first layout that fits the limit (pt); names are broken into lines where only that helps; None where nothing does."""
    for layout in layouts:
        if layout.width(columns) <= limit:
            return layout
    smallest = layouts[-1]
    texts = [column for column in columns if column.align == "l"]
    numbers = sum(smallest.column_width(column) for column in columns if column.align != "l")
    text_column = (limit - numbers - 2 * smallest.gap * len(columns)) / max(len(texts), 1)
    return Layout(smallest.size, smallest.gap, smallest.turned, text_column) if text_column >= MIN_TEXT_COLUMN else None


def divide(
    names: Column, columns: Sequence[Column], limit: float, layouts: Sequence[Layout] = LAYOUTS
) -> list[tuple[list[Column], Layout]]:
    """The columns in as few tables as fit the limit, each with the names in front, with the layout of each."""
    for count in range(1, len(columns) + 1):
        size = -(-len(columns) // count)
        parts = [[names, *columns[i : i + size]] for i in range(0, len(columns), size)]
        chosen = [choose_layout(part, limit, layouts) for part in parts]
        if all(chosen):
            return [(part, layout) for part, layout in zip(parts, chosen, strict=True) if layout]
    last = Layout(layouts[-1].size, layouts[-1].gap, layouts[-1].turned, MIN_TEXT_COLUMN)
    return [([names, column], last) for column in columns]
