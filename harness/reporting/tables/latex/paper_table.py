"""A table as LaTeX: a float with caption, label and note, or over several pages, upright or in landscape."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from harness.reporting.tables.latex.layout import LANDSCAPE_WIDTH, PAPER_WIDTH, SMALLER_LAYOUTS, Column, Layout, divide
from harness.reporting.tables.latex.text_width import text_width
from harness.security.escaping import escape_latex, one_line

RULE = ""
NOTE_SIZE = 8  # pt


@dataclass(frozen=True)
class PaperTable:
    """label: of \\ref, without `tab:`; caption and note: LaTeX, escaped. breaks: number of a row -> what stands above it: RULE
    for a line alone, else a title (plain text) below the line."""

    label: str
    caption: str
    note: str
    names: Column
    columns: Sequence[Column]
    breaks: Mapping[int, str] = field(default_factory=dict)

    def as_float(self) -> str:
        """A table no wider than PAPER_WIDTH."""
        parts = divide(self.names, self.columns, PAPER_WIDTH)
        tabulars = "\n\\par\\medskip\n".join(self._tabular(*part) for part in parts)
        lines = [
            _needs(tabulars, "booktabs"),
            r"\begin{table}[t]",
            r"\centering",
            rf"\caption{{{self.caption}}}",
            rf"\label{{tab:{self.label}}}",
            tabulars,
            rf"\par\smallskip\begin{{minipage}}{{\linewidth}}{_type(NOTE_SIZE)}{self.note}\end{{minipage}}",
            r"\end{table}",
        ]
        return "\n".join(lines) + "\n"

    def as_long_table(self, landscape: bool = False) -> str:
        """Over as many pages as it takes, its head on each; no wider than PAPER_WIDTH, in landscape LANDSCAPE_WIDTH."""
        parts = divide(self.names, self.columns, LANDSCAPE_WIDTH if landscape else PAPER_WIDTH, SMALLER_LAYOUTS)
        tables = "\n".join(self._long(part, layout, number) for number, (part, layout) in enumerate(parts))
        body = [r"\begingroup", r"\setlength{\LTcapwidth}{\linewidth}", tables,
                rf"\noindent{_type(NOTE_SIZE)}{self.note}\par", r"\endgroup"]  # fmt: skip
        if landscape:
            body = [r"\begin{landscape}", *body, r"\end{landscape}"]
        packages = ("booktabs", "longtable", "pdflscape") if landscape else ("booktabs", "longtable")
        return "\n".join([_needs(tables, *packages), *body]) + "\n"

    def _tabular(self, columns: Sequence[Column], layout: Layout) -> str:
        lines = [
            rf"{{{_type(layout.size)}\setlength{{\tabcolsep}}{{{layout.gap:g}pt}}%",
            rf"\begin{{tabular}}{{{_alignment(columns, layout)}}}",
            r"\toprule",
            _head(columns, layout),
            r"\midrule",
            *self._rows(columns, layout),
            r"\bottomrule",
            r"\end{tabular}}",
        ]
        return "\n".join(lines)

    def _long(self, columns: Sequence[Column], layout: Layout, number: int) -> str:
        first, title = _head(columns, layout), rf"\caption{{{self.caption}}}\label{{tab:{self.label}}}\\"
        lines = [
            rf"{_type(layout.size)}\setlength{{\tabcolsep}}{{{layout.gap:g}pt}}%",
            rf"\begin{{longtable}}{{{_alignment(columns, layout)}}}",
            *([title] if number == 0 else []),
            *(r"\toprule", first, r"\midrule", r"\endfirsthead"),
            *(r"\toprule", first, r"\midrule", r"\endhead"),
            *(r"\bottomrule", r"\endfoot"),
            *self._rows(columns, layout),
            r"\end{longtable}",
        ]
        return "\n".join(lines)

    def _rows(self, columns: Sequence[Column], layout: Layout) -> list[str]:
        lines = []
        for number, cells in enumerate(zip(*(column.cells for column in columns), strict=True)):
            if number in self.breaks:
                lines += [r"\midrule"] if number else []
                if title := self.breaks[number]:
                    lines.append(_section(title, columns, layout))
            lines.append(_line([cell.latex() for cell in cells]))
        return lines


def table_label(run: str, table: str) -> str:
    """`NAME-leaderboard`, of characters that may stand in a label."""
    return re.sub(r"[^A-Za-z0-9.-]+", "-", f"{run}-{table}")


def _line(cells: Sequence[str]) -> str:
    """A row; what a reader of `\\\\` would take for its argument is kept apart from it."""
    row = " & ".join(cells)
    return ("{}" if row[:1] in ("[", "*") else "") + row + r" \\"


def _section(title: str, columns: Sequence[Column], layout: Layout) -> str:
    """What stands above rows, over all columns; in several lines where it is wider than these."""
    width = layout.width(columns)
    kind = "l" if text_width(title, layout.size) <= width else rf"p{{{width:.0f}pt}}"
    return rf"\multicolumn{{{len(columns)}}}{{@{{}}{kind}@{{}}}}{{\textit{{{escape_latex(title)}}}}} \\"


def _head(columns: Sequence[Column], layout: Layout) -> str:
    heads = (escape_latex(column.head) for column in columns)
    pairs = zip(columns, heads, strict=True)
    return _line([rf"\rotatebox{{90}}{{{text}}}" if layout.is_turned(column) else text for column, text in pairs])


def _alignment(columns: Sequence[Column], layout: Layout) -> str:
    wide = "l" if layout.text_column is None else rf">{{\raggedright\arraybackslash}}p{{{layout.text_column:.0f}pt}}"
    return "@{}" + "".join(wide if column.align == "l" else column.align for column in columns) + "@{}"


def _type(size: float) -> str:
    """Of a fixed size: the names of sizes are larger in a document of 11 pt."""
    return rf"\fontsize{{{size:g}}}{{{1.2 * size:g}}}\selectfont{{}}"


def _needs(text: str, *packages: str) -> str:
    used = [
        *packages,
        *(name for name, command in {"graphicx": r"\rotatebox", "array": r"\arraybackslash"}.items() if command in text),
    ]
    return one_line(rf"% needs \usepackage{{{', '.join(used)}}}")
