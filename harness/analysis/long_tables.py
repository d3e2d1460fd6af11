"""Single responses and single test items of a run as tables, one row each: large, so they are no csv files of a run."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from harness.analysis.facts import RunResults
from harness.analysis.frames import KEY_COLUMNS, Frame, make_frame, with_integers

SAMPLE_COLUMNS = [*KEY_COLUMNS, "example_id", "prompt", "real", "text", "finished", "tokens", "logp", "real_logp"]
ITEM_COLUMNS = [*KEY_COLUMNS, "task", "item", "value", "cluster", "prediction"]


def samples_table(results: RunResults) -> Frame:
    """One row per checkpoint and held-out prompt, in the order of the prompts; what another world does not record is missing."""
    rows = [
        {
            **dict(zip(KEY_COLUMNS, key, strict=True)),
            **sample,
            "tokens": len(sample["token_ids"]) if "token_ids" in sample else None,
        }
        for key, samples in results.held_out_samples.items()
        for sample in samples
    ]
    return with_integers(make_frame(rows, SAMPLE_COLUMNS), "tokens")


def items_table(results: RunResults) -> Frame:
    """One row per checkpoint, task and item. A task whose score is not made of items (a corpus metric) has none.

    item: the place in the task, the same for every checkpoint of a run whose suite is the same.
    """
    parts = []
    for (objective, seed, iteration), tasks in results.item_scores.items():
        for task, record in tasks.items():
            if record["values"] is None:
                continue
            count = len(record["values"])
            columns: dict[str, Any] = {
                "objective": objective,
                "seed": pd.array([seed] * count, dtype="Int64"),
                "iteration": iteration,
                "task": task,
                "item": np.arange(count),
                "value": np.array(record["values"], dtype=float),
            }
            for column, name in (("cluster", "clusters"), ("prediction", "predictions")):
                columns[column] = pd.array(record.get(name) or [pd.NA] * count, dtype="Int64")
            parts.append(pd.DataFrame(columns))
    return pd.concat(parts, ignore_index=True) if parts else make_frame([], ITEM_COLUMNS)
