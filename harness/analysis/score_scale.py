"""How a suite's row is read: its direction, and whether its number is a share that enters the mean over tasks.

A mean is taken over shares, numbers from 0 (worst) to 1 (best). A row's number is one when it rises from 0 to 1 by itself
(accuracy), or when the suite gives the row a `range`, which is mapped to 0..1 in the row's direction. Every other row (a
perplexity, a BLEU from 0 to 100) stands beside the mean in its own unit. So does a row of which any number recorded in a run lies
outside its range: for all players alike, for means of different rows are not comparable.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

# Metrics of lm-eval's registry whose values are not bound to 0..1. Others that are not show it by their values.
NOT_SHARES = {
    "bits_per_byte",
    "bleu",
    "brier_score",
    "bypass",
    "byte_perplexity",
    "chrf",
    "chrf++",
    "likelihood",
    "mcc",
    "perplexity",
    "ter",
    "word_perplexity",
}
ROUNDING = 1e-9  # a mean of ones may be 1 + 2e-16


@dataclass(frozen=True)
class Scale:
    """One row's range and direction. counted: whether the row enters the mean; if not, `reason` says why."""

    low: float = 0.0
    high: float = 1.0
    higher: bool = True
    counted: bool = True
    reason: str = ""

    def share(self, value: Any) -> Any:
        """Number or array in the row's own unit -> 0 at the worst end of the range, 1 at the best."""
        if self.plain:
            return value
        return (value - self.low) / self.width if self.higher else (self.high - value) / self.width

    def error(self, stderr: Any) -> Any:
        """A standard error in the row's own unit -> the share's."""
        return stderr if self.plain else stderr / self.width

    @property
    def plain(self) -> bool:
        """Whether the row's own number is its share."""
        return (self.low, self.high, self.higher) == (0.0, 1.0, True)

    @property
    def percent(self) -> bool:
        """Whether the row's own number is shown in percent."""
        return self.plain and self.counted

    @property
    def width(self) -> float:
        return self.high - self.low

    def holds(self, value: float) -> bool:
        return self.low - ROUNDING * self.width <= value <= self.high + ROUNDING * self.width


def scale_of(row: Mapping[str, Any], values: Iterable[float] = (), items: Iterable[float] = ()) -> Scale:
    """How to read a row of a suite, as a record or a `SuiteTask`'s fields. values: the row's numbers as far as there are any;
    items: what its items counted, which tell a score from 0 to 100 even where a poor player's is below 1."""
    higher = bool(row.get("higher_is_better", True))
    given = row.get("range")
    low, high = (float(end) for end in given) if given else (0.0, 1.0)
    scale = Scale(low, high, higher)
    reason = ""
    if not given and not higher:
        reason = "lower is better"
    elif not given and row.get("metric") in NOT_SHARES:
        reason = f"{row['metric']} is not bound to 0..1"
    else:
        seen = [*values, *(() if given else items)]
        outside = next((v for v in seen if not math.isnan(v) and not scale.holds(v)), None)
        if outside is not None:
            reason = f"{outside:.4g} lies outside {low:g}..{high:g}"
    return Scale(low, high, higher, counted=not reason, reason=reason)


def aside(row: Mapping[str, Any], scale: Scale) -> str:
    """A row that stands beside the mean, in words: "Pages (word_perplexity, lower is better)"."""
    said = [str(row.get("metric")), "higher is better" if scale.higher else "lower is better"]
    if scale.reason != "lower is better":
        said.append(scale.reason)
    return f"{row['label']} ({', '.join(said)})"
