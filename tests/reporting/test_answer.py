"""The answer on the screen is made of the tables, by rule, and one seed is never worded as a result."""

import pandas as pd
import pytest

from harness.analysis.facts import RunResults
from harness.commands.answer import print_answer
from harness.records import INITIAL
from harness.reporting.answer import answer_rows, caption
from harness.reporting.first_page.build import first_page, headlines
from harness.reporting.tables.reading import Tables
from harness.store.run_folder import RunFolder
from tests.conftest import ROOT
from tests.reporting.conftest import only

RUN = ROOT / "results" / "lab-reference"


@pytest.fixture
def tables():
    return Tables(RunResults(RUN))


def test_every_number_of_a_row_is_the_tables(tables):
    rows = answer_rows(tables, tables.panels[0])
    assert [row.objective for row in rows] == list(tables.ranking.sort_values("last", ascending=False)["objective"])
    for row in rows:
        ranked, first = (
            only(tables.ranking, objective=row.objective),
            only(tables.leaderboard, objective=row.objective, iteration=0),
        )
        assert row.first == f"{100 * first['mean']:.1f} ± {100 * first['item_stderr']:.1f}"
        assert row.best.startswith(f"{100 * ranked['best']:.1f} ± ") and row.best.endswith(f" at {int(ranked['best_iteration'])}")
        assert row.last == f"{100 * ranked['last']:.1f} ± {100 * ranked['last_item_stderr']:.1f}"
        low, high = 100 * ranked["gain_low"], 100 * ranked["gain_high"]
        assert row.change == f"{100 * ranked['gain']:+.1f} [{low:+.1f}, {high:+.1f}]"


def test_collapse_is_said_in_words_with_the_iteration_it_was_first_seen_at(tables, monkeypatch):
    rows = [("spin", "score fall", 3), ("spin", "score fall", 2), ("spin", "repetition", 4)]
    findings, read = pd.DataFrame(rows, columns=["objective", "finding", "iteration"]), tables.read
    monkeypatch.setattr(tables, "read", lambda name: findings if name.endswith("collapse.csv") else read(name))
    words = {row.objective: row.collapse for row in answer_rows(tables, tables.panels[0])}
    assert words["spin"] == "score fall at iteration 2, repetition at iteration 4" and words["sft"] == "none found"


@pytest.mark.parametrize(("seeds", "first"), [([0], "One seed is not a result"), ([0, 1], "2 seeds are not a result")])
def test_below_three_seeds_it_is_said_first_that_this_is_no_result(tables, seeds, first):
    tables.results.record["seeds"] = seeds
    lines = headlines(tables)
    assert lines[0].startswith(f"{first}: how much training differs between seeds is in none of these errors")
    assert lines[1].startswith("SFT has the highest mean at the last iteration (4), 95.3 ± 0.6 %")


def test_from_three_seeds_on_it_is_what_page_1_says_first(tables):
    tables.results.record["seeds"] = [0, 1, 2]
    page = {answer.question: answer for answer in first_page(tables).answers}
    assert headlines(tables) == [sentence.text for sentence in page["Who wins?"].sentences[:2]]


def test_the_caption_says_n_errors_and_origin(tables):
    compared = only(tables.comparisons, task="mean", a="spin", b=INITIAL)
    text = caption(tables)
    assert f"n = {compared['items']:,} items in {compared['clusters']:,} clusters; 1 seed" in text
    assert "95 % interval over items, paired" in text and "standing.csv" in text


def test_an_objective_that_is_not_complete_has_no_numbers(tables):
    tables.ranking.loc[tables.ranking["objective"] == "spin", "last"] = None
    (row,) = [row for row in answer_rows(tables, tables.panels[0]) if row.objective == "spin"]
    assert (row.first, row.last, row.collapse) == ("–", "–", "not complete")


def test_it_fits_80_columns(capsys):
    print_answer(RunFolder(RUN))
    table = [line for line in capsys.readouterr().out.splitlines() if line.startswith(("objective", "sft", "space", "spin"))]
    assert len(table) == 4 and max(map(len, table)) <= 80
