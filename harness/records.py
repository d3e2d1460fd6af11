"""The data types that flow between the phases. Standard library only; nothing here knows a file format.

Words: a *real* response comes from the data set; a *synthetic* one was sampled from the opponent of this iteration; a
*proto* one was sampled from the initial policy. The untouched initial policy has iteration -1 in every table; iteration 0
is the first trained one. All log-probabilities are in nats, summed over response tokens, the closing token included.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

Role = Literal["real", "synthetic", "proto"]
INITIAL = "initial"  # the objective column of the untouched initial policy
INITIAL_ITERATION = -1


@dataclass(frozen=True)
class Score:
    """One response's log-probability under the player named (the opponent), in nats over `length` tokens.

    `iteration` is the iteration whose group the response belongs to (history mixes earlier ones in).
    """

    example_id: str
    role: Role
    iteration: int
    index: int
    length: int
    reference_logp: float
    player: str = "opponent"


@dataclass(frozen=True)
class Response:
    """One response as the world's policy reads it (token ids), with the opponent's log-probability where the objective needs it.

    `known_logp` is the opponent's log-probability where it is known before scoring: it drew the response, or scored it before.
    """

    content: Any
    reference_logp: float | None = None
    cached_logp: float | None = None


@dataclass(frozen=True)
class Group:
    """One prompt with its responses by role; `prompt_ids` are shared by all of them."""

    example_id: str
    iteration: int
    prompt: Any
    real: Response
    synthetic: tuple[Response, ...] = ()
    proto: tuple[Response, ...] = ()

    def responses(self) -> list[tuple[Role, Response]]:
        """Every response with its role: real first, then synthetic, then proto."""
        return [
            ("real", self.real),
            *(("synthetic", r) for r in self.synthetic),
            *(("proto", r) for r in self.proto),
        ]


@dataclass(frozen=True)
class PromptGroup:
    """One prompt with its responses as a policy takes them; in language the prompt has at least one token, a response may have
    none.
    """

    prompt: Sequence[Any]
    responses: Sequence[Sequence[Any]]

    @property
    def width(self) -> int:
        """Units laid out: the prompt's and those of each response but its last, which predicts nothing."""
        return len(self.prompt) + sum(max(0, len(response) - 1) for response in self.responses)


@dataclass(frozen=True)
class StepRecord:
    """One optimizer step. `logp` and `log_ratio` are means per role in nats; `metrics` are the objective's own.

    `example_ids` and `example_iterations` name the pairs that it used, in order: with a history the same prompt and real response
    stand once per iteration, each time with that iteration's synthetic ones.
    """

    step: int
    epoch: int
    loss: float
    grad_norm: float
    lr: float
    logp: Mapping[str, float]
    log_ratio: Mapping[str, float]
    metrics: Mapping[str, float]
    tokens: int
    seconds: float
    example_ids: list[str]
    example_iterations: list[int]


@dataclass(frozen=True)
class EvalRecord:
    """One task's score under one player. `stderr` is the error of sampling test items, never the spread over seeds.

    `clusters`: how many clusters the n items come in, where the suite names one for the row; the error is then that of sampling
    clusters (see harness/analysis/clusters.py).
    """

    task: str
    metric: str
    filter: str
    value: float
    stderr: float | None
    n: int
    shots: int
    task_version: str
    suite: str
    suite_version: str
    higher_is_better: bool
    chance: float
    clusters: int | None = None


@dataclass(frozen=True)
class Measurement:
    """One number measured on a player, with its standard error and the number of observations behind it."""

    name: str
    value: float
    stderr: float | None
    n: int
    unit: str


@dataclass(frozen=True)
class PhaseManifest:
    """Written last into a phase's folder: its existence means that the phase is complete."""

    phase: str
    inputs: Mapping[str, str]
    settings: Mapping[str, Any]
    outputs: Mapping[str, str]
    counts: Mapping[str, Any] = field(default_factory=dict)
    seconds: float = 0.0
    peak_memory_bytes: int = 0
    versions: Mapping[str, str] = field(default_factory=dict)
    hardware: Mapping[str, str] = field(default_factory=dict)  # machine, device, precision, layout; phases of old runs have none
    format_version: int = 1
    checksum: str = ""  # of everything else in the manifest


def digest(*parts: str | bytes) -> str:
    """16 hexadecimal digits of blake2b over the parts, unambiguous in where one part ends."""
    hasher = hashlib.blake2b(digest_size=8)
    for part in parts:
        encoded = part.encode("utf-8", "surrogatepass") if isinstance(part, str) else part
        hasher.update(len(encoded).to_bytes(8, "big"))
        hasher.update(encoded)
    return hasher.hexdigest()


def keyed_seed(*key: object) -> int:
    """A 63-bit seed that depends on the key alone: never on order, on other draws, or on Python's `hash`."""
    return int(digest(*(str(part) for part in key)), 16) >> 1
