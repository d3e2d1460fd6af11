"""A number that is not finite where every number must be: one error with the examples, one file that they are written to."""

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
    """One prompt of a batch with a non-finite number: its id, or its position in the input; its own numbers by name."""

    name: str | int
    prompt_ids: Sequence[int]
    responses: Sequence[ResponseValues] = ()
    values: dict[str, float] = field(default_factory=dict)

    @property
    def is_bad(self) -> bool:
        """Whether one of its own numbers is not finite."""
        logps = (value for r in self.responses for value in (r.logp, r.reference_logp) if value is not None)
        return not all(map(math.isfinite, (*self.values.values(), *logps)))


class NonFiniteError(RuntimeError):
    """A computation gave a number that is not finite. examples: those bad alone, or all; context: the batch's numbers."""

    def __init__(self, message: str, examples: Sequence[BadExample] = (), **context: float) -> None:
        super().__init__(message)
        self.examples = [example for example in examples if example.is_bad] or list(examples)
        self.context, self.note = context, ""

    def __str__(self) -> str:
        names = [str(example.name) for example in self.examples]
        more = f" and {len(names) - MAX_NAMED_EXAMPLES} more" if len(names) > MAX_NAMED_EXAMPLES else ""
        return self.args[0] + (f": {', '.join(names[:MAX_NAMED_EXAMPLES])}{more}" if names else "") + self.note


class TrainingStopped(NonFiniteError):
    """Training ended before an update that would have been wrong."""


@contextmanager
def with_example_ids(names: Sequence[str] | Sequence[int]) -> Iterator[None]:
    """Within, the i-th input is `names[i]`: an example's id, or its position in a longer list."""
    try:
        yield
    except NonFiniteError as error:
        for example in error.examples:
            example.name = names[int(example.name)]
        raise


@contextmanager
def dump_on_error(root: Path, phase: str, checkpoint_digest: str | None, decode: Callable[[list[int]], str]) -> Iterator[None]:
    """Within, a non-finite number leaves its examples in PHASE.failed.json below `root`; the error names checkpoint and file.

    decode: token ids -> text. The file of an earlier attempt is removed when the phase starts again.
    """
    path = root / f"{phase}.failed.json"
    path.unlink(missing_ok=True)

    def text_and_ids(tokens: Sequence[int]) -> dict[str, Any]:
        return {"text": decode(list(tokens)), "token_ids": list(tokens)}

    try:
        yield
    except NonFiniteError as error:
        error.note = f"; checkpoint {checkpoint_digest}" if checkpoint_digest else ""
        if error.examples:
            error.note += f"; written out in {phase}.failed.json"
            rows = [
                {
                    "id": str(example.name),
                    "bad": example.is_bad,
                    **_as_json(example.values),
                    "prompt": text_and_ids(example.prompt_ids),
                    "responses": [
                        {
                            "role": r.role,
                            **_as_json({"logp": r.logp, "reference_logp": r.reference_logp}),
                            **text_and_ids(r.token_ids),
                        }
                        for r in example.responses
                    ],
                }
                for example in error.examples
            ]
            record = {"phase": phase, "player": checkpoint_digest, "error": str(error), **_as_json(error.context)}
            path.parent.mkdir(parents=True, exist_ok=True)
            write_json(path, {**record, "examples": rows})
        raise


def _as_json(values: dict[str, Any]) -> dict[str, Any]:
    """JSON has no nan and inf: they are written as text."""
    return {name: value if value is None or math.isfinite(value) else str(value) for name, value in values.items()}
