"""The contract between an objective and the rest of the house: what it may ask for, what it is given, what it returns.

An objective answers two questions: *what do you need?* (`needs`) and *given that, what is the loss?* (`loss`).
It sees log-probabilities and nothing else: no model, tokenizer, iteration, seed, device or file.

Legend: B prompts in the batch, K responses per prompt in one role. Every tensor an objective sees is (B, K), also
when K is 1, so that `real (B, 1)` broadcasts against `synthetic (B, K)` and the silent bug of `(B,) - (B, K)` cannot
be written. All log-probabilities are in nats, summed over the tokens of the response, its closing token included.
"""

from __future__ import annotations

import dataclasses
import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:  # a mistake in an option is found without torch, which takes a second to load
    import torch


class UndeclaredRead(RuntimeError):
    """An objective read a role or a reference that its `needs` did not declare."""


@dataclass(frozen=True)
class Citation:
    """Where an objective comes from. `where` is the equation or algorithm number in the source."""

    label: str
    title: str
    url: str
    where: str


@dataclass(frozen=True)
class Needs:
    """What an objective asks the loop to prepare.

    reference: the opponent's log-probability of every response (scored once, stored, never recomputed).
    synthetic: synthetic responses per prompt (K); 0 means that nothing is generated.
    proto: proto responses per prompt, drawn once from the initial policy.
    history: how many earlier iterations' groups are mixed into the training set.
    couples_batch: row i of the loss depends on other rows; the training core then computes the loss over the
        whole optimizer batch at once, whatever the micro-batch.
    """

    reference: bool = False
    synthetic: int = 0
    proto: int = 0
    history: int = 0
    couples_batch: bool = False

    def __post_init__(self) -> None:
        for name in ("synthetic", "proto", "history"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 0:
                raise ValueError(f"needs.{name}={value!r} is not a whole number of at least 0")
        for name in ("reference", "couples_batch"):
            if not isinstance(getattr(self, name), bool):
                raise ValueError(f"needs.{name}={getattr(self, name)!r} is not True or False")
        if self.history and not self.synthetic:
            raise ValueError(f"needs.history={self.history} without synthetic: earlier iterations have nothing else to mix in")


@dataclass(frozen=True)
class Responses:
    """The responses of one role to B prompts, K each.

    logp: (B, K) log-probability under the main player, with gradient.
    length: (B, K) response tokens, the closing token included where it was generated; same dtype as `logp`.
    reference: (B, K) log-probability under the opponent player, without gradient; None when not asked for.
    """

    logp: torch.Tensor
    length: torch.Tensor
    reference: torch.Tensor | None = None

    def __post_init__(self) -> None:
        for name in ("logp", "length", "reference"):
            tensor = getattr(self, name)
            if tensor is not None and (tensor.ndim != 2 or tensor.shape != self.logp.shape):
                raise ValueError(f"{name} has shape {tuple(tensor.shape)}, expected (B, K) = {tuple(self.logp.shape)}")

    @property
    def reference_logp(self) -> torch.Tensor:
        """(B, K), nats. Raises UndeclaredRead when the objective did not declare `needs.reference`."""
        if self.reference is None:
            raise UndeclaredRead("the loss reads a reference log-probability but needs.reference is False")
        return self.reference

    @property
    def mean_logp(self) -> torch.Tensor:
        """(B, K), nats per response token."""
        return self.logp / self.length

    @property
    def log_ratio(self) -> torch.Tensor:
        """(B, K), nats: `logp - reference_logp`, zero before the first update of an iteration."""
        return self.logp - self.reference_logp


@dataclass(frozen=True)
class Batch:
    """B prompts with their responses by role. `real` is always there; the others only if `needs` declares them."""

    real: Responses
    maybe_synthetic: Responses | None = None
    maybe_proto: Responses | None = None

    @property
    def synthetic(self) -> Responses:
        """(B, K). Raises UndeclaredRead when `needs.synthetic` is 0."""
        if self.maybe_synthetic is None:
            raise UndeclaredRead("the loss reads batch.synthetic but needs.synthetic is 0")
        return self.maybe_synthetic

    @property
    def proto(self) -> Responses:
        """(B, P). Raises UndeclaredRead when `needs.proto` is 0."""
        if self.maybe_proto is None:
            raise UndeclaredRead("the loss reads batch.proto but needs.proto is 0")
        return self.maybe_proto


@dataclass(frozen=True)
class LossOutput:
    """What an objective returns.

    loss: (B,) one value per prompt.
    weight: (B,) how much each prompt counts; None means ones. The core minimises sum(weight * loss) / sum(weight),
        the sums running over the whole optimizer batch, so a token mean is `weight = length`.
    metrics: name -> (B,), detached by the core, averaged into the step record.
    """

    loss: torch.Tensor
    weight: torch.Tensor | None = None
    metrics: Mapping[str, torch.Tensor] = field(default_factory=dict)


def param(
    default: Any,
    doc: str,
    *,
    above: float | None = None,
    at_least: float | None = None,
    at_most: float | None = None,
    choices: Sequence[Any] | None = None,
) -> Any:
    """A hyper-parameter: default, one sentence of documentation and its bounds, declared once.

    The declaration feeds validation, the command line, `harness objectives show`, run.json and the report.
    """
    bounds = {"above": above, "at_least": at_least, "at_most": at_most, "choices": choices}
    return field(default=default, metadata={"doc": doc, **{k: v for k, v in bounds.items() if v is not None}})


@dataclass(frozen=True)
class Objective(ABC):
    """A self-play objective: subclass as a frozen dataclass, one per file; the file's name is the objective's name.

    Raises ValueError at construction when a hyper-parameter has the wrong type or lies outside its bounds.

    Two declarations, each a class attribute, or a property where it depends on a hyper-parameter, tell `harness objectives
    check` what is meant; nothing else reads them, training stops before an update by a number that is none as for any loss.
    unbounded: the loss is exponential by definition (LSIF, KLIEP), so it or its gradient may overflow on very unlikely
        responses; at log-ratios of about a nat it is finite as any other, and a form that overflows where its value is small
        (log(1 + exp(x))) is refused all the same.
    pushes_up: roles beside the real one whose log-probability the loss raises on purpose at the start of an iteration.
    """

    title: ClassVar[str]
    citation: ClassVar[Citation]
    unbounded: ClassVar[bool] = False
    pushes_up: ClassVar[tuple[str, ...]] = ()

    @property
    def needs(self) -> Needs:
        """What the loop must prepare; a property, so that it may depend on a hyper-parameter."""
        return Needs()

    @abstractmethod
    def loss(self, batch: Batch) -> LossOutput:
        """Batch of (B, K) log-probabilities -> one loss per prompt. Pure: same input, same output, inputs unchanged."""

    def __post_init__(self) -> None:
        for spec in dataclasses.fields(self):
            object.__setattr__(self, spec.name, checked_value(spec, getattr(self, spec.name)))


def checked_value(spec: dataclasses.Field, value: Any) -> Any:
    """The value of one hyper-parameter, widened from int to float where a float is declared; ValueError if unfit."""
    spelled = spec.type.__name__ if isinstance(spec.type, type) else str(spec.type)
    kinds = {kind.strip() for kind in spelled.split("|")}
    if value is None and "None" in kinds:
        return value
    if isinstance(value, int) and not isinstance(value, bool) and "float" in kinds and "int" not in kinds:
        value = float(value)
    if type(value).__name__ not in kinds:
        raise ValueError(f"{spec.name}={value!r} is not of type {' or '.join(sorted(kinds))}")
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{spec.name}={value!r} is not a finite number")
    meta = spec.metadata
    if "above" in meta and not value > meta["above"]:
        raise ValueError(f"{spec.name}={value!r} is not above {meta['above']}")
    if "at_least" in meta and not value >= meta["at_least"]:
        raise ValueError(f"{spec.name}={value!r} is not at least {meta['at_least']}")
    if "at_most" in meta and not value <= meta["at_most"]:
        raise ValueError(f"{spec.name}={value!r} is not at most {meta['at_most']}")
    if "choices" in meta and value not in meta["choices"]:
        raise ValueError(f"{spec.name}={value!r} is not one of {', '.join(map(str, meta['choices']))}")
    return value
