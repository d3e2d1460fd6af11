"""Data set rows -> Examples: read, find the columns, clean, split off the held-out pairs, render. Never sees synthetic data.

Nothing is dropped silently: every row that does not become an Example is counted under a reason, and the counts are kept in
the data folder's manifest and shown in the report.
"""

from __future__ import annotations

import reprlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import TemplateError

from harness.config import DataConfig
from harness.encoding import NoSeam, encode_pair
from harness.errors import UserError
from harness.records import Example, digest, keyed_seed
from harness.rows import rows_of
from harness.templates import Template
from harness.tokens import control_tokens

# Column names under which annotated pairs are commonly published: (prompt, response).
KNOWN_COLUMNS = (
    ("prompt", "response"),
    ("prompt", "completion"),
    ("question", "answer"),
    ("instruction", "output"),
    ("instruction", "response"),
)


ROLES = ("system", "developer", "user", "assistant", "tool", "function")


@dataclass(frozen=True)
class Pair:
    """One annotated pair as it stands in its source. turns: the conversation before the response, where there is more to it than
    one user turn; `prompt` is then the same as text.
    """

    prompt: str
    real: str
    where: str
    turns: tuple[dict[str, str], ...] = ()


@dataclass(frozen=True)
class Dataset:
    """The annotated pairs of a run. `counts` says how many rows were read, kept and left out, and why."""

    train: list[Example]
    heldout: list[Example]
    counts: dict[str, int] = field(default_factory=dict)


def load_examples(settings: DataConfig, tokenizer: Any, template: Template, context: int, mirror: Path | None) -> Dataset:
    """Read, clean, order and split the pairs. `context` is the model's limit in tokens for prompt and response together.

    The order is keyed by the pairs themselves, so the training subset and the held-out pairs do not depend on the run's
    seeds. Raises UserError when rows are malformed, no pair is left, or a pair does not fit (unless overlong is "drop").
    """
    counts: Counter[str] = Counter()
    pairs = _clean(read_pairs(settings, settings.source, mirror), counts)
    fitting = _fitting(pairs, settings, tokenizer, template, context, counts)
    fitting.sort(key=lambda example: keyed_seed("order", example.id))
    if settings.heldout is not None:
        dropped: Counter[str] = Counter()
        heldout = _fitting(
            _clean(read_pairs(settings, settings.heldout, mirror), dropped),
            settings, tokenizer, template, context, dropped,
        )  # fmt: skip
        counts.update({f"heldout_{reason}": n for reason, n in dropped.items()})
        known = {example.id for example in fitting}
        overlap = sum(example.id in known for example in heldout)
        if overlap:
            raise UserError(f"data.heldout={settings.heldout}: {overlap} pairs are also in data.source; separate them")
    else:
        size = min(settings.heldout_examples, len(fitting) // 5)
        heldout, fitting = fitting[:size], fitting[size:]
    train = fitting[: settings.max_examples]
    if not train or not heldout:
        raise UserError(
            f"data.source={settings.source}: {len(train)} pairs to train on and {len(heldout)} held out after cleaning "
            f"({dict(counts)}); at least one of each is needed"
            + ("; name pairs to hold out with --set data.heldout=FILE" if settings.heldout is None and len(train) else "")
        )
    counts.update(train=len(train), heldout=len(heldout))
    return Dataset(train, heldout, dict(counts))


def read_pairs(settings: DataConfig, source: str, mirror: Path | None) -> list[Pair]:
    """The pairs of a file, a folder or a hub data set, as they stand. Raises UserError."""
    rows = rows_of(settings, source, mirror)
    prompt_column, response_column = _columns(settings, source, rows[0][1])
    return [_pair(row, prompt_column, response_column, settings.turns, where) for where, row in rows]


def _columns(settings: DataConfig, source: str, row: Any) -> tuple[str, str | None]:
    """The columns of prompt and response; (messages column, None) for chat rows."""
    if not isinstance(row, dict):
        raise UserError(f"data {source}: a row is {type(row).__name__}, expected an object with named columns")
    if settings.prompt_column or settings.response_column:
        wanted = (settings.prompt_column or "prompt", settings.response_column or "response")
        if wanted[0] == wanted[1]:
            raise UserError(
                f"data {source}: data.prompt_column and data.response_column are both {wanted[0]!r}; name two columns"
            )
        missing = [name for name in wanted if name not in row]
        if missing:
            raise UserError(f"data {source}: no column {missing[0]!r}; it has {', '.join(map(str, row))}")
        return wanted
    for pair in KNOWN_COLUMNS:
        if all(name in row for name in pair):
            return pair
    if "messages" in row:
        return "messages", None
    raise UserError(
        f"data {source}: cannot tell prompt from response among the columns {', '.join(map(str, row))}; "
        "use --set data.prompt_column=NAME --set data.response_column=NAME"
    )


def _pair(row: Any, prompt_column: str, response_column: str | None, turns: str, where: str) -> Pair:
    """Prompt and response of one row: two text columns, or a conversation."""
    if not isinstance(row, dict):
        raise UserError(f"{where}: {type(row).__name__} where an object with named columns was expected")
    if response_column is None:
        return _of_conversation(row.get("messages"), turns, where)
    for name in (prompt_column, response_column):
        if name not in row:
            raise UserError(f"{where}: no column {name!r}; it has {', '.join(map(str, row)) or 'none'}")
    prompt, response = (_text(row[name], name, where) for name in (prompt_column, response_column))
    if response_column == "output" and isinstance(row.get("input"), str) and row["input"].strip():
        # Alpaca keeps the instruction's material in a column of its own
        prompt = f"{prompt}\n\n{_text(row['input'], 'input', where)}"
    return Pair(prompt, response, where)


def _text(value: Any, name: str, where: str) -> str:
    """A value that must be text that can be kept, encoded and printed. Raises UserError."""
    if not isinstance(value, str):
        raise UserError(f"{where}: {name}={reprlib.repr(value)} is {type(value).__name__}, expected text")
    if "\0" in value:
        raise UserError(f"{where}: {name} holds a NUL character (U+0000) at {value.index(chr(0))}; remove it")
    try:
        value.encode("utf-8")
    except UnicodeEncodeError as error:
        raise UserError(
            f"{where}: {name} holds text that cannot be encoded, a lone surrogate (half a character) at {error.start}; remove it"
        ) from error
    return value


def _of_conversation(messages: Any, which: str, where: str) -> Pair:
    """The first answer of a conversation, or its last with all that was said before it."""
    said = list(messages) if isinstance(messages, (list, tuple, np.ndarray)) else []
    if len(said) < 2 or not all(isinstance(turn, dict) for turn in said):
        raise UserError(f"{where}: messages must be a list of at least two turns with role and content")
    for turn in said:
        for key in ("role", "content"):
            _text(turn.get(key), f"a turn's {key}", where)
    answers = [n for n, turn in enumerate(said) if turn["role"] == "assistant" and n and said[n - 1]["role"] == "user"]
    if not answers:
        raise UserError(f"{where}: no assistant turn follows a user turn (roles: {', '.join(t['role'] for t in said[:10])})")
    place = answers[0] if which == "first" else answers[-1]
    for turn in said[:place]:
        if turn["role"] not in ROLES:
            raise UserError(f"{where}: a turn has the role {turn['role']!r}; expected one of {', '.join(ROLES)}")
    before = tuple({"role": turn["role"], "content": turn["content"].strip()} for turn in said[:place])
    if len(before) == 1:
        return Pair(before[0]["content"], said[place]["content"], where)
    return Pair("\n\n".join(f"{turn['role']}: {turn['content']}" for turn in before), said[place]["content"], where, before)


def _clean(pairs: Sequence[Pair], counts: Counter[str]) -> list[Pair]:
    """Surrounding white space removed (chat templates do so too); empty and repeated pairs left out, counted."""
    kept: dict[tuple[str, str], Pair] = {}
    counts["rows"] += len(pairs)
    for pair in pairs:
        key = (pair.prompt.strip(), pair.real.strip())
        if not all(key):
            counts["empty"] += 1
        elif key in kept:
            counts["duplicate"] += 1
        else:
            kept[key] = replace(pair, prompt=key[0], real=key[1])
    return list(kept.values())


def _fitting(
    pairs: Sequence[Pair],
    settings: DataConfig,
    tokenizer: Any,
    template: Template,
    context: int,
    counts: Counter[str],
) -> list[Example]:
    """The pairs that fit into the context, rendered. A prompt must leave room for one response token at least.

    Every pair is tokenised as it is trained on: counted are those whose seam lies earlier than the template's, and those with
    text that looks like a control token. Raises UserError naming the row where there is no seam.
    """
    found: list[Example] = []
    looks_like = control_tokens(tokenizer).found_in
    for pair in pairs:
        prompt, real, where = pair.prompt, pair.real, pair.where
        turns = pair.turns or ({"role": "user", "content": prompt},)
        try:
            rendered = template.render(tokenizer, pair.turns or prompt)
            alike = len(turns) < 2 or template.answers_alike(tokenizer, turns, rendered)
            ids = encode_pair(tokenizer, rendered, real, template)
        except NoSeam as error:
            raise UserError(f"{where}: {error}; leave such rows out, or use another data.template") from error
        except TemplateError as error:
            raise UserError(
                f"{where}: the model's chat template refuses it ({error}); leave such rows out, or use "
                "--set data.template=instruction"
            ) from error
        except (UnicodeEncodeError, TypeError, ValueError) as error:
            raise UserError(f"{where}: text that cannot be encoded ({error})") from error
        if not alike:
            raise UserError(
                f"{where}: the model's chat template renders its answer otherwise than to a single prompt; "
                "use --set data.template=instruction or --set data.turns=first"
            )
        prompt_tokens, response_tokens = len(ids.prompt_ids), len(ids.response_ids)
        limit = settings.max_response_tokens
        if prompt_tokens + response_tokens > context or (limit is not None and response_tokens > limit):
            if settings.overlong == "error":
                raise UserError(
                    f"{where}: prompt of {prompt_tokens} and response of {response_tokens} tokens do not fit the context of "
                    f"{context}" + (f" or data.max_response_tokens={limit}" if limit else "") +
                    "; use --set data.overlong=drop to leave such pairs out"
                )  # fmt: skip
            counts["overlong"] += 1
            continue
        counts.update(["seam_moved"] if ids.moved else [])
        counts.update(["control_text"] if any(map(looks_like, (*(turn["content"] for turn in turns), real))) else [])
        found.append(Example(digest(prompt, real), prompt, real, rendered))
    return found
