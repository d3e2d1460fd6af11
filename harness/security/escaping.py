"""Text of models, data sets and strangers, made harmless for where it is shown: terminal, page, Markdown, LaTeX, csv.

What could act on its reader is shown instead of sent: control characters and escape codes, the marks that turn the direction of
a line around, invisible characters, halves of characters. Every way out of the program goes through one of these functions.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

Frame = Any  # a pandas.DataFrame, as in harness.analysis.facts

INVISIBLE_CATEGORIES = frozenset(
    {"Cc", "Cs", "Cf", "Co", "Cn", "Zl", "Zp"}
)  # Unicode's categories of characters that are not seen
FORMULA_START = re.compile(r"'*[=+\-@＝＋－＠]")  # what a spreadsheet takes for a formula, quoted already or not
ASCII_SPELLINGS = {
    "±": "+-",
    "–": "-",
    "—": "-",
    "…": "...",
    "·": ".",
    "×": "x",
    "≤": "<=",
    "≥": ">=",
    "‖": "||",
    "→": "->",
    "▽": "v",
    "‘": "'",
    "’": "'",
    "“": '"',
    "”": '"',
    "━": "-",
    "╸": "-",
    "╺": "-",
    "⏎": "/",
}
QUOTED_FORMULA_START = re.compile(r"'+[=+\-@＝＋－＠]")
LATEX_ESCAPES = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "±": r"$\pm$", "–": "--"}


def escape_invisible(value: Any, keep: str = "") -> str:
    r"""The text with everything that is not seen written out, an escape character as \u{1b}; `keep` names what stays as it is."""
    text = str(value)
    if text.isprintable():  # then nothing of it is in HIDDEN
        return text
    return "".join(f"\\u{{{ord(c):x}}}" if unicodedata.category(c) in INVISIBLE_CATEGORIES and c not in keep else c for c in text)


def to_ascii(character: str) -> str:
    r"""A character for a terminal that knows ASCII alone: ± as +-, what has no such spelling as \u{e9}."""
    return character if character.isascii() else ASCII_SPELLINGS.get(character, f"\\u{{{ord(character):x}}}")


def one_line(value: Any) -> str:
    """Visible text in which runs of white space, new lines among them, are one space."""
    return escape_invisible(" ".join(str(value).split()))


def escape_markdown(value: Any) -> str:
    """Text that Markdown and HTML take as text: one line, their special characters escaped."""
    line = one_line(value)
    escaped = "".join(f"\\{c}" if c in "\\`*_[]|#~$" else {"<": "&lt;", ">": "&gt;", "&": "&amp;"}.get(c, c) for c in line)
    return re.sub(r"^(\d*)([-+=.)])", r"\1\\\2", escaped)  # what begins a list or underlines a heading


def escape_latex(value: Any) -> str:
    """Text that LaTeX takes as text: one line, its special characters escaped."""
    return "".join(LATEX_ESCAPES.get(c, "\\" + c if c in "&%$#_{}" else c) for c in one_line(value))


def csv_quote(text: str) -> str:
    """A csv cell of text that no spreadsheet runs: an apostrophe before what would begin a formula. `uncell` takes it off."""
    escaped = escape_invisible(text)
    return "'" + escaped if FORMULA_START.match(escaped) else escaped


def csv_unquote(text: str) -> str:
    """What `cell` was given, its invisible characters aside."""
    return text[1:] if QUOTED_FORMULA_START.match(text) else text


def to_csv_text(table: Frame) -> str:
    """A pandas.DataFrame as csv: numbers as they are, text and the names of columns as `cell` writes them."""
    return _map_strings(table, csv_quote).to_csv(index=False, lineterminator="\n")


def read_csv_table(path: Path, text_columns: Collection[str] = ()) -> Frame:
    """The table that `csv_text` wrote to `path`; text: the columns that are read as text, whatever stands in them.

    An empty cell alone is a missing value: `null`, `NA` and `nan` in a column of text are words.
    """
    import pandas

    dtypes: Any = {"seed": "Int64", **dict.fromkeys(text_columns, str)}  # a float holds whole numbers up to 2^53 alone
    return _map_strings(pandas.read_csv(path, dtype=dtypes, keep_default_na=False, na_values=[""]), csv_unquote)


def _map_strings(table: Frame, convert: Callable[[str], str]) -> Frame:
    converted = table.rename(columns=convert)
    for column in converted:
        is_text = converted[column].map(lambda value: isinstance(value, str)).astype(bool)
        if is_text.any():
            converted.loc[is_text, column] = converted.loc[is_text, column].map(convert)
    return converted
