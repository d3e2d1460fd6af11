"""The data types that pass between phases. Standard library only; no file formats here.

Words: a *real* response comes from the data set; a *synthetic* one was sampled from the opponent of this iteration; a
*proto* one was sampled from the initial policy. The untouched initial policy has iteration -1 in every table; iteration 0
is the first trained one. All log-probabilities are in nats, summed over response tokens, the end token included.
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
    """One response's log-probability under the named checkpoint (the opponent), in nats, summed over `length` tokens.

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

    `cached_logp` is the opponent's log-probability where scoring is not needed: it sampled the response, or scored it before.
    """

    content: Any
    reference_logp: float | None = None
    cached_logp: float | None = None


@dataclass(frozen=True)
class Group:
    """One prompt with its responses by role."""

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
    """One prompt with its responses, input of a policy. Language prompts have at least one token; a response may have none."""

    prompt: Sequence[Any]
    responses: Sequence[Sequence[Any]]

    @property
    def width(self) -> int:
        """Units that go through the model: the prompt's and each response's but its last, which predicts nothing."""
        return len(self.prompt) + sum(max(0, len(response) - 1) for response in self.responses)


@dataclass(frozen=True)
class StepRecord:
    """One optimizer step. `logp` and `log_ratio` are means per role in nats; `metrics` are the objective's own.

    `example_ids` and `example_iterations` are those of the pairs used, in order: with a history the same prompt and real response
    come once per iteration, each time with that iteration's synthetic responses.
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
    """One task's score of one checkpoint. `stderr` is the error of sampling test items, never the spread over seeds.

    `clusters`: number of clusters of the n items, where the suite names a cluster key for the row; `stderr` is then the error of
    sampling clusters (see harness/analysis/clusters.py).
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
    """One number measured on a checkpoint, with its standard error and number of observations."""

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
    hardware: Mapping[str, str] = field(default_factory=dict)  # machine, device, precision, layout; empty in old runs
    format_version: int = 1
    checksum: str = ""  # of everything else in the manifest


def digest(*parts: str | bytes) -> str:
    """16 hexadecimal digits of blake2b over the parts, unambiguous about where one part ends."""
    hasher = hashlib.blake2b(digest_size=8)
    for part in parts:
        encoded = part.encode("utf-8", "surrogatepass") if isinstance(part, str) else part
        hasher.update(len(encoded).to_bytes(8, "big"))
        hasher.update(encoded)
    return hasher.hexdigest()


def keyed_seed(*key: object) -> int:
    """A 63-bit seed that depends on the key alone: not on order, other draws, or Python's `hash`."""
    return int(digest(*(str(part) for part in key)), 16) >> 1
