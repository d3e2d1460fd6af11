"""The scale of a suite's row: range, direction, and whether its score is a share that enters the mean over tasks.

A mean is taken over shares, numbers from 0 (worst) to 1 (best). A row's score is one when it rises from 0 to 1 by itself
(accuracy), or when the suite gives the row a `range`, which is mapped to 0..1 in the row's direction. Every other row (a
perplexity, a BLEU from 0 to 100) is shown apart from the mean in its own unit. So is a row of which any number recorded in a run
lies outside its range: for all checkpoints of the run, since means over different rows are not comparable.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

# Metrics of lm-eval's registry whose values are not bound to 0..1. Others are recognised by their values.
UNBOUNDED_METRICS = {"bits_per_byte", "bleu", "brier_score", "bypass", "byte_perplexity", "chrf", "chrf++", "likelihood", "mcc",
                     "perplexity", "ter", "word_perplexity"}  # fmt: skip
RANGE_TOLERANCE = 1e-9  # a mean of ones may be 1 + 2e-16


@dataclass(frozen=True)
class ScoreScale:
    """One row's range and direction. in_mean: whether the row enters the mean; if not, `reason` is why."""

    low: float = 0.0
    high: float = 1.0
    higher_is_better: bool = True
    in_mean: bool = True
    reason: str = ""

    def to_unit(self, value: Any) -> Any:
        """Number or array in the row's own unit -> 0 at the worst end of the range, 1 at the best."""
        if self.is_identity:
            return value
        return (value - self.low) / self.width if self.higher_is_better else (self.high - value) / self.width

    def stderr_to_unit(self, stderr: Any) -> Any:
        """A standard error in the row's own unit -> that of the share."""
        return stderr if self.is_identity else stderr / self.width

    @property
    def is_identity(self) -> bool:
        """Whether the row's own number is its share."""
        return (self.low, self.high, self.higher_is_better) == (0.0, 1.0, True)

    @property
    def shown_in_percent(self) -> bool:
        """Whether the row's own number is shown in percent."""
        return self.is_identity and self.in_mean

    @property
    def width(self) -> float:
        return self.high - self.low

    def contains(self, value: float) -> bool:
        return self.low - RANGE_TOLERANCE * self.width <= value <= self.high + RANGE_TOLERANCE * self.width


def infer_scale(row: Mapping[str, Any], values: Iterable[float] = (), items: Iterable[float] = ()) -> ScoreScale:
    """The scale of a suite's row, given as a record or a `SuiteTask`'s fields. values: the row's scores as far as there are any;
    items: item scores, which reveal a score from 0 to 100 even where that of a weak model is below 1."""
    higher_is_better = bool(row.get("higher_is_better", True))
    given_range = row.get("range")
    low, high = (float(end) for end in given_range) if given_range else (0.0, 1.0)
    scale = ScoreScale(low, high, higher_is_better)
    reason = ""
    if not given_range and not higher_is_better:
        reason = "lower is better"
    elif not given_range and row.get("metric") in UNBOUNDED_METRICS:
        reason = f"{row['metric']} is not bound to 0..1"
    else:
        observed = [*values, *(() if given_range else items)]
        outside = next((v for v in observed if not math.isnan(v) and not scale.contains(v)), None)
        if outside is not None:
            reason = f"{outside:.4g} lies outside {low:g}..{high:g}"
    return ScoreScale(low, high, higher_is_better, in_mean=not reason, reason=reason)


def describe_unaveraged(row: Mapping[str, Any], scale: ScoreScale) -> str:
    """A row that is not in the mean, in words: "Pages (word_perplexity, lower is better)"."""
    parts = [str(row.get("metric")), "higher is better" if scale.higher_is_better else "lower is better"]
    if scale.reason != "lower is better":
        parts.append(scale.reason)
    return f"{row['label']} ({', '.join(parts)})"
