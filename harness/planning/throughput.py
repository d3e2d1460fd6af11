"""What was measured of a machine's speed on a run: seconds of each kind of phase, tokens and bytes. Filled in by a world."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Trial:
    """What was tried: how many prompts or items, in how many seconds."""

    count: int
    seconds: float

    @property
    def each(self) -> float:
        return self.seconds / self.count


@dataclass(frozen=True)
class Evaluation:
    """One player's leaderboard, extrapolated from a trial of `tried` of its items: seconds, tokens, bytes kept."""

    seconds: float
    tokens: float
    bytes_kept: float
    tried: int
    items: int


@dataclass
class Calibration:
    """Seconds on this machine, one process. Times are per prompt; `train` and `score` depend on what a prompt comes with."""

    prompt_tokens: float
    real_tokens: float
    drawn_tokens: float
    drawn_stderr: float
    truncated: float
    draw: Trial
    known_agree: bool
    evaluation: Evaluation
    probe_first: float
    probe_later: float
    sample_bytes: float
    adapter_bytes: int
    train: dict[tuple[str, int], Trial] = field(default_factory=dict)
    score: dict[int, Trial] = field(default_factory=dict)
    seconds: float = 0.0
    device_bytes: int | None = None
    process_bytes: int = 0
