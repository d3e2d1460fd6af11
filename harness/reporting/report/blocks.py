"""The content of a report: sections of blocks, plain data that the templates of the PDF and the HTML page both read.

No text of a model or data set is ever source code of a template: all of it passes through `sanitize` and stays data.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from harness.reporting.display_text import NEW_LINE
from harness.security import escaping

Block = dict[str, Any]
MAX_WORD_CHARS = 40


def section(title: str, *blocks: Block | None) -> Block:
    """A section; blocks that are None are left out."""
    return {"title": title, "blocks": [block for block in blocks if block is not None]}


def text(content: str) -> Block:
    return {"kind": "text", "text": content}


def bullets(sentences: Iterable[str]) -> Block:
    return {"kind": "bullets", "items": list(sentences)}


def figure(name: str, caption: str, floats: bool = False) -> Block:
    """A figure of the run's plots folder, by its stem. floats: it may stand on top or at the foot of the next page with room."""
    return {"kind": "figure", "name": name, "caption": caption, "floats": floats}


def all_blocks(content: Mapping[str, Any]) -> Iterator[Block]:
    """Of the first page, the sections and the appendix."""
    yield from content.get("first_page", [])
    for part in [*content["sections"], *content.get("appendix", [])]:
        yield from part["blocks"]


def figure_names(content: Mapping[str, Any]) -> list[str]:
    return [block["name"] for block in all_blocks(content) if block["kind"] == "figure"]


def table(
    header: Sequence[str], rows: Sequence[Sequence[str]], caption: str, align: str = "", grow: str = "", size: float = 8.0
) -> Block | None:
    """A table, or None without rows. align: l or r per column (default: first left, others right); grow: 1 for columns that take
    the free width, 0 for those as wide as their text (default: all but the first); size: of type in points, for print. A rule is
    drawn where the first column changes, if it repeats."""
    if not rows:
        return None
    first_column = [row[0] for row in rows]
    repeats = len(set(first_column)) < len(first_column)
    group_starts = [i for i, (before, here) in enumerate(itertools.pairwise(first_column), 1) if repeats and here != before]
    return {
        "kind": "table",
        "header": list(header),
        "rows": [list(row) for row in rows],
        "caption": caption,
        "align": list(align or "l" + "r" * (len(header) - 1)),
        "grow": list(grow or "0" + "1" * (len(header) - 1)),
        "size": size,
        "groups": group_starts,
    }


def in_panel(panel: Mapping[str, Any]) -> str:
    """A panel's title as the end of a phrase; empty for the one panel without a title."""
    return f", {panel['title']}" if panel["title"] else ""


def samples(prompts: Sequence[dict[str, Any]]) -> Block | None:
    return {"kind": "samples", "prompts": list(prompts)} if prompts else None


def variants(entries: Sequence[dict[str, Any]]) -> Block:
    return {"kind": "variants", "entries": list(entries)}


def sanitize(content: Any) -> Any:
    """The same content with every text safe to typeset: invisible characters escaped, very long words broken."""
    if isinstance(content, Mapping):
        return {key: sanitize(value) for key, value in content.items()}
    if isinstance(content, (list, tuple)):
        return [sanitize(value) for value in content]
    return _break_long_words(escaping.escape_invisible(content.replace("\n", NEW_LINE))) if isinstance(content, str) else content


def _break_long_words(words: str) -> str:
    return " ".join("\u200b".join(w[i : i + MAX_WORD_CHARS] for i in range(0, len(w), MAX_WORD_CHARS)) for w in words.split(" "))
