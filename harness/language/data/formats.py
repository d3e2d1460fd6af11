"""Rows of annotated pairs in the shapes in which they are published -> Pairs: prompt, real response, turns before it.

    prompt + response     each as text or as turns: a prompt (PROMPTS) beside a response (RESPONSES). This covers Alpaca, Dolly,
                          GSM8K, TRL's prompt + completion, and prompt + chosen, where `chosen` may repeat the prompt
    a conversation        messages, ShareGPT's conversations, SPIN's real: the answer that data.turns names, with all before it
    chosen                without a prompt: a conversation of turns or HH-RLHF's text, of which the last answer is the response

The first row's columns decide, prompt + response before a conversation; data.prompt_column and data.response_column overrule
them. What becomes of other columns says harness/language/data/columns.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from harness.analysis.plain_values import is_blank, plain
from harness.config import DataConfig
from harness.errors import UserError
from harness.language.data.columns import (
    HISTORY,
    MATERIAL,
    OTHER_ANSWERS,
    SYSTEM,
    ignoring,
    names,
    refuse_text,
    stands_in,
)
from harness.language.data.conversations import (
    Turn,
    answer_place,
    as_messages,
    as_turns,
    content_of,
    conversation,
    is_hh_prompt,
    is_parts,
    text_of,
)
from harness.settings.paths import resolve_path

PROMPTS = ("prompt", "question", "instruction", "query", "input")
RESPONSES = ("response", "completion", "output", "answer", "chosen", "real")
CONVERSATIONS = ("messages", "conversations", "conversation", "real", "chosen")
LISTED = 6  # files named in a line
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
    def asked(self) -> str:
        """The prompt as prompts are compared: every turn without the white space around it."""
        return _as_text([{**turn, "content": turn["content"].strip()} for turn in self.turns]) or self.prompt.strip()

    @property
    def is_empty(self) -> bool:
        """Whether nothing is asked or nothing is answered."""
        return not (self.turns[-1]["content"] if self.turns else self.prompt).strip() or not self.real.strip()


@dataclass(frozen=True)
class Layout:
    """The columns of prompt and response. Without a prompt, `response` holds whole conversations; last: their last answer."""

    prompt: str | None
    response: str
    last: bool = False


def read_pairs_of(rows: list[tuple[str, Any]], settings: DataConfig, source: str) -> tuple[list[Pair], str]:
    """The pairs of a source's rows, as they stand, and one line that says which columns they were made of. Raises UserError."""
    first = rows[0][1]
    if not isinstance(first, dict):
        raise UserError(f"data {source}: a row is {type(first).__name__}, expected an object with named columns")
    reader = _Reader(settings, find_layout(settings, source, plain(first)))
    pairs = [reader.pair(row, where) for where, row in rows]
    reader.refuse_missing(source)
    return pairs, f"{source}: {_files(rows, source)}{reader.described()}"


def find_layout(settings: DataConfig, source: str, row: dict[str, Any]) -> Layout:
    """The columns of prompt and response, by the names in a row or as the settings have them. Raises UserError."""
    prompt, response = settings.prompt_column, settings.response_column
    if prompt is not None and prompt == response:
        raise UserError(f"data {source}: data.prompt_column and data.response_column are both {prompt!r}; name two columns")
    for name in (prompt, response):
        if name is not None and name not in row:
            raise UserError(f"data {source}: no column {name!r}; it has {_listed(row)}")
    others = [name for name in row if name not in (prompt, response, *names(settings.ignore_columns))]
    columns = {str(name).lower(): name for name in others}
    found = [next((columns[name] for name in known if name in columns), None) for known in (PROMPTS, RESPONSES)]
    if prompt is not None and response is None:
        turns = as_turns(row[prompt], f"data {source}")
        if turns and turns[-1].role == "assistant" and not (isinstance(row[prompt], str) and is_hh_prompt(row[prompt])):
            return Layout(None, prompt)
    if response is not None and prompt is None and found[0] is None and as_turns(row[response], f"data {source}"):
        return Layout(None, response, last=True)
    prompt, response = prompt or found[0], response or found[1]
    if prompt is not None and response is not None:
        return Layout(prompt, response)
    named = settings.prompt_column or settings.response_column
    whole = next((columns[name] for name in CONVERSATIONS if name in columns and named is None), None)
    if whole is not None:
        return Layout(None, whole, last=str(whole).lower() == "chosen")
    if named is not None:
        lacks = "response" if response is None else "prompt"
        raise UserError(f"data {source}: no column {lacks!r}; it has {_listed(row)}; use --set data.{lacks}_column=NAME")
    hint = (
        "split `text` into a column for each, named in --set data.prompt_column=NAME --set data.response_column=NAME"
        if "text" in columns
        else "use --set data.prompt_column=NAME --set data.response_column=NAME"
    )
    raise UserError(f"data {source}: cannot tell prompt from response among the columns {_listed(row)}; {hint}")


class _Reader:
    """Pairs from the rows of one layout; remembers which columns were of use and which were not."""

    def __init__(self, settings: DataConfig, layout: Layout) -> None:
        self.layout = layout
        self.turns: Literal["first", "last"] = settings.turns
        self.ignored, self.behind = names(settings.ignore_columns), names(settings.context_columns)
        self.used: dict[str, None] = {}
        self.unused: dict[str, None] = {}
        self.seen: set[str] = set()
        self.going_on = 0

    def pair(self, row: Any, where: str) -> Pair:
        if not isinstance(row, dict):
            raise UserError(f"{where}: {type(row).__name__} where an object with named columns was expected")
        row = {name: plain(value) for name, value in row.items()}
        for name in (self.layout.prompt, self.layout.response):
            if name is not None and name not in row:
                raise UserError(
                    f"{where}: no column {name!r}; it has {_listed(row) or 'none'}; put rows of another shape than the first's "
                    "into a file of their own"
                )
        unwanted = ("false", "0", "0.0") if str(self.layout.response).lower() == "completion" else ("false",)
        if str(row.get("label")).lower() in unwanted and "label" not in self.ignored:
            raise UserError(
                f"{where}: label={str(row['label']).lower()} marks an answer that is not wanted (KTO's format); leave such rows "
                f"out, or take all with {ignoring('label', self.ignored)}"
            )
        before, real, every = self._conversation(row, where) if self.layout.prompt is None else self._two_columns(row, where)
        taken = {self.layout.prompt, self.layout.response}
        before = self._with_material(before, row, taken, where)
        if self.layout.prompt is not None:
            before = self._with_history(before, row, taken, where)
        before = self._with_system(before, row, taken, where)
        if "system" in self.ignored and "system" not in row:  # a turn of the conversation's own
            self.unused.update({"system": None} if any(turn["role"] == "system" for turn in before) else {})
            before = [turn for turn in before if turn["role"] != "system"]
        self._look_at_the_rest(row, taken, [*(turn["content"] for turn in before), real], every, where)
        if len(before) == 1 and before[0]["role"] == "user":
            return Pair(before[0]["content"], real, where)
        return Pair(_as_text(before), real, where, tuple(before))

    def _conversation(self, row: dict[str, Any], where: str) -> tuple[list[Message], str, list[str]]:
        """(turns before the response, response, the other texts of the conversation)"""
        column = self.layout.response
        turns = conversation(row[column], column, where)
        place = answer_place(turns, "last" if self.layout.last else self.turns, where)
        if self.layout.last and place != len(turns) - 1:
            raise UserError(f"{where}: {column} ends in a turn of {turns[-1].role!r}, expected the assistant's answer")
        self.going_on += any(turn.role == "assistant" for turn in turns[place + 1 :])
        later = [turn.content for turn in turns[place + 1 :] if isinstance(turn.content, str)]
        self._look_at_turns(turns[: place + 1], column, where)
        return as_messages(turns[:place], where), content_of(turns[place].content, where), later

    def _two_columns(self, row: dict[str, Any], where: str) -> tuple[list[Message], str, list[str]]:
        prompt, response = self.layout.prompt, self.layout.response
        assert prompt is not None
        before = self._prompt(row[prompt], prompt, where)
        value = row[response]
        turns = as_turns(value, where) if not isinstance(value, str) or response.lower() == "chosen" else None
        if turns is None:
            return before, content_of(value, where, response) if is_parts(value) else text_of(value, response, where), []
        *head, answer = turns
        if answer.role != "assistant":
            raise UserError(f"{where}: {response} ends in a turn of {answer.role!r}, expected the assistant's answer")
        self._look_at_turns(turns, response, where)
        if head:
            repeated = as_messages(head, where)
            texts = [(turn["role"], turn["content"].strip()) for turn in repeated]
            asked = [(turn["role"], turn["content"].strip()) for turn in before]
            if texts[: len(asked)] != asked and not (len(asked) == 1 and asked[0] in texts):
                raise UserError(
                    f"{where}: {response} has {len(turns)} turns, which do not begin with {prompt}; expected one answer"
                )
            if repeated[-1]["role"] == "assistant":
                raise UserError(f"{where}: {response} has several answers behind the prompt, expected one")
            before = repeated
        return before, content_of(answer.content, where), []

    def _prompt(self, value: Any, name: str, where: str) -> list[Message]:
        """The turns of a prompt: of one user where it is text."""
        turns = as_turns(value, where) if not isinstance(value, str) or is_hh_prompt(value) else None
        if turns is None:
            text = content_of(value, where, name) if is_parts(value) else text_of(value, name, where)
            return [{"role": "user", "content": text}]
        if isinstance(value, str) and turns[-1].role == "assistant":
            turns = turns[:-1]  # HH-RLHF's prompts end in "Assistant:"
        self._look_at_turns(turns, name, where)
        before = as_messages(turns, where)
        if before[-1]["role"] not in ("user", "tool", "function"):
            raise UserError(f"{where}: {name} ends in a turn of {before[-1]['role']!r}, expected the user's")
        return before

    def _with_material(self, before: list[Message], row: dict[str, Any], taken: set[str | None], where: str) -> list[Message]:
        """The last turn with what belongs to it in columns of their own, each behind a blank line."""
        known = [name for name in row if str(name).lower() in MATERIAL] if self.layout.prompt is not None else []
        known.sort(key=lambda name: MATERIAL.index(str(name).lower()))
        content = before[-1]["content"]
        for name in dict.fromkeys([*known, *(name for name in self.behind if name in row)]):
            if name in taken or name in self.ignored:
                continue
            taken.add(name)
            if is_blank(row[name]):
                continue
            value = row[name]
            texts = value if isinstance(value, list) and all(isinstance(text, str) for text in value) else [value]
            material = "\n\n".join(self._material(text, name, where) for text in texts)
            there = stands_in(material, content)  # a prompt may be made up already of columns that are kept beside it
            (self.unused if there else self.used)[name] = None
            if not there:
                content = f"{content}\n\n{material}" if content.strip() else material
        return [*before[:-1], {**before[-1], "content": content}]

    def _material(self, value: Any, name: str, where: str) -> str:
        if not isinstance(value, str):
            kind = type(value).__name__
            raise UserError(
                f"{where}: column {name!r} belongs to the prompt and is {kind}, expected text or a list of texts; write it as "
                f"text, or go on without it with {ignoring(name, self.ignored)}"
            )
        return text_of(value, name, where)

    def _with_history(self, before: list[Message], row: dict[str, Any], taken: set[str | None], where: str) -> list[Message]:
        for name in self._among(row, HISTORY, taken):
            if len(before) > 1:
                raise UserError(
                    f"{where}: column {name!r} beside a prompt of several turns; go on without it with "
                    f"{ignoring(name, self.ignored)}"
                )
            value, said = row[name], []
            if isinstance(value, list) and all(isinstance(entry, list) and len(entry) == 2 for entry in value):
                said = [Turn(("user", "assistant")[n], text) for entry in value for n, text in enumerate(entry)]
            elif not isinstance(value, str) and (turns := as_turns(value, where)) is not None:
                said = turns
            else:
                raise UserError(
                    f"{where}: column {name!r} must be a list of [question, answer] or of turns with role and content; "
                    f"mend it, or go on without it with {ignoring(name, self.ignored)}"
                )
            earlier = as_messages(said, where)
            if earlier[-1]["role"] == "user" and earlier[-1]["content"].strip() == before[0]["content"].strip():
                earlier = earlier[:-1]  # a history that ends in what is asked now
            before = [*earlier, *before]
        return before

    def _with_system(self, before: list[Message], row: dict[str, Any], taken: set[str | None], where: str) -> list[Message]:
        for name in self._among(row, SYSTEM, taken):
            text = self._material(row[name], name, where)
            there = [turn["content"].strip() for turn in before if turn["role"] in ("system", "developer")]
            if there and text.strip() not in there:
                raise UserError(
                    f"{where}: column {name!r} is another text than the conversation's own system turn; go on without it with "
                    f"{ignoring(name, self.ignored)}"
                )
            before = before if there else [{"role": "system", "content": text}, *before]
        return before

    def _among(self, row: dict[str, Any], known: tuple[str, ...], taken: set[str | None]) -> list[str]:
        """The row's columns of some names that say something and are not ignored; from now on they are taken."""
        there = [name for name in row if str(name).lower() in known and name not in taken and name not in self.ignored]
        taken.update(there)
        there = [name for name in there if not is_blank(row[name])]
        self.used.update(dict.fromkeys(there))
        return there

    def _look_at_turns(self, turns: list[Turn], column: str, where: str) -> None:
        """What else is said of the turns that are used: as for columns."""
        for turn in turns:
            for key, value in turn.rest.items():
                self._not_used(f"{column}.{key}", value, [content_of(turn.content, where)] if turn.content else [], where)

    def _look_at_the_rest(
        self, row: dict[str, Any], taken: set[str | None], texts: list[str], every: list[str], where: str
    ) -> None:
        self.seen.update(map(str, row))
        for name, value in row.items():
            if name not in taken:
                self._not_used(str(name), value, texts, where, every)

    def _not_used(self, name: str, value: Any, texts: list[str], where: str, copies: list[str] | None = None) -> None:
        if is_blank(value):
            return
        self.unused[name] = None
        if name not in self.ignored and name.lower() not in OTHER_ANSWERS:
            refuse_text(name, value, texts, copies or [], where, self.ignored, self.behind)

    def refuse_missing(self, source: str) -> None:
        """Raises UserError when no row has a column that the settings put behind the prompt."""
        for name in self.behind:
            if name not in self.seen:
                raise UserError(f"data {source}: no column {name!r} (data.context_columns); it has {_listed(sorted(self.seen))}")

    def described(self) -> str:
        if self.layout.prompt is None:
            which = "last" if self.layout.last else self.turns
            said = f"the {which} answer of each conversation in {self.layout.response}, with all before it"
            said += f" and {_listed(self.used)}" if self.used else ""
            if self.going_on:
                said += f" ({self.going_on} go on after it, which is not read; data.turns=last takes the last answer)"
        else:
            said = f"prompt from {_listed([self.layout.prompt, *self.used])}, response from {self.layout.response}"
        return said + (f"; columns not used: {_listed(self.unused)}" if self.unused else "")


def _files(rows: list[tuple[str, Any]], source: str) -> str:
    """Which files of a folder the rows are from; nothing for a file or a data set of the hub."""
    folder = resolve_path(source)
    places = [Path(place) for place in dict.fromkeys(where.rpartition(": ")[0] for where, _ in rows)]
    if not all(place != folder and place.is_relative_to(folder) for place in places):
        return ""
    more = f" and {len(places) - LISTED} more" if len(places) > LISTED else ""
    return f"{_listed(place.relative_to(folder) for place in places[:LISTED])}{more}: "


def _listed(columns: Any) -> str:
    return ", ".join(map(str, columns))


def _as_text(turns: list[Message]) -> str:
    return "\n\n".join(f"{turn['role']}: {turn['content']}" for turn in turns)
