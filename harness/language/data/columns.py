"""How a row's columns beside prompt and response are treated: part of the prompt, listed as not used, or refused.

system, history, context, input, ...     part of the prompt, by their names (SYSTEM_, HISTORY_, CONTEXT_COLUMNS)
data.context_columns                     part of the prompt, behind it
id, source, score, ...                   listed as not used: a short label, a number, a list of them
rejected, generated                      listed as not used: other answers to the same prompt
a copy of what is in the pair            listed as not used
any other text                           refused, unless data.ignore_columns names it
"""

from __future__ import annotations

import re
import reprlib
from collections.abc import Iterator, Sequence
from typing import Any

from harness.language.data.conversations import RowError

SYSTEM_COLUMNS = ("system", "system_prompt", "system_message")
HISTORY_COLUMNS = ("history", "conversation_history", "chat_history")
CONTEXT_COLUMNS = (
    "input",
    "context",
    "contexts",
    "passage",
    "passages",
    "document",
    "documents",
    "article",
    "background",
    "schema",
)
OTHER_RESPONSE_COLUMNS = ("rejected", "generated")
# What a prompt may consist of beside text; none of it is used.
NON_TEXT_COLUMNS = ("image", "images", "audio", "audios", "video", "videos", "tools", "functions", "tool_calls", "function_call")
# The last word of a column's name that describes the row, where its value is short: prompt_id, createdAt, url.
LABEL_WORDS = frozenset({
    "annotator", "at", "author", "category", "categories", "count", "created", "date", "dataset", "datasets", "difficulty",
    "domain", "generator", "guid", "hash", "id", "ids", "idx", "index", "info", "kind", "label", "labels", "lang", "language",
    "languages", "length", "level", "license", "licence", "link", "links", "locale", "md5", "meta", "metadata", "model",
    "models", "name", "quality", "rank", "rating", "ratings", "score", "scores", "sha", "sha256", "skill", "skills", "source",
    "sources", "split", "subcategory", "subject", "subset", "tag", "tags", "time", "timestamp", "tokens", "topic", "topics",
    "type", "types", "uid", "updated", "url", "urls", "uuid", "version", "year",
})  # fmt: skip
MAX_LABEL_LENGTH = 200  # characters


def column_names(value: str | Sequence[str]) -> list[str]:
    """The columns that a setting names: a list, or one text with commas."""
    return [name.strip() for name in value.split(",")] if isinstance(value, str) else list(value)


def is_label(name: str, value: Any) -> bool:
    """Whether a column describes its row and is no part of it, by the last word of its name and a short value."""
    words = re.findall(r"[a-z0-9]+", re.sub(r"([a-z0-9])([A-Z])", r"\1_\2", name).lower())
    has_label_name = bool(words) and (words[-1] in LABEL_WORDS or words[0] in ("score", "rating"))
    return has_label_name and not (isinstance(value, str) and (len(value) > MAX_LABEL_LENGTH or "\n" in value.strip()))


def iter_texts(value: Any) -> Iterator[str]:
    """Every text in a value that is more than a code (an id, a date, a word of ASCII alone): what a prompt may consist of."""
    if isinstance(value, str):
        stripped = value.strip()
        if any(map(str.isalpha, stripped)) and (not stripped.isascii() or re.search(r"\s", stripped)):
            yield value
    elif isinstance(value, dict):
        for inner in value.values():
            yield from iter_texts(inner)
    elif isinstance(value, (list, tuple)):
        for inner in value:
            # a word is a label where it stands alone, and one of the choices to answer with where there are several
            is_choice = isinstance(inner, str) and len(value) > 1 and inner.strip().isalpha() and inner.isascii()
            yield from [inner] if is_choice else iter_texts(inner)


def normalize(text: str) -> str:
    return " ".join(text.split()).casefold()


def is_on_own_lines(text: str, container: str) -> bool:
    """Whether a text stands in another one on lines of its own."""
    return re.search(rf"(?:^|\n)[ \t]*{re.escape(text.strip())}[ \t\r]*(?:\n|$)", container) is not None


def ignore_hint(name: str, ignored: Sequence[str] = ()) -> str:
    """What to type to leave out a column beside those that are left out already."""
    return f"--set data.ignore_columns={','.join([*ignored, name])}"


def check_no_unused_text(
    name: str,
    value: Any,
    pair_texts: Sequence[str],
    other_texts: Sequence[str],
    ignored_columns: Sequence[str] = (),
    context_columns: Sequence[str] = (),
) -> None:
    """Raises RowError when a column that is not used holds text that is not in the pair.

    pair_texts: every text of the pair; other_texts: those of its conversation beside it; ignored_columns, context_columns: what
    data.ignore_columns and data.context_columns name already. A text is in the pair when it is one of these, stands in one on
    lines of its own, or holds every paragraph of the pair (a rendering).
    """
    go_on = f"go on without it with {ignore_hint(name, ignored_columns)}"
    if name.rpartition(".")[2].lower() in NON_TEXT_COLUMNS:
        raise RowError(
            f"column {name!r} holds what may belong to the prompt and is not text, which alone is read: leave such rows out, or "
            f"{go_on}"
        )
    if is_label(name, value) or not (texts := list(iter_texts(value))):
        return
    known = {*map(normalize, (*pair_texts, *other_texts))}
    paragraphs = [normalize(paragraph) for part in pair_texts for paragraph in part.split("\n\n")]
    for text in texts:
        normalized = normalize(text)
        is_rendering = bool(paragraphs) and all(paragraph in normalized for paragraph in paragraphs)
        if normalized in known or is_rendering or any(is_on_own_lines(text, part) for part in pair_texts):
            continue
        parts = value if isinstance(value, list) else [value]
        if "." not in name and all(isinstance(part, str) for part in parts):
            context = ",".join([*context_columns, name])
            go_on = f"put it behind the prompt with --set data.context_columns={context}, or {go_on}"
        raise RowError(f"column {name!r} holds text that is in neither prompt nor response: {reprlib.repr(text)}; {go_on}")
