"""A conversation in any of the forms it is published in -> turns of role and content, and which answer is the response.

{"role": "user", "content": "..."}                 messages, as transformers' chat templates take them
{"from": "human", "value": "..."}                  ShareGPT
{"role": "user", "content": [{"type": "text", "text": "..."}]}      content parts
{"role": ["user", ...], "content": ["...", ...]}   a sequence of structs, as `datasets` keeps it
[{"input": "...", "output": "..."}, ...]            a question and its answer together, by QUESTION_ANSWER_KEYS
["...", "...", ...]                                 texts in turn, the user's first
"\\n\\nHuman: ...\\n\\nAssistant: ..."                HH-RLHF
"""

from __future__ import annotations

import json
import re
import reprlib
from dataclasses import dataclass, field
from typing import Any, Literal

CHAT_ROLES = ("system", "developer", "user", "assistant", "tool", "function")
ROLES_BEFORE_ANSWER = ("user", "tool", "function")  # what an answer may follow
ROLE_ALIASES = {
    "human": "user",
    "prompter": "user",
    **dict.fromkeys(("gpt", "chatgpt", "bing", "bard", "model", "bot", "ai"), "assistant"),
    "observation": "tool",
}
ROLE_KEYS, CONTENT_KEYS = ("role", "from"), ("content", "value")
QUESTION_ANSWER_KEYS = tuple((question, answer) for question in ("input", "question", "prompt", "instruction", "human", "user")
               for answer in ("output", "answer", "response", "assistant", "bot"))  # fmt: skip
TEXT_PARTS = ("text", "input_text", "output_text")
HH_TURN = re.compile(r"(?:^|\n\n)(Human|Assistant): ?")


class RowError(ValueError):
    """What is wrong with a row, without its place in the source."""


@dataclass(frozen=True)
class Turn:
    """One turn as it stands in its source. extra: its other fields, None left out."""

    role: str
    content: Any
    extra: dict[str, Any] = field(default_factory=dict)


def check_text(value: Any, name: str) -> str:
    """A value that must be text that can be kept, encoded and printed. Raises RowError."""
    if not isinstance(value, str):
        raise RowError(
            f"{name}={reprlib.repr(value)} is {type(value).__name__}, expected text; write it as text, or leave such rows out"
        )
    if "\0" in value:
        raise RowError(f"{name} holds a NUL character (U+0000) at {value.index(chr(0))}; remove it")
    try:
        value.encode("utf-8")
    except UnicodeEncodeError as error:
        raise RowError(
            f"{name} holds text that cannot be encoded, a lone surrogate (half a character) at {error.start}; remove it"
        ) from error
    return value


def parse_conversation(value: Any, column: str) -> list[Turn]:
    """The turns of a whole conversation; contents are not checked yet. Raises RowError."""
    if isinstance(value, list) and all(isinstance(text, str) for text in value):
        turns = [Turn(("user", "assistant")[n % 2], text) for n, text in enumerate(value)]
    else:
        turns = parse_turns(value)
    if turns is None or len(turns) < 2:
        raise RowError(
            f"{column} must be a list of at least two turns with role and content (or from and value), "
            f"found {reprlib.repr(value)}" + ("; or text beside a column of prompts" if isinstance(value, str) else "")
        )
    return turns


def parse_turns(value: Any) -> list[Turn] | None:
    """The turns in a value, None where it holds none. Raises RowError for a turn without a role that is text."""
    if isinstance(value, str):
        return _parse_text(value)
    if isinstance(value, dict) and value and all(isinstance(v, (list, type(None))) for v in value.values()):
        columns = {name: entries for name, entries in value.items() if entries is not None}
        if len({len(entries) for entries in columns.values()}) != 1:
            return None
        value = [dict(zip(columns, entries, strict=True)) for entries in zip(*columns.values(), strict=True)]
    if isinstance(value, dict) and all(
        any(isinstance(value.get(key), str) for key in keys) for keys in (ROLE_KEYS, CONTENT_KEYS)
    ):
        value = [value]  # a single turn
    if not isinstance(value, (list, tuple)) or not value:
        return None
    if not all(isinstance(turn, dict) for turn in value) or is_content_parts(value):
        return None
    for pair in QUESTION_ANSWER_KEYS:
        if all(pair[0] in entry and pair[1] in entry and not any(key in entry for key in ROLE_KEYS) for entry in value):
            return [turn for entry in value for turn in _question_and_answer(entry, pair)]
    return [_parse_turn(turn) for turn in value]


def _question_and_answer(entry: dict[str, Any], keys: tuple[str, str]) -> list[Turn]:
    extra = {str(key): value for key, value in entry.items() if key not in keys and value is not None}
    return [Turn("user", entry[keys[0]], extra), Turn("assistant", entry[keys[1]])]


def _parse_text(text: str) -> list[Turn] | None:
    """HH-RLHF's dialogues, and a list that a table keeps as JSON."""
    if (start := re.match(r"\s*(?=Human:)", text)) is not None:
        pieces = HH_TURN.split(text[start.end() :])[1:]
        roles = {"Human": "user", "Assistant": "assistant"}
        return [Turn(roles[speaker], content) for speaker, content in zip(pieces[::2], pieces[1::2], strict=True)]
    if text.lstrip().startswith("[{"):
        try:
            value = json.loads(text)
        except (ValueError, RecursionError):
            return None
        return parse_turns(value)
    return None


def is_hh_prompt(text: str) -> bool:
    """Whether a text is a dialogue of HH-RLHF up to where the answer begins."""
    return bool(re.match(r"\s*Human:", text) and re.search(r"\n\nAssistant:\s*$", text))


def is_content_parts(value: Any) -> bool:
    """Whether a list holds content parts: texts, images and the like, without roles."""
    return isinstance(value, list) and all(
        isinstance(part, dict) and "type" in part and not any(key in part for key in ROLE_KEYS) for part in value
    )


def _parse_turn(raw: dict[str, Any]) -> Turn:
    role = next((raw[key] for key in ROLE_KEYS if raw.get(key) is not None), None)
    content = next((raw[key] for key in CONTENT_KEYS if raw.get(key) is not None), None)
    if role is None:
        raise RowError(f"a turn has no speaker (it has {', '.join(map(str, raw))}); expected role, or from")
    role = check_text(role, "a turn's role")
    known = {*CHAT_ROLES, *ROLE_ALIASES}
    name = role.strip().lower() if role.strip().lower() in known else role
    extra = {str(k): v for k, v in raw.items() if k not in (*ROLE_KEYS, *CONTENT_KEYS) and v is not None}
    return Turn(ROLE_ALIASES.get(name, name), content, extra)


def content_text(value: Any, name: str = "a turn's content") -> str:
    """A turn's text: its content, or the texts of its parts one behind the other. Raises RowError for anything but text."""
    if not isinstance(value, list):
        return check_text(value, name)
    texts = []
    for part in value:
        kind = part.get("type", "text") if isinstance(part, dict) else type(part).__name__
        if isinstance(part, str):
            texts.append(check_text(part, f"a part of {name}"))
        elif isinstance(part, dict) and kind in TEXT_PARTS:
            texts.append(check_text(part.get("text"), f"a part of {name}"))
        else:
            raise RowError(f"{name} has a part of the kind {reprlib.repr(kind)}; only text is read, leave such rows out")
    return "".join(texts)


def to_messages(turns: list[Turn]) -> list[dict[str, str]]:
    """Turns as chat templates take them. Raises RowError for a role that none has, or content that is not text."""
    for turn in turns:
        if turn.role not in CHAT_ROLES:
            raise RowError(
                f"a turn has the role {turn.role!r}; expected one of {', '.join(CHAT_ROLES)}; rename it, or leave it out"
            )
    return [{"role": turn.role, "content": content_text(turn.content)} for turn in turns]


def answer_index(turns: list[Turn], which: Literal["first", "last"]) -> int:
    """Where in a conversation the response stands: the first answer to a user or a tool, or the last. Raises RowError."""
    answers = [n for n, turn in enumerate(turns) if turn.role == "assistant" and n and turns[n - 1].role in ROLES_BEFORE_ANSWER]
    if not answers:
        roles = ", ".join(turn.role for turn in turns[:10])
        raise RowError(f"no assistant turn follows a user turn (roles: {roles}); leave such rows out")
    return answers[0] if which == "first" else answers[-1]
