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

HIDDEN = frozenset({"Cc", "Cs", "Cf", "Co", "Cn", "Zl", "Zp"})  # Unicode's categories of characters that are not seen
FORMULA = re.compile(r"'*[=+\-@＝＋－＠]")  # what a spreadsheet takes for a formula, quoted already or not
SPELLED = {"±": "+-", "–": "-", "—": "-", "…": "...", "·": ".", "×": "x", "≤": "<=", "≥": ">=", "‖": "||", "→": "->", "▽": "v",
           "‘": "'", "’": "'", "“": '"', "”": '"', "━": "-", "╸": "-", "╺": "-", "⏎": "/"}  # fmt: skip
QUOTED = re.compile(r"'+[=+\-@＝＋－＠]")
TEX = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "±": r"$\pm$", "–": "--"}


def visible(words: Any, keep: str = "") -> str:
    r"""The text with everything that is not seen written out, an escape character as \u{1b}; `keep` names what stays as it is."""
    text = str(words)
    if text.isprintable():  # then nothing of it is in HIDDEN
        return text
    return "".join(f"\\u{{{ord(c):x}}}" if unicodedata.category(c) in HIDDEN and c not in keep else c for c in text)


def in_ascii(character: str) -> str:
    r"""A character for a terminal that knows ASCII alone: ± as +-, what has no such spelling as \u{e9}."""
    return character if character.isascii() else SPELLED.get(character, f"\\u{{{ord(character):x}}}")


def one_line(words: Any) -> str:
    """Visible text in which runs of white space, new lines among them, are one space."""
    return visible(" ".join(str(words).split()))


def markdown(words: Any) -> str:
    """Text that Markdown and HTML take as text: one line, their special characters escaped."""
    line = one_line(words)
    safe = "".join(f"\\{c}" if c in "\\`*_[]|#~$" else {"<": "&lt;", ">": "&gt;", "&": "&amp;"}.get(c, c) for c in line)
    return re.sub(r"^(\d*)([-+=.)])", r"\1\\\2", safe)  # what begins a list or underlines a heading


def latex(words: Any) -> str:
    """Text that LaTeX takes as text: one line, its special characters escaped."""
    return "".join(TEX.get(c, "\\" + c if c in "&%$#_{}" else c) for c in one_line(words))


def cell(text: str) -> str:
    """A csv cell of text that no spreadsheet runs: an apostrophe before what would begin a formula. `uncell` takes it off."""
    seen = visible(text)
    return "'" + seen if FORMULA.match(seen) else seen


def uncell(text: str) -> str:
    """What `cell` was given, its invisible characters aside."""
    return text[1:] if QUOTED.match(text) else text


def csv_text(table: Frame) -> str:
    """A pandas.DataFrame as csv: numbers as they are, text and the names of columns as `cell` writes them."""
    return _each_text(table, cell).to_csv(index=False, lineterminator="\n")


def from_csv(path: Path, text: Collection[str] = ()) -> Frame:
    """The table that `csv_text` wrote to `path`; text: the columns that are read as text, whatever stands in them.

    An empty cell alone is a missing value: `null`, `NA` and `nan` in a column of text are words.
    """
    import pandas

    kinds: Any = {"seed": "Int64", **dict.fromkeys(text, str)}  # a float holds whole numbers up to 2^53 alone
    return _each_text(pandas.read_csv(path, dtype=kinds, keep_default_na=False, na_values=[""]), uncell)


def _each_text(table: Frame, change: Callable[[str], str]) -> Frame:
    changed = table.rename(columns=change)
    for column in changed:
        texts = changed[column].map(lambda value: isinstance(value, str)).astype(bool)
        if texts.any():
            changed.loc[texts, column] = changed.loc[texts, column].map(change)
    return changed
