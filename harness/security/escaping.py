"""Untrusted text (models, data sets, other people's runs) escaped for its destination: terminal, page, Markdown, LaTeX, csv.

Control characters and escape codes, marks that reverse the direction of a line, invisible characters and halves of characters
are written out visibly. All output of the program goes through one of these functions.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection
from pathlib import Path
from typing import Any

Frame = Any  # a pandas.DataFrame, as in harness.analysis.facts

INVISIBLE_CATEGORIES = frozenset({"Cc", "Cs", "Cf", "Co", "Cn", "Zl", "Zp"})  # Unicode's categories of invisible characters
ASCII_SPELLINGS = {
    "±": "+-", "–": "-", "—": "-", "…": "...", "·": ".", "×": "x", "≤": "<=", "≥": ">=", "‖": "||", "→": "->", "▽": "v", "‘": "'",
    "’": "'", "“": '"', "”": '"', "━": "-", "╸": "-", "╺": "-", "⏎": "/",
}  # fmt: skip
LATEX_ESCAPES = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "±": r"$\pm$", "–": "--",
                 "<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}", "≤": r"$\leq$", "≥": r"$\geq$",
                 "×": r"$\times$", "→": r"$\to$", "−": "$-$", "‖": r"$\Vert$", "·": r"$\cdot$", "∞": r"$\infty$",
                 "≠": r"$\neq$", "≈": r"$\approx$"}  # fmt: skip
LATIN_CAPITALS = {"alpha": "A", "beta": "B", "epsilon": "E", "zeta": "Z", "eta": "H", "iota": "I", "kappa": "K", "mu": "M",
                  "nu": "N", "omicron": "O", "rho": "P", "tau": "T", "chi": "X"}  # fmt: skip


def escape_invisible(value: Any, keep: str = "") -> str:
    r"""The text with invisible characters written out, an escape character as \u{1b}; those in `keep` stay."""
    text = str(value)
    if text.isprintable():  # then it has none of INVISIBLE_CATEGORIES
        return text
    return "".join(f"\\u{{{ord(c):x}}}" if unicodedata.category(c) in INVISIBLE_CATEGORIES and c not in keep else c for c in text)


def to_ascii(character: str) -> str:
    r"""A character for a terminal that can only print ASCII: ± as +-, one without a spelling as \u{e9}."""
    return character if character.isascii() else ASCII_SPELLINGS.get(character, f"\\u{{{ord(character):x}}}")


def one_line(value: Any) -> str:
    """Escaped text in which runs of white space, newlines too, are one space."""
    return escape_invisible(" ".join(str(value).split()))


def escape_markdown(value: Any) -> str:
    """The text for Markdown and HTML: one line, their special characters escaped."""
    line = one_line(value)
    escaped = "".join(f"\\{c}" if c in "\\`*_[]|#~$" else {"<": "&lt;", ">": "&gt;", "&": "&amp;"}.get(c, c) for c in line)
    return re.sub(r"^(\d*)([-+=.)])", r"\1\\\2", escaped)  # starts of lists and underlines of headings


def escape_latex(value: Any) -> str:
    """The text for LaTeX: one line, its special characters escaped."""
    return "".join(LATEX_ESCAPES.get(c, "\\" + c if c in "&%$#_{}" else _greek(c)) for c in one_line(value))


def _greek(character: str) -> str:
    r"""A Greek letter as LaTeX's command, β as $\beta$; any other character as it is."""
    kind, _, letter = unicodedata.name(character, "").partition(" LETTER ")
    letter = {"LAMDA": "lambda", "FINAL SIGMA": "varsigma"}.get(letter, letter.lower())
    if kind not in ("GREEK SMALL", "GREEK CAPITAL") or " " in letter:
        return character
    if kind == "GREEK CAPITAL":
        return LATIN_CAPITALS.get(letter, rf"$\{letter.capitalize()}$")
    return "o" if letter == "omicron" else rf"$\{letter}$"


def escape_bibtex(value: Any) -> str:
    """The text for a field of BibTeX, whose braces are counted even behind a backslash."""
    return escape_latex(value).replace(r"\{", r"\textbraceleft{}").replace(r"\}", r"\textbraceright{}")


def to_csv_text(table: Frame) -> str:
    """A pandas.DataFrame as csv: numbers as they are, invisible characters of text and of column names written out."""
    escaped = table.rename(columns=escape_invisible)
    for column in escaped:
        is_text = escaped[column].map(lambda value: isinstance(value, str)).astype(bool)
        if is_text.any():
            escaped.loc[is_text, column] = escaped.loc[is_text, column].map(escape_invisible)
    return escaped.to_csv(index=False, lineterminator="\n")


def read_csv_table(path: Path, text_columns: Collection[str] = ()) -> Frame:
    """The table that `to_csv_text` wrote to `path`. text_columns: the columns to read as text, whatever they hold.

    Only an empty cell is a missing value: `null`, `NA` and `nan` in a column of text are words.
    """
    import pandas

    dtypes: Any = {"seed": "Int64", **dict.fromkeys(text_columns, str)}  # a float is exact up to 2^53 only
    return pandas.read_csv(path, dtype=dtypes, keep_default_na=False, na_values=[""])
