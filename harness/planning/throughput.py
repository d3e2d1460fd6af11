"""What was measured of a machine's speed on a run: seconds of each kind of phase, tokens and bytes. Filled in by a world."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Timing:
    """What was tried: how many prompts or items, in how many seconds."""

    count: int
    seconds: float

    @property
    def seconds_per_item(self) -> float:
        return self.seconds / self.count


@dataclass(frozen=True)
class EvaluationEstimate:
    """One player's leaderboard, extrapolated from a trial of `tried` of its items: seconds, tokens, bytes kept."""

    seconds: float
    tokens: float
    disk_bytes: float
    timed_items: int
    items: int


@dataclass
class Throughput:
    """Seconds on this machine, one process. Times are per prompt; `train` and `score` depend on what a prompt comes with."""

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
