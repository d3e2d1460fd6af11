"""What a report is made of: sections of blocks, plain data that the PDF's and the HTML's templates both read.

No text of a model or data set is ever source code of a template: it passes through `visible` and stays data.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence
from typing import Any

Block = dict[str, Any]
LONGEST_TEXT = 400
BREAK_AFTER = 40


def section(title: str, *blocks: Block | None, alone: bool = False) -> Block:
    """A section; blocks that have nothing to show (None) are left out. alone: in print, the next section begins a page."""
    return {"title": title, "blocks": [block for block in blocks if block is not None], "alone": alone}


def text(words: str) -> Block:
    return {"kind": "text", "text": words}


def bullets(sentences: Iterable[str]) -> Block:
    return {"kind": "bullets", "items": list(sentences)}


def figure(name: str, caption: str) -> Block:
    """A figure of the run's plots folder, by its stem."""
    return {"kind": "figure", "name": name, "caption": caption}


def table(
    header: Sequence[str], rows: Sequence[Sequence[str]], caption: str, align: str = "", grow: str = "", size: float = 8.0
) -> Block | None:
    """A table, or None without rows. align: l or r per column (default: first left, others right); grow: 1 for columns that take
    the free width, 0 for those as wide as their text (default: all but the first); size of type in points for print. A rule is
    drawn where the first column changes, if it repeats.
    """
    if not rows:
        return None
    first = [row[0] for row in rows]
    starts = [i for i in range(1, len(first)) if first[i] != first[i - 1]] if len(set(first)) < len(first) else []
    return {
        "kind": "table",
        "header": list(header),
        "rows": [list(row) for row in rows],
        "caption": caption,
        "align": list(align or "l" + "r" * (len(header) - 1)),
        "grow": list(grow or "0" + "1" * (len(header) - 1)),
        "size": size,
        "groups": starts,
    }


def samples(prompts: Sequence[dict[str, Any]]) -> Block | None:
    return {"kind": "samples", "prompts": list(prompts)} if prompts else None


def variants(entries: Sequence[dict[str, Any]]) -> Block:
    return {"kind": "variants", "entries": list(entries)}


def visible(words: Any) -> str:
    """Text safe to set: control characters and lone surrogates shown as escapes, very long words broken, length bounded."""
    shown = "".join(_shown(c) for c in str(words))
    shown = shown if len(shown) <= LONGEST_TEXT else shown[:LONGEST_TEXT] + " […]"
    broken = ("\u200b".join(word[i : i + BREAK_AFTER] for i in range(0, len(word), BREAK_AFTER)) for word in shown.split(" "))
    return " ".join(broken)


def _shown(character: str) -> str:
    if character == "\n":
        return " ⏎ "
    if unicodedata.category(character) in ("Cc", "Cs", "Cf", "Co", "Cn"):
        return f"\\u{{{ord(character):x}}}"
    return character
