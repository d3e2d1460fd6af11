"""Rows of annotated pairs in the shapes in which they are published -> Pairs: prompt, real response, turns before it.

    prompt + response     each as text or as turns: a column of PROMPT_COLUMNS beside one of RESPONSE_COLUMNS. This covers Alpaca,
                          Dolly, GSM8K, TRL's prompt + completion, and prompt + chosen, where `chosen` may repeat the prompt
    a conversation        messages, ShareGPT's conversations, SPIN's real: the answer that data.turns names, with all before it
    chosen                without a prompt: a conversation of turns or HH-RLHF's text, of which the last answer is the response

The first row's columns decide, prompt + response before a conversation; data.prompt_column and data.response_column overrule
them. Other columns: harness/language/data/columns.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from harness.analysis.plain_values import is_blank, plain
from harness.config import DataConfig
from harness.errors import UserError
from harness.language.data.columns import (
    CONTEXT_COLUMNS,
    HISTORY_COLUMNS,
    OTHER_RESPONSE_COLUMNS,
    SYSTEM_COLUMNS,
    check_no_unused_text,
    column_names,
    ignore_hint,
    is_on_own_lines,
)
from harness.language.data.conversations import (
    ROLES_BEFORE_ANSWER,
    RowError,
    Turn,
    answer_index,
    check_text,
    content_text,
    is_content_parts,
    is_hh_prompt,
    parse_conversation,
    parse_turns,
    to_messages,
)
from harness.settings.paths import resolve_path

PROMPT_COLUMNS = ("prompt", "question", "instruction", "query", "input")
RESPONSE_COLUMNS = ("response", "completion", "output", "answer", "chosen", "real")
CONVERSATION_COLUMNS = ("messages", "conversations", "conversation", "real", "chosen")
MAX_LISTED = 6  # files named in a line
Row = dict[str, Any]
Used = set[str | None]
Message = dict[str, str]


@dataclass(frozen=True)
class Pair:
    """One annotated pair as it stands in its source. turns: the conversation before the response, where there is more to it than
    one user turn; `prompt` is then the same as text.
    """

    prompt: str
    real: str
    where: str
    turns: tuple[Message, ...] = ()

    @property
    def normalized_prompt(self) -> str:
        """The prompt as prompts are compared: every turn without the white space around it."""
        return _as_text([{**turn, "content": turn["content"].strip()} for turn in self.turns]) or self.prompt.strip()

    @property
    def is_empty(self) -> bool:
        """Whether the prompt or the response is empty."""
        return not (self.turns[-1]["content"] if self.turns else self.prompt).strip() or not self.real.strip()


@dataclass(frozen=True)
class ColumnLayout:
    """The columns of prompt and response. Without a prompt, `response` holds whole conversations."""

    prompt: str | None
    response: str
    takes_last_answer: bool = False


def pairs_from_rows(rows: list[tuple[str, Any]], settings: DataConfig, source: str) -> tuple[list[Pair], str]:
    """The pairs of a source's rows, as they stand, and one line on the columns they come from. Raises UserError."""
    first = rows[0][1]
    if not isinstance(first, dict):
        raise UserError(f"data {source}: a row is {type(first).__name__}, expected an object with named columns")
    where, pairs = f"data {source}", []
    try:
        reader = _PairReader(settings, find_layout(settings, source, plain(first)))
        for where, row in rows:
            pairs.append(reader.pair(row, where))
    except RowError as error:
        raise UserError(f"{where}: {error}") from error
    reader.check_context_columns(source)
    return pairs, f"{source}: {_describe_files(rows, source)}{reader.describe()}"


def find_layout(settings: DataConfig, source: str, row: Row) -> ColumnLayout:
    """The columns of prompt and response, by the names in a row or as the settings have them. Raises UserError."""
    prompt, response = settings.prompt_column, settings.response_column
    if prompt is not None and prompt == response:
        raise UserError(f"data {source}: data.prompt_column and data.response_column are both {prompt!r}; name two columns")
    for name in (prompt, response):
        if name is not None and name not in row:
            raise UserError(f"data {source}: no column {name!r}; it has {_join_names(row)}")
    excluded_columns = (prompt, response, *column_names(settings.ignore_columns))
    columns = {str(name).lower(): name for name in row if name not in excluded_columns}
    prompt_by_name, response_by_name = (
        next((columns[name] for name in known if name in columns), None) for known in (PROMPT_COLUMNS, RESPONSE_COLUMNS)
    )
    if prompt is not None and response is None:
        turns = parse_turns(row[prompt])
        if turns and turns[-1].role == "assistant" and not (isinstance(row[prompt], str) and is_hh_prompt(row[prompt])):
            return ColumnLayout(None, prompt)
    if response is not None and prompt is None and prompt_by_name is None and parse_turns(row[response]):
        return ColumnLayout(None, response, takes_last_answer=True)
    prompt, response = prompt or prompt_by_name, response or response_by_name
    if prompt is not None and response is not None:
        return ColumnLayout(prompt, response)
    set_column = settings.prompt_column or settings.response_column
    conversation_column = next((columns[name] for name in CONVERSATION_COLUMNS if name in columns and set_column is None), None)
    if conversation_column is not None:
        return ColumnLayout(None, conversation_column, takes_last_answer=str(conversation_column).lower() == "chosen")
    if set_column is not None:
        missing = "response" if response is None else "prompt"
        raise UserError(f"data {source}: no column {missing!r}; it has {_join_names(row)}; use --set data.{missing}_column=NAME")
    hint = "split `text` into a column for each, named in" if "text" in columns else "use"
    hint += " --set data.prompt_column=NAME --set data.response_column=NAME"
    raise UserError(f"data {source}: cannot tell prompt from response among the columns {_join_names(row)}; {hint}")


class _PairReader:
    """Pairs from the rows of one layout; records which columns were used and which were not."""

    def __init__(self, settings: DataConfig, layout: ColumnLayout) -> None:
        self.layout = layout
        self.answer_choice: Literal["first", "last"] = settings.turns
        self.ignored_columns, self.context_columns = column_names(settings.ignore_columns), column_names(settings.context_columns)
        self.used_columns: dict[str, None] = {}
        self.unused_columns: dict[str, None] = {}
        self.seen_columns: set[str] = set()
        self.num_continued = 0

    def pair(self, raw: Any, where: str) -> Pair:
        """The pair of one row. `used` on the way: the columns that are part of it, or were looked at. Raises RowError."""
        if not isinstance(raw, dict):
            raise RowError(f"{type(raw).__name__} where an object with named columns was expected")
        row = {name: plain(value) for name, value in raw.items()}
        prompt, response = self.layout.prompt, self.layout.response
        used: Used = {prompt, response}
        if missing := [name for name in (prompt, response) if name is not None and name not in row]:
            raise RowError(
                f"no column {missing[0]!r}; it has {_join_names(row) or 'none'}; put rows of another shape than the first's into "
                "a file of their own"
            )
        label = str(row.get("label")).lower()
        unwanted = ("false", "0", "0.0") if response.lower() == "completion" else ("false",)
        if label in unwanted and "label" not in self.ignored_columns:
            raise RowError(
                f"label={label} marks an answer that is not wanted (KTO's format); leave such rows out, or take all with "
                f"{ignore_hint('label', self.ignored_columns)}"
            )
        turns, real, other_texts = self._from_conversation(row) if prompt is None else self._from_two_columns(row, prompt)
        turns = self._add_context(turns, row, used)
        if prompt is not None:
            turns = self._add_history(turns, row, used)
        turns = self._add_system(turns, row, used)
        if "system" in self.ignored_columns and "system" not in row:  # a turn of the conversation's own
            self.unused_columns.update({"system": None} if any(turn["role"] == "system" for turn in turns) else {})
            turns = [turn for turn in turns if turn["role"] != "system"]
        self.seen_columns.update(map(str, row))
        texts = [*(turn["content"] for turn in turns), real]
        for name, value in row.items():
            if name not in used:
                self._check_unused(str(name), value, texts, other_texts)
        if len(turns) == 1 and turns[0]["role"] == "user":
            return Pair(turns[0]["content"], real, where)
        return Pair(_as_text(turns), real, where, tuple(turns))

    def _from_conversation(self, row: Row) -> tuple[list[Message], str, list[str]]:
        """(turns before the response, response, the other texts of the conversation)"""
        column = self.layout.response
        turns = parse_conversation(row[column], column)
        answer_at = answer_index(turns, "last" if self.layout.takes_last_answer else self.answer_choice)
        later = turns[answer_at + 1 :]
        if self.layout.takes_last_answer and later:
            raise RowError(f"{column} ends in a turn of {turns[-1].role!r}, expected the assistant's answer")
        self.num_continued += any(turn.role == "assistant" for turn in later)
        self._check_turn_fields(turns[: answer_at + 1], column)
        later_texts = [turn.content for turn in later if isinstance(turn.content, str)]
        return to_messages(turns[:answer_at]), content_text(turns[answer_at].content), later_texts

    def _from_two_columns(self, row: Row, prompt: str) -> tuple[list[Message], str, list[str]]:
        response = self.layout.response
        prompt_turns = self._prompt_turns(row[prompt], prompt)
        value = row[response]
        turns = parse_turns(value) if not isinstance(value, str) or response.lower() == "chosen" else None
        if turns is None:
            return prompt_turns, _text_or_parts(value, response), []
        *earlier_turns, answer = turns
        if answer.role != "assistant":
            raise RowError(f"{response} ends in a turn of {answer.role!r}, expected the assistant's answer")
        self._check_turn_fields(turns, response)
        if earlier_turns:
            repeated_turns = to_messages(earlier_turns)
            repeated, expected = (
                [(turn["role"], turn["content"].strip()) for turn in messages] for messages in (repeated_turns, prompt_turns)
            )
            if repeated[: len(expected)] != expected and not (len(expected) == 1 and expected[0] in repeated):
                raise RowError(f"{response} has {len(turns)} turns, which do not begin with {prompt}; expected one answer")
            if repeated_turns[-1]["role"] == "assistant":
                raise RowError(f"{response} has several answers behind the prompt, expected one")
            prompt_turns = repeated_turns
        return prompt_turns, content_text(answer.content), []

    def _prompt_turns(self, value: Any, name: str) -> list[Message]:
        """The turns of a prompt: of one user where it is text."""
        turns = parse_turns(value) if not isinstance(value, str) or is_hh_prompt(value) else None
        if turns is None:
            return [{"role": "user", "content": _text_or_parts(value, name)}]
        if isinstance(value, str) and turns[-1].role == "assistant":
            turns = turns[:-1]  # HH-RLHF's prompts end in "Assistant:"
        self._check_turn_fields(turns, name)
        messages = to_messages(turns)
        if messages[-1]["role"] not in ROLES_BEFORE_ANSWER:
            raise RowError(f"{name} ends in a turn of {messages[-1]['role']!r}, expected the user's")
        return messages

    def _add_context(self, turns: list[Message], row: Row, used: Used) -> list[Message]:
        """The last turn with what belongs to it in columns of their own, each behind a blank line."""
        known = [name for name in row if str(name).lower() in CONTEXT_COLUMNS] if self.layout.prompt is not None else []
        known.sort(key=lambda name: CONTEXT_COLUMNS.index(str(name).lower()))
        content = turns[-1]["content"]
        for name in dict.fromkeys([*known, *(name for name in self.context_columns if name in row)]):
            if name in used or name in self.ignored_columns:
                continue
            used.add(name)
            if is_blank(value := row[name]):
                continue
            texts = value if isinstance(value, list) and all(isinstance(text, str) for text in value) else [value]
            context = "\n\n".join(self._context_text(text, name) for text in texts)
            # a prompt may be made up already of columns that are kept beside it
            already_there = is_on_own_lines(context, content)
            (self.unused_columns if already_there else self.used_columns)[name] = None
            if not already_there:
                content = f"{content}\n\n{context}" if content.strip() else context
        return [*turns[:-1], {**turns[-1], "content": content}]

    def _context_text(self, value: Any, name: str) -> str:
        if not isinstance(value, str):
            raise RowError(
                f"column {name!r} belongs to the prompt and is {type(value).__name__}, expected text or a list of texts; "
                f"write it as text, or {self._go_on_without(name)}"
            )
        return check_text(value, name)

    def _add_history(self, turns: list[Message], row: Row, used: Used) -> list[Message]:
        for name in self._take_columns(row, used, HISTORY_COLUMNS):
            if len(turns) > 1:
                raise RowError(f"column {name!r} beside a prompt of several turns; {self._go_on_without(name)}")
            value = row[name]
            if isinstance(value, list) and all(isinstance(entry, list) and len(entry) == 2 for entry in value):
                history = [Turn(("user", "assistant")[n], text) for entry in value for n, text in enumerate(entry)]
            elif isinstance(value, str) or (history := parse_turns(value)) is None:
                raise RowError(
                    f"column {name!r} must be a list of [question, answer] or of turns with role and content; "
                    f"mend it, or {self._go_on_without(name)}"
                )
            messages = to_messages(history)
            if messages[-1]["role"] == "user" and messages[-1]["content"].strip() == turns[0]["content"].strip():
                messages = messages[:-1]  # a history that ends in the prompt
            turns = [*messages, *turns]
        return turns

    def _add_system(self, turns: list[Message], row: Row, used: Used) -> list[Message]:
        for name in self._take_columns(row, used, SYSTEM_COLUMNS):
            text = self._context_text(row[name], name)
            system_texts = [turn["content"].strip() for turn in turns if turn["role"] in ("system", "developer")]
            if system_texts and text.strip() not in system_texts:
                raise RowError(
                    f"column {name!r} is another text than the conversation's own system turn; {self._go_on_without(name)}"
                )
            turns = turns if system_texts else [{"role": "system", "content": text}, *turns]
        return turns

    def _go_on_without(self, name: str) -> str:
        return f"go on without it with {ignore_hint(name, self.ignored_columns)}"

    def _take_columns(self, row: Row, used: Used, names: tuple[str, ...]) -> list[str]:
        """The row's columns of some names that are neither blank nor ignored; all of them are used then."""
        present = [name for name in row if str(name).lower() in names and name not in used and name not in self.ignored_columns]
        used.update(present)
        present = [name for name in present if not is_blank(row[name])]
        self.used_columns.update(dict.fromkeys(present))
        return present

    def _check_turn_fields(self, turns: list[Turn], column: str) -> None:
        """The other fields of the turns that are used: treated as columns are."""
        for turn in turns:
            for key, value in turn.extra.items():
                self._check_unused(f"{column}.{key}", value, [content_text(turn.content)] if turn.content else [])

    def _check_unused(self, name: str, value: Any, pair_texts: list[str], other_texts: Sequence[str] = ()) -> None:
        if is_blank(value):
            return
        self.unused_columns[name] = None
        if name not in self.ignored_columns and name.lower() not in OTHER_RESPONSE_COLUMNS:
            check_no_unused_text(name, value, pair_texts, other_texts, self.ignored_columns, self.context_columns)

    def check_context_columns(self, source: str) -> None:
        """Raises UserError when no row has a column that the settings put behind the prompt."""
        for name in self.context_columns:
            if name not in self.seen_columns:
                raise UserError(
                    f"data {source}: no column {name!r} (data.context_columns); it has {_join_names(sorted(self.seen_columns))}"
                )

    def describe(self) -> str:
        if self.layout.prompt is None:
            which = "last" if self.layout.takes_last_answer else self.answer_choice
            text = f"the {which} answer of each conversation in {self.layout.response}, with all before it"
            text += f" and {_join_names(self.used_columns)}" if self.used_columns else ""
            if self.num_continued:
                text += f" ({self.num_continued} go on after it, which is not read; data.turns=last takes the last answer)"
        else:
            text = f"prompt from {_join_names([self.layout.prompt, *self.used_columns])}, response from {self.layout.response}"
        return text + (f"; columns not used: {_join_names(self.unused_columns)}" if self.unused_columns else "")


def _describe_files(rows: list[tuple[str, Any]], source: str) -> str:
    """Which files of a folder the rows are from; nothing for a file or a data set of the hub."""
    folder = resolve_path(source)
    paths = [Path(path) for path in dict.fromkeys(where.rpartition(": ")[0] for where, _ in rows)]
    if not all(path != folder and path.is_relative_to(folder) for path in paths):
        return ""
    more = f" and {len(paths) - MAX_LISTED} more" if len(paths) > MAX_LISTED else ""
    return f"{_join_names(path.relative_to(folder) for path in paths[:MAX_LISTED])}{more}: "


def _text_or_parts(value: Any, name: str) -> str:
    return content_text(value, name) if is_content_parts(value) else check_text(value, name)


def _join_names(columns: Any) -> str:
    return ", ".join(map(str, columns))


def _as_text(turns: list[Message]) -> str:
    return "\n\n".join(f"{turn['role']}: {turn['content']}" for turn in turns)
