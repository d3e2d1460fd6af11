"""Intervals over seeds end where what is measured does: no divergence, entropy, length or share is negative."""

from types import SimpleNamespace

import pandas as pd
import pytest

from harness.analysis.stats import interval_of_mean
from harness.reporting.tables.curves import drift_table


def drift(name, values):
    columns = ["objective", "seed", "iteration", "name", "value", "stderr", "n", "unit", "source"]
    rows = [("spin", seed, 0, name, value, None, 200, "nats per response", "x") for seed, value in enumerate(values)]
    results = SimpleNamespace(
        dynamics=pd.DataFrame(rows, columns=columns),
        variants=["spin"],
        record={"seeds": [0, 1, 2], "iterations": 1},
        item_scores={},
    )
    (row,) = drift_table(results).to_dict("records")
    return row


@pytest.mark.parametrize(
    ("name", "values", "cut"),
    [
        ("kl_data_policy", [0.1, 0.3, 15.0], True),  # one seed far from the others: t's interval begins below 0
        ("kl_data_policy", [1.0, 1.1, 1.2], False),
        ("reward_margin", [0.1, 0.3, 15.0], False),
    ],
)
def test_an_interval_is_students_cut_off_at_what_cannot_be(name, values, cut):
    low, high = interval_of_mean(pd.Series(values).to_numpy())
    row = drift(name, values)
    assert row["high"] == pytest.approx(high) and row["low"] == pytest.approx(0.0 if cut else low)
    assert (low < 0) == (cut or name == "reward_margin")
