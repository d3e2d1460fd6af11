"""lm-eval's registries of metrics: the defaults of a task, and whether higher is better."""

from __future__ import annotations

from collections.abc import Sequence


def default_metrics(output_type: str) -> Sequence[str]:
    """The metrics of a task whose file lists none."""
    from lm_eval.api.registry import DEFAULT_METRIC_REGISTRY

    return DEFAULT_METRIC_REGISTRY.get(output_type, [])


def higher_is_better(metric: str) -> bool | None:
    """Whether higher is better; None for a metric that is not lm-eval's."""
    import lm_eval.api.metrics  # noqa: F401  (fills the registry)
    from lm_eval.api.registry import higher_is_better_registry

    return higher_is_better_registry.get(metric) if metric in higher_is_better_registry else None
