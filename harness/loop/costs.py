"""What phases cost: the throughput of a machine on a run, measured by the world, and sums of what phases say from it."""

from __future__ import annotations

from dataclasses import dataclass, field

from harness.discovery.variants import Variant


@dataclass(frozen=True)
class Cost:
    """Cost of one or several phases: prompts or items processed, tokens, seconds in one process, bytes on disk."""

    count: float = 0.0
    tokens: float = 0.0
    seconds: float = 0.0
    disk_bytes: float = 0.0

    def __add__(self, other: Cost) -> Cost:
        return Cost(
            self.count + other.count, self.tokens + other.tokens, self.seconds + other.seconds, self.disk_bytes + other.disk_bytes
        )


@dataclass(frozen=True)
class Sizes:
    """Sizes that costs are computed from: annotated pairs, prompts of the diagnostics, prompts per optimizer step."""

    num_pairs: int
    diagnostics_prompts: int
    batch_size: int

    def pairs_of(self, variant: Variant | None) -> int:
        """The annotated pairs of a variant; None: of the initial policy."""
        return (variant.examples if variant else None) or self.num_pairs


@dataclass(frozen=True)
class Timing:
    """A timed piece of work: number of prompts or items, and seconds."""

    count: int
    seconds: float

    @property
    def seconds_per_item(self) -> float:
        return self.seconds / self.count


@dataclass(frozen=True)
class EvaluationEstimate:
    """The benchmark of one checkpoint, extrapolated from `timed_items` of its items: seconds, tokens, bytes on disk."""

    seconds: float
    tokens: float
    disk_bytes: float
    timed_items: int
    items: int


@dataclass
class Throughput:
    """Measurements on this machine, one process.

    `training` is keyed by (variant's label, 0 for iteration 0 and 1 for later ones), `scoring` by responses scored per prompt.
    """

    prompt_tokens: float
    real_tokens: float
    generated_tokens: float
    generated_tokens_stderr: float
    truncated_fraction: float
    generation: Timing
    cached_logp_agrees: bool
    evaluation: EvaluationEstimate
    initial_diagnostics_seconds: float
    later_diagnostics_seconds: float
    sample_bytes: float
    adapter_bytes: int
    training: dict[tuple[str, int], Timing] = field(default_factory=dict)
    scoring: dict[int, Timing] = field(default_factory=dict)
    measuring_seconds: float = 0.0
    peak_device_bytes: int | None = None
    peak_process_bytes: int = 0
