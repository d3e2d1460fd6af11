"""Throughput of a machine on a run: seconds, tokens and bytes by kind of phase. Measured by the world."""

from __future__ import annotations

from dataclasses import dataclass, field


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
