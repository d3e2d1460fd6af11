"""A score on the screen is the one that the tables have, with the standard error that their intervals are made of."""

import math

import pandas as pd
import pytest

from harness.analysis.frames import select
from harness.records import INITIAL
from harness.reporting.live_score import checkpoint_score
from tests.conftest import ROOT
from tests.reporting.conftest import only

RUN = ROOT / "results" / "lab-reference"


@pytest.fixture(scope="module")
def tables():
    read = {name: pd.read_csv(RUN / "tables" / f"{name}.csv") for name in ("leaderboard", "comparisons")}
    return read["leaderboard"], select(read["comparisons"], task="mean", b=INITIAL)


def test_the_starts_score_is_the_tables(tables):
    row, score = only(tables[0], objective=INITIAL), checkpoint_score(RUN, "initial/evaluate/lab-ten")
    assert (score.mean, score.stderr) == (pytest.approx(row["mean"]), pytest.approx(row["item_stderr"]))
    assert score.change is None and score.tasks == 10 and score.items == 4000 and score.clusters < 4000


def test_a_checkpoints_score_and_its_difference_from_the_start_are_the_tables(tables):
    """At the last iteration, which the comparisons are of: half an interval of them is 1.96 to 2.1 of these standard errors."""
    board, compared = tables
    for row in compared.to_dict("records"):
        label, last = row["a"], int(row["iteration_a"])
        score = checkpoint_score(RUN, f"{label}/seed-0/iteration-{last}/evaluate/lab-ten")
        expected = only(board, objective=label, iteration=last)
        assert (score.mean, score.stderr) == (pytest.approx(expected["mean"]), pytest.approx(expected["item_stderr"]))
        assert (score.change, score.items, score.clusters) == (pytest.approx(row["difference"]), row["items"], row["clusters"])
        assert 1.96 <= (row["high"] - row["low"]) / 2 / score.change_stderr < 2.1
        assert score.change_stderr < math.hypot(score.stderr, only(board, objective=INITIAL)["item_stderr"]), "it is paired"


def test_other_phases_have_no_score():
    assert checkpoint_score(RUN, "space/seed-0/iteration-0/train") is None
    assert checkpoint_score(RUN, "space/seed-0/iteration-0/evaluate/another-suite") is None
