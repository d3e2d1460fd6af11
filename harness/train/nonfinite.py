"""A number that is not finite where every number must be: the error with the examples, and the file they are written to."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.files import write_json

MAX_NAMED_EXAMPLES = 5  # examples that a message names; the file has all of them


@dataclass(frozen=True)
class ResponseValues:
    """One response with its log-probability, in nats, and the opponent's stored one; None where missing."""

    role: str
    token_ids: Sequence[int]
    logp: float | None
    reference_logp: float | None = None


@dataclass
class BadExample:
    """One prompt of a batch with a non-finite number. values: its own numbers, by name. index: its position in the input."""

    index: int
    prompt_ids: Sequence[int]
    responses: Sequence[ResponseValues] = ()
    values: dict[str, float] = field(default_factory=dict)
    example_id: str = ""

    @property
    def is_bad(self) -> bool:
        """Whether one of its own numbers is not finite."""
        all_values = [*self.values.values(), *(v for r in self.responses for v in (r.logp, r.reference_logp) if v is not None)]
        return not all(map(math.isfinite, all_values))


class NonFiniteError(RuntimeError):
    """A computation gave a number that is not finite. examples: the bad ones, or all; context: numbers of the whole batch."""

    def __init__(self, message: str, examples: Sequence[BadExample] = (), **context: float) -> None:
        super().__init__(message)
        self.examples, self.context = list(examples), context


def format_examples(examples: Sequence[BadExample]) -> str:
    """The first few examples by id, or by position where they have none."""
    names = [example.example_id or f"number {example.index}" for example in examples]
    more = f" and {len(names) - MAX_NAMED_EXAMPLES} more" if len(names) > MAX_NAMED_EXAMPLES else ""
    return ", ".join(names[:MAX_NAMED_EXAMPLES]) + more


@contextmanager
def map_indices(indices: Sequence[int]) -> Iterator[None]:
    """Within, the i-th input is number `indices[i]` of a longer list."""
    try:
        yield
    except NonFiniteError as error:
        for example in error.examples:
            example.index = indices[example.index]
        raise


@contextmanager
def with_example_ids(example_ids: Sequence[str]) -> Iterator[None]:
    """Within, the i-th input belongs to the example `example_ids[i]`."""
    try:
        yield
    except NonFiniteError as error:
        for example in error.examples:
            example.example_id = example_ids[example.index]
        error.args = (f"{error}: {format_examples(error.examples)}",)
        raise


@contextmanager
def dump_on_error(root: Path, phase: str, checkpoint_digest: str | None, decode: Callable[[list[int]], str]) -> Iterator[None]:
    """Within, a non-finite number leaves its examples in PHASE.failed.json below `root`; the error names checkpoint and file.

    decode: token ids -> text. The file of an earlier attempt is removed when the phase starts again.
    """
    path = root / f"{phase}.failed.json"
    path.unlink(missing_ok=True)
    try:
        yield
    except NonFiniteError as error:
        checkpoint_note = f"; checkpoint {checkpoint_digest}" if checkpoint_digest else ""
        file_note = f"; written out in {phase}.failed.json" if error.examples else ""
        error.args = (f"{error}{checkpoint_note}{file_note}",)
        if error.examples:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_json(path, _failure_record(error, phase, checkpoint_digest, decode))
        raise


def _failure_record(
    error: NonFiniteError, phase: str, checkpoint_digest: str | None, decode: Callable[[list[int]], str]
) -> dict[str, Any]:
    def ids(tokens: Sequence[int]) -> dict[str, Any]:
        return {"text": decode(list(tokens)), "token_ids": list(tokens)}

    def row(example: BadExample) -> dict[str, Any]:
        return {
            "id": example.example_id,
            "bad": example.is_bad,
            **{name: json_float(value) for name, value in example.values.items()},
            "prompt": ids(example.prompt_ids),
            "responses": [
                {
                    "role": r.role,
                    "logp": json_float(r.logp),
                    "reference_logp": json_float(r.reference_logp),
                    **ids(r.token_ids),
                }
                for r in example.responses
            ],
        }

    return {
        "phase": phase,
        "player": checkpoint_digest,
        "error": str(error),
        **{name: json_float(value) for name, value in error.context.items()},
        "examples": [row(example) for example in sorted(error.examples, key=lambda example: not example.is_bad)],
    }


def json_float(value: float | None) -> float | str | None:
    """JSON has no nan and inf: they are written as text."""
    return value if value is None or math.isfinite(value) else str(value)
