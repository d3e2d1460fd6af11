"""What a world is to the self-play loop: a policy, annotated examples, a benchmark and diagnostics behind one protocol.

A recipe names its world (`world = "language"` is the default). `loop/`, `train/` and `store/` know it by this file alone. It is
one folder with a class `World`, named in WORLDS or as an entry point of the group `harness.worlds`. Methods with a body below
are optional for a class that inherits from this one.

What prompts and responses hold is the world's own: token ids, arrays, numbers of outcomes. The shared code needs that len() of
one is the number of units its log-probability sums over (tokens), and that tuple() tells equal ones. An example is a dataclass
with `id` and `identity()`, a text that its digest is made from; a sample is one with `example_id`, `index`, `content` (the
response), `logp` (as found while it was drawn) and `identity()`, which is "EXAMPLE_ID INDEX CONTENT". Their fields are the
columns of data/train.jsonl and samples.jsonl.

Legend: N responses of all groups handed over together. Log-probabilities are in nats, summed over a response's units.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from harness.errors import UserError, did_you_mean

if TYPE_CHECKING:
    import torch

    from harness.config import RunConfig
    from harness.loop.suite import Suite
    from harness.progress import Advance
    from harness.records import Measurement, PromptGroup
    from harness.store.partial_results import PartialResults
    from harness.train.thread_pool import OrderedThreadPool

WORLDS = {"language": "harness.language.world"}  # name -> module with a class World
GROUP = "harness.worlds"


@dataclass(frozen=True)
class Dataset:
    """The annotated pairs of a run. counts: rows read, kept and left out, by reason; notes: what a user should know, by line."""

    train: list[Any]
    heldout: list[Any]
    counts: dict[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = field(default=(), compare=False)


@dataclass(frozen=True)
class SampleRequest:
    """The responses to draw: for every example those of `indices`. A draw depends on (seed, iteration, example, index) alone.

    checkpoint: the adapter folder of the policy in the slot, None for the initial policy. folder: the phase's, from the run's.
    """

    examples: Sequence[Any]
    indices: Sequence[int]
    iteration: int
    seed: int
    checkpoint: Path | None
    folder: str


@dataclass(frozen=True)
class Generated:
    """Samples in the order of (example, index); counts for the manifest; files: name -> what JSON is written beside them."""

    samples: list[Any]
    counts: Mapping[str, Any]
    files: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class EarlierCheckpoint:
    """One that diagnostics compare with: `activate` puts it into the slot, `samples` are the rows its own diagnostics kept."""

    activate: Callable[[], None]
    samples: Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class Diagnostics:
    """Measurements of one checkpoint on held-out examples, and the samples they were made from, as rows."""

    measurements: list[Measurement]
    samples: list[dict[str, Any]]


class Encoder(Protocol):
    """An example's prompt and real response as the policy reads them."""

    @property
    def sample_logps_hold(self) -> bool: ...  # whether a sample's own logp is that of the response as it is trained on
    @property
    def digest(self) -> Any: ...  # str, of whatever turns examples into what the policy reads
    def prompt(self, example: Any) -> Any: ...
    def real(self, example: Any) -> Any: ...


class Policy(Protocol):
    """A frozen base with one adapter slot, into which main player and opponent are put in turn."""

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
    def load_adapter(self, adapter: Path) -> None: ...  # raises ValueError for another base's, BadNumbers
    def save_adapter(self, adapter: Path) -> str: ...  # writes adapter_model.safetensors; its digest
    def gradient_checkpointing(self, enabled: bool) -> AbstractContextManager[None]: ...
    def collate(self, groups: Sequence[PromptGroup]) -> Any: ...  # a batch; its `count` is N
    def response_logps(self, batch: Any) -> torch.Tensor: ...  # (N,), with gradient where gradients are on
    def score(
        self, groups: Sequence[PromptGroup], max_tokens_per_batch: int, advance: Advance = ...
    ) -> list[float]: ...  # raises BadNumbers
    def decode(self, content: Any) -> str: ...  # for the file that explains a number that is not finite
    def layout(self) -> dict[str, Any]: ...  # how responses go through the model, for run.json


class World(Protocol):
    """Everything below raises UserError for what the user should change, before anything is trained."""

    example_type: type
    sample_type: type

    def check(self, config: RunConfig) -> None:
        """Before anything is loaded."""

    def load_benchmark(self, config: RunConfig, suite: Suite, mirror: Path | None) -> Any: ...  # a Benchmark
    def load_policy(self, config: RunConfig, mirror: Path | None, commit: str | None, date: datetime) -> Any: ...  # a Policy
    def check_policy(self, config: RunConfig, policy: Any, benchmark: Any, checkpointing: bool) -> None:
        """What policy, benchmark and settings ask of each other; checkpointing: some trial wants gradient checkpointing."""

    def load_examples(self, config: RunConfig, policy: Any, mirror: Path | None) -> Dataset: ...
    def data_settings(self, policy: Any, date: datetime) -> dict[str, Any]:
        """What the examples depend on beside the recipe's [data] and the base."""
        return {}

    def notes(self, policy: Any, data: Dataset) -> Iterator[str]:
        """What a user should see before anything is spent, by line."""
        return iter(())

    def record(self, policy: Any) -> dict[str, Any]:
        """What run.json says of the policy."""
        return {"base_commit": None, "template": "none"}

    def generate(
        self, policy: Any, config: RunConfig, request: SampleRequest, advance: Advance, partial: PartialResults
    ) -> Generated: ...
    def diagnose(
        self, policy: Any, config: RunConfig, examples: Sequence[Any], earlier: Mapping[str, EarlierCheckpoint], advance: Advance
    ) -> Diagnostics: ...  # `earlier` by name: "previous" is the opponent, "initial" the initial policy
    def measure_throughput(self, runner: Any, variants: Sequence[Any]) -> Any:
        """planning.throughput.Calibration of this machine, for a dry run."""
        raise UserError(f"--dry-run: the world {type(self).__module__} cannot estimate what a run costs")


def load_world(name: str) -> World:
    """The world of that name. Raises UserError for one that no installed package declares."""
    declared = {entry.name: entry.value for entry in entry_points(group=GROUP)}
    known = {**declared, **WORLDS}
    if name not in known:
        raise UserError(f'world = "{name}": unknown world{did_you_mean(name, known)}')
    return import_module(known[name]).World()
