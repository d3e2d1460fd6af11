"""Data set rows -> Examples: read, find the columns, clean, split off the held-out pairs, render. Never sees synthetic data.

Nothing is dropped silently: every row that does not become an Example is counted under a reason, and the counts are kept in
the data folder's manifest and shown in the report.
"""

from __future__ import annotations

import contextlib
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.config import DataConfig, resolve_path
from harness.encoding import Template, encode_prompt, encode_response
from harness.errors import UserError
from harness.records import Example, digest, keyed_seed

# Column names under which annotated pairs are commonly published: (prompt, response).
KNOWN_COLUMNS = (
    ("prompt", "response"),
    ("prompt", "completion"),
    ("question", "answer"),
    ("instruction", "output"),
    ("instruction", "response"),
)
# Hub ids whose configuration has to be named, and has one obvious choice.
KNOWN_CONFIGS = {"openai/gsm8k": "main"}


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
        )
    counts.update(train=len(train), heldout=len(heldout))
    return Dataset(train, heldout, dict(counts))


def read_pairs(settings: DataConfig, source: str, mirror: Path | None) -> list[tuple[str, str, str]]:
    """(prompt, response, where) of every row of a file or hub data set, as they stand. Raises UserError."""
    path = resolve_path(source)
    if path.is_file():
        rows = _rows_of_file(path)
    elif source.startswith(("builtin:", ".", "/")) or path.suffix in (".jsonl", ".json", ".csv", ".parquet"):
        raise UserError(f"data {source}: no such file; give a .jsonl, .json, .csv or .parquet file, or a hub id")
    else:
        rows = _rows_of_hub(settings, source, mirror)
    if not rows:
        raise UserError(f"data {source}: no rows")
    prompt_column, response_column = _columns(settings, source, rows[0][1])
    return [(*_pair(row, prompt_column, response_column, where), where) for where, row in rows]


def _rows_of_file(path: Path) -> list[tuple[str, Any]]:
    try:
        if path.suffix == ".jsonl":
            return list(_json_lines(path))
        if path.suffix == ".json":
            rows = json.loads(path.read_text(encoding="utf-8"))
            if not isinstance(rows, list):
                raise UserError(f"{path}: expected a list of objects, found {type(rows).__name__}")
        elif path.suffix in (".csv", ".parquet"):
            import pandas

            table = (
                pandas.read_csv(path, dtype=str, keep_default_na=False) if path.suffix == ".csv" else pandas.read_parquet(path)
            )
            rows = table.to_dict("records")
        else:
            raise UserError(f"{path}: unknown kind of file {path.suffix!r}; use .jsonl, .json, .csv or .parquet")
    except UserError:
        raise
    except (ValueError, OSError) as error:
        raise UserError(f"{path}: cannot be read as {path.suffix}: {str(error).splitlines()[0]}") from error
    return [(f"{path}: row {n}", row) for n, row in enumerate(rows, start=1)]


def _json_lines(path: Path) -> Iterator[tuple[str, Any]]:
    with path.open("rb") as handle:
        for number, line in enumerate(handle, start=1):
            if not line.strip():
                continue
            try:
                yield f"{path}: line {number}", json.loads(line.decode("utf-8"))
            except (json.JSONDecodeError, UnicodeDecodeError) as error:
                raise UserError(f"{path}: line {number}: not a JSON object in UTF-8: {error}") from error


def _rows_of_hub(settings: DataConfig, source: str, mirror: Path | None) -> list[tuple[str, Any]]:
    import datasets

    config = settings.config or KNOWN_CONFIGS.get(source)
    datasets.disable_progress_bars()
    where = f"in {mirror} or on the hub" if mirror else "as a file or on the hub"
    try:
        with mirrored(mirror):
            table = datasets.load_dataset(source, config, split=settings.split)
    except Exception as error:  # the library raises a dozen unrelated kinds; each means: this data set is not to be had
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise UserError(f"data {source}: not found {where} ({reason[:200]}); give a file, an id, or --mirror DIR") from error
    return [(f"{source}: row {n}", row) for n, row in enumerate(table, start=1)]


@contextlib.contextmanager
def mirrored(mirror: Path | None) -> Iterator[None]:
    """Look data sets up in a folder that holds them under their hub ids; without one, change nothing."""
    if mirror is None:
        yield
        return
    if not mirror.is_dir():
        raise UserError(f"--mirror {mirror}: no such folder")
    with contextlib.chdir(mirror):
        yield


def _columns(settings: DataConfig, source: str, row: Any) -> tuple[str, str | None]:
    """The columns of prompt and response; (messages column, None) for chat rows."""
    if not isinstance(row, dict):
        raise UserError(f"data {source}: a row is {type(row).__name__}, expected an object with named columns")
    if settings.prompt_column or settings.response_column:
        wanted = (settings.prompt_column or "prompt", settings.response_column or "response")
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


def _pair(row: Any, prompt_column: str, response_column: str | None, where: str) -> tuple[str, str]:
    """Prompt and response of one row: two text columns, or the first round of a conversation."""
    if not isinstance(row, dict):
        raise UserError(f"{where}: {type(row).__name__} where an object with named columns was expected")
    if response_column is None:
        turns = row.get("messages")
        if not isinstance(turns, (list, tuple)) or len(turns) < 2 or not all(isinstance(t, dict) for t in turns[:2]):
            raise UserError(f"{where}: messages must be a list of at least two turns with role and content")
        values = {"prompt": turns[0].get("content"), "response": turns[1].get("content")}
    else:
        values = {prompt_column: row.get(prompt_column), response_column: row.get(response_column)}
    for name, value in values.items():
        if not isinstance(value, str):
            raise UserError(f"{where}: {name}={value!r} is {type(value).__name__}, expected text")
    prompt, response = (str(value) for value in values.values())
    if response_column == "output" and isinstance(row.get("input"), str) and row["input"].strip():
        prompt = f"{prompt}\n\n{row['input']}"  # Alpaca keeps the instruction's material in a column of its own
    return prompt, response


def _clean(pairs: Sequence[tuple[str, str, str]], counts: Counter[str]) -> list[tuple[str, str, str]]:
    """Surrounding white space removed (chat templates do so too); empty and repeated pairs left out, counted."""
    kept: dict[tuple[str, str], str] = {}
    counts["rows"] += len(pairs)
    for prompt, response, where in pairs:
        key = (prompt.strip(), response.strip())
        if not all(key):
            counts["empty"] += 1
        elif key in kept:
            counts["duplicate"] += 1
        else:
            kept[key] = where
    return [(*key, where) for key, where in kept.items()]


def _fitting(
    pairs: Sequence[tuple[str, str, str]],
    settings: DataConfig,
    tokenizer: Any,
    template: Template,
    context: int,
    counts: Counter[str],
) -> list[Example]:
    """The pairs that fit into the context, rendered. A prompt must leave room for one response token at least."""
    found: list[Example] = []
    for prompt, real, where in pairs:
        try:
            rendered = template.render(tokenizer, prompt)
            prompt_tokens = len(encode_prompt(tokenizer, rendered))
            response_tokens = len(encode_response(tokenizer, real, template))
        except (UnicodeEncodeError, TypeError) as error:
            raise UserError(f"{where}: text that cannot be encoded ({error})") from error
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
        found.append(Example(digest(prompt, real), prompt, real, rendered))
    return found
