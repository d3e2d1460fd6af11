"""What is used of lm-eval beyond its documented interface, by name: the file to read when lm-eval is upgraded (now 0.4.13).

Beside this, `lm.py` overrides methods of HFLM (`_encode_pair`, `_loglikelihood_tokens`), and `load_tasks.py`, `own_shots.py` and
`task_errors.py` replace methods of a loaded task or its sampler that are documented for subclasses.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any
from unittest import mock


def silence() -> None:
    """No log line on every request type and every override, which the harness records in files, and no bar per task."""
    import lm_eval.api.task
    import tqdm

    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    lm_eval.api.task.tqdm = functools.partial(tqdm.tqdm, disable=True)
    logging.getLogger("lm_eval").setLevel(logging.ERROR)
    with contextlib.suppress(ImportError):
        import datasets
        import datasets.config

        datasets.disable_progress_bars()
        datasets.config.HF_UPDATE_DOWNLOAD_COUNTS = False  # of every set that is loaded, a local file too, a server would be told


def default_metrics(output_type: str) -> Sequence[str]:
    """The metrics of a task whose file lists none."""
    from lm_eval.api.registry import DEFAULT_METRIC_REGISTRY

    return DEFAULT_METRIC_REGISTRY.get(output_type, [])


def requests(task: Any) -> list[Any] | None:
    """The task's requests, once they are built."""
    return getattr(task, "_instances", None)


def discard_requests(task: Any) -> None:
    task._instances = []


def aggregations(task: Any) -> Mapping[str, Any]:
    """Metric -> function over the items' scores; None for one that lm-eval does not have."""
    return getattr(task, "_aggregation_list", None) or {}


def metric_functions(task: Any) -> Mapping[str, Any]:
    """Metric -> function of an answer; None for one that neither lm-eval nor the package evaluate has."""
    return getattr(task, "_metric_fn_list", {})


def has_own_scoring(task: Any) -> bool:
    return type(task).process_results.__qualname__ != "ConfigurableTask.process_results"


def apply_filter(task: Any, name: str, instances: Sequence[Any]) -> None:
    for ensemble in task._filters:
        if ensemble.name == name:
            ensemble.apply(instances)


@contextlib.contextmanager
def replace_stderr(bootstrap_stderr: Callable[..., Any], stderr_for_metric: Callable[..., Any]) -> Iterator[None]:
    """Within it `lm_eval.evaluate` takes its standard errors from these functions."""
    from lm_eval import evaluator_utils
    from lm_eval.api import metrics

    bootstrap = mock.patch.object(metrics, "bootstrap_stderr", bootstrap_stderr)
    with bootstrap, mock.patch.object(evaluator_utils, "stderr_for_metric", stderr_for_metric):
        yield


@contextlib.contextmanager
def surround_aggregation(context: Callable[[str, Sequence[str]], contextlib.AbstractContextManager[None]]) -> Iterator[None]:
    """Within it the scores of a task's items are aggregated in `context(task name, metrics)`."""
    from lm_eval import evaluator_utils

    original = evaluator_utils._compute_task_aggregations

    def aggregate(task: Any, raw_metrics: Any, *args: Any, **kwargs: Any) -> Any:
        with context(task.task_name, list(dict.fromkeys(metric for metric, _ in raw_metrics))):
            return original(task, raw_metrics, *args, **kwargs)

    with mock.patch.object(evaluator_utils, "_compute_task_aggregations", aggregate):
        yield
