"""The interface between the self-play loop and a world: a policy, annotated examples, a benchmark, diagnostics.

A recipe names its world (`world = "language"` is the default), a class found as settings/plugins.py says. `loop/`, `train/` and
`store/` use it through this file alone. Methods with a body below are optional for a class that inherits from this one.

The world decides what prompts and responses are: token ids, arrays, numbers of outcomes. The shared code needs that len() is
the number of units that the log-probability sums over (tokens), and that tuple() is equal for equal ones. An example is a
dataclass with `id` and `identity()`, the text that its digest is computed from; a sample is one with `example_id`, `index`,
`content` (the response), `logp` (computed while sampling) and `identity()`, which is "EXAMPLE_ID INDEX CONTENT". Their fields
are the columns of data/train.jsonl and samples.jsonl.

Legend: N responses of all groups of a batch. Log-probabilities are in nats, summed over a response's units.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from harness.errors import UserError

if TYPE_CHECKING:
    import torch

    from harness.config import RunConfig
    from harness.loop.suite import Suite
    from harness.progress import Advance
    from harness.records import Measurement, PromptGroup
    from harness.store.partial_results import PartialResults
    from harness.train.thread_pool import OrderedThreadPool


@dataclass(frozen=True)
class Dataset:
    """The annotated pairs of a run. counts: rows read, kept and dropped, by reason; notes: lines for the user."""

    train: list[Any]
    heldout: list[Any]
    counts: dict[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = field(default=(), compare=False)


@dataclass(frozen=True)
class SampleRequest:
    """The responses to sample: for every example those of `indices`. Each depends on (seed, iteration, example, index) alone.

    checkpoint: folder of the loaded adapter, None for the initial policy. folder: the phase's, relative to the run's.
    """

    examples: Sequence[Any]
    indices: Sequence[int]
    iteration: int
    seed: int
    checkpoint: Path | None
    folder: str


@dataclass(frozen=True)
class Generated:
    """Samples in the order of (example, index); counts for the manifest; files: name -> content of a JSON file beside them."""

    samples: list[Any]
    counts: Mapping[str, Any]
    files: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class EarlierCheckpoint:
    """A checkpoint that diagnostics compare with: `activate` loads it, `samples` are the rows of its own diagnostics."""

    activate: Callable[[], None]
    samples: Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class Diagnostics:
    """Measurements of one checkpoint on held-out examples, and the samples they were computed from, as rows."""

    measurements: list[Measurement]
    samples: list[dict[str, Any]]


class Encoder(Protocol):
    """An example's prompt and real response as the policy reads them."""

    @property
    def sample_logps_hold(self) -> bool: ...  # whether a sample's own logp equals that of the response in training
    @property
    def digest(self) -> Any: ...  # str, of everything that determines the encoding
    def prompt(self, example: Any) -> Any: ...
    def real(self, example: Any) -> Any: ...


class Policy(Protocol):
    """A frozen base with one adapter slot, into which main player and opponent are loaded in turn."""

    @property
    def base_digest(self) -> str: ...
    @property
    def encoder(self) -> Encoder: ...
    @property
    def pool(self) -> OrderedThreadPool: ...  # micro-batches side by side
    @property
    def device(self) -> torch.device: ...
    @property
    def precision(self) -> str: ...  # dtype of the base: float64, float32, bfloat16, float16
    @property
    def quantized(self) -> bool: ...  # the base in 4 or 8 bits
    def adapter_parameters(self) -> list[tuple[str, torch.nn.Parameter]]: ...
    def reset_adapter(self, seed: int) -> None: ...  # to the initial policy
    def load_adapter(self, adapter: Path) -> None: ...  # raises ValueError for another base's, NonFiniteError
    def save_adapter(self, adapter: Path) -> str: ...  # writes adapter_model.safetensors; its digest
    @property
    def training_precision(self) -> str: ...  # within `training_arithmetic`, as train/numerics.py lists it
    def training_arithmetic(self) -> AbstractContextManager[None]: ...  # within, scores and gradients are those of training
    def gradient_checkpointing(self, enabled: bool) -> AbstractContextManager[None]: ...
    def collate(self, groups: Sequence[PromptGroup]) -> Any: ...  # a batch; its `count` is N
    def response_logps(self, batch: Any) -> torch.Tensor: ...  # (N,), with gradient where gradients are on
    def score(
        self, groups: Sequence[PromptGroup], max_tokens_per_batch: int, advance: Advance = ...
    ) -> list[float]: ...  # raises NonFiniteError
    def decode(self, content: Any) -> str: ...  # for the file that explains a number that is not finite
    def layout(self) -> dict[str, Any]: ...  # how responses go through the model, for run.json


class World(Protocol):
    """Everything below raises UserError for what the user should change, before anything is trained."""

    example_type: type
    sample_type: type

    def check_sources(self, config: RunConfig, mirror: Path | None) -> None:
        """Check that what the settings name on this machine is there, at once: without the libraries that `check` may load."""

    def check(self, config: RunConfig) -> None:
        """Check the settings before anything is loaded."""

    def load_benchmark(self, config: RunConfig, suite: Suite, mirror: Path | None) -> Any: ...  # a Benchmark
    def load_policy(self, config: RunConfig, mirror: Path | None, commit: str | None, date: datetime) -> Any: ...  # a Policy
    def check_policy(self, config: RunConfig, policy: Any, benchmark: Any, checkpointing: bool) -> None:
        """Check that policy, benchmark and settings fit. checkpointing: some trial uses gradient checkpointing."""

    def load_examples(self, config: RunConfig, policy: Any, mirror: Path | None) -> Dataset: ...
    def data_settings(self, policy: Any, date: datetime) -> dict[str, Any]:
        """Settings that the examples depend on beside the recipe's [data] and the base."""
        return {}

    def notes(self, policy: Any, data: Dataset) -> Iterator[str]:
        """Lines for the user before training starts."""
        return iter(())

    def record(self, policy: Any) -> dict[str, Any]:
        """The policy's entries in run.json."""
        return {"base_commit": None, "template": "none"}

    def generate(
        self, policy: Any, config: RunConfig, request: SampleRequest, advance: Advance, partial: PartialResults
    ) -> Generated: ...
    def diagnose(
        self, policy: Any, config: RunConfig, examples: Sequence[Any], earlier: Mapping[str, EarlierCheckpoint], advance: Advance
    ) -> Diagnostics: ...  # `earlier` by name: "previous" is the opponent, "initial" the initial policy
    def measure_throughput(self, context: Any, variants: Sequence[Any]) -> Any:
        """A loop.costs.Throughput of this machine, for a dry run."""
        raise UserError(f"--dry-run: the world {type(self).__module__} estimates no costs; run without --dry-run")


def load_world(name: str) -> World:
    """The world of that name. Raises UserError for an unknown one."""
    from harness.settings.plugins import load_plugin  # pydantic, which the training core does without

    return load_plugin("world", name, "world")()
