"""Page 1 by rule from the tables: its title, its numbers, and how long the report is."""

import json
import shutil

import pandas as pd
import pytest

from harness.analysis.facts import RunResults
from harness.analysis.frames import select
from harness.records import INITIAL
from harness.reporting.first_page.build import first_page, missing
from harness.reporting.first_page.numbers import PanelNumbers
from harness.reporting.first_page.title import finding
from harness.reporting.first_page.who import by_how_much, orders, who_wins
from harness.reporting.report.blocks import sanitize
from harness.reporting.report.content import content
from harness.reporting.report.document import TEMPLATE
from harness.reporting.tables import refresh
from harness.reporting.tables.collapse import COLUMNS
from harness.reporting.tables.reading import Tables
from tests.conftest import ROOT, read_csv_rows
from tests.helpers.made_runs import Written, played

REFERENCE = ROOT / "results" / "lab-reference"
STUDY = ROOT / "results" / "reference" / "study-stability"
MAX_PAGES = 7  # five, and two of appendix


@pytest.fixture(scope="module")
def reference():
    return Tables(RunResults(REFERENCE))


def numbers_of(shares, collapsed=(), **options):
    """The panel of a made-up run with these shares of right answers; collapsed: objectives with a finding."""
    written = Written(played(shares, items=200, **options))
    rows = [(name, 0, 1, "score fall", "fell", 0.1, 0.05, "-") for name in collapsed]
    written.read = lambda name: pd.DataFrame(rows, columns=COLUMNS)
    return PanelNumbers(written, written.panels[0])


@pytest.mark.parametrize(
    ("shares", "collapsed", "options", "title"),
    [
        ({"sft": (0.5, 0.6), "space": (0.5, 0.9)}, (), {}, "SPACE is shown above SFT"),
        ({"sft": (0.5, 0.6), "space": (0.5, 0.61)}, (), {}, "SPACE is not shown above SFT"),
        ({"sft": (0.5, 0.9), "space": (0.5, 0.6), "spin": (0.5, 0.3)}, ("spin",), {},
         "None of two self-play objectives is shown above SFT; SPIN collapses"),
        ({"sft": (0.5, 0.9), "space": (0.5, 0.6)}, (), {"seeds": (0,)},
         "One seed, not yet a result: SPACE is not shown above SFT on these items"),
        ({"space": (0.5, 0.9), "spin": (0.5, 0.3)}, (), {}, "SPACE ends above SPIN"),
        ({"space": (0.5, 0.5), "spin": (0.5, 0.5)}, (), {}, "cannot be told apart at the last iteration"),
        ({"space": (0.5, 0.95)}, (), {}, "SPACE gains"),
    ],
)  # fmt: skip
def test_the_title_is_the_finding(shares, collapsed, options, title):
    numbers = numbers_of(shares, collapsed, iterations=2, **options)
    said = finding(numbers.tables, numbers)
    assert said == title if title.startswith(("SPACE is", "None", "One", "SPACE ends")) else title in said


def test_the_intervals_are_the_paired_ones_of_the_table_and_of_nothing_else(reference):
    numbers = PanelNumbers(reference, reference.panels[0])
    (against, start, smallest) = (sentence.text for sentence in by_how_much(numbers))
    for name, label in (("SPACE", "space"), ("SPIN", "spin")):
        (row,) = select(reference.comparisons, a="sft", b=label, task="mean").to_dict("records")
        low, high = -100 * row["high"], -100 * row["low"]
        assert f"{name} {-100 * row['difference']:+.1f} [{low:+.1f}, {high:+.1f}]" in against
        assert f"{(high - low) / 2:.1f}" in smallest
    (row,) = select(reference.comparisons, a="sft", b=INITIAL, task="mean").to_dict("records")
    assert f"SFT {100 * row['difference']:+.1f} [{100 * row['low']:+.1f}, {100 * row['high']:+.1f}]" in start


def test_one_seed_is_said_first_to_be_no_result(reference):
    first, *_ = who_wins(PanelNumbers(reference, reference.panels[0]))
    assert first.strong and first.text.startswith("One seed is not a result")


@pytest.mark.parametrize(
    ("seeds", "text"),
    [(1, "Incomplete, not compared: SPACE."), (3, "Fewer seeds finished than the 4 of the others: SPACE 3.")],
)
def test_an_objective_with_fewer_finished_seeds_is_named_and_with_one_not_compared(seeds, text):
    numbers = numbers_of({"sft": (0.5, 0.9), "space": (0.5, 0.6)}, iterations=2, seeds=(0, 1, 2, 3))
    ranking = numbers.tables.ranking
    ranking.loc[ranking["objective"] == "space", "seeds"] = seeds
    numbers.tables.results.__dict__ |= {"failed_trials": {}, "earlier_tables": None}
    (said,) = missing(numbers.tables, [numbers])
    assert said.alarm and said.text == text and ("space" in numbers.labels) == (seeds == 3)


def test_aggregates_that_disagree_on_the_order_are_said_to():
    numbers = numbers_of({"sft": (0.5, 0.9), "space": (0.5, 0.3)}, iterations=2)
    board = numbers.tables.leaderboard
    assert orders(numbers)[0].text.endswith("All agree on the order.")
    last = (board["objective"] == "space") & (board["iteration"] == 1)
    board.loc[last, "interquartile_mean"] = 0.99
    assert orders(numbers)[0].text.endswith("The interquartile mean has another order: SPACE, SFT.")


def test_what_carries_the_gain_and_the_price_are_those_of_the_tables(reference):
    """By hand from leaderboard.csv and cost.csv: SFT's two largest gains, the mean of the other eight, tokens a seed."""
    page = {answer.question: " ".join(one.text for one in answer.sentences) for answer in first_page(reference).answers}
    rows = {(row["objective"], row["iteration"]): row for row in read_csv_rows(REFERENCE / "tables/leaderboard.csv")}
    tasks = {task["name"]: task["label"] for task in reference.results.averaged_tasks}
    gains = {name: 100 * (float(rows["sft", "4"][name]) - float(rows[INITIAL, "-1"][name])) for name in tasks}
    first, second, *rest = sorted(gains, key=lambda name: -gains[name])
    assert f"SFT gains most in {tasks[first]} ({gains[first]:+.0f}" in page["Gain in what?"]
    assert f"{tasks[second]} ({gains[second]:+.0f}" in page["Gain in what?"]
    assert f"its mean moves by {sum(gains[name] for name in rest) / 8:+.1f} in place of" in page["Gain in what?"]
    costs = [row for row in read_csv_rows(REFERENCE / "tables/cost.csv") if row["phase"] == "train"]
    trained = {name: sum(int(row["tokens"]) for row in costs if row["objective"] == name) for name in ("sft", "space", "spin")}
    assert f"SPACE {trained['space'] / trained['sft']:.1f}, SPIN {trained['spin'] / trained['sft']:.1f}" in page["At what price?"]


def num_pages(run, folder):
    """Pages of the run's report; its tables and figures must have been written."""
    for figure in (run / "plots").glob("*.svg"):
        shutil.copyfile(figure, folder / figure.name)
    return num_pages_of(content(RunResults(run)), folder)


def num_pages_of(report, folder):
    import typst

    shutil.copyfile(TEMPLATE, folder / "report.typ")
    (folder / "content.json").write_text(json.dumps(sanitize(report)))
    pages = typst.compile(folder / "report.typ", format="svg")
    return len(pages) if isinstance(pages, list) else 1


@pytest.mark.parametrize("times", [1, 2])
def test_the_first_page_is_one_page_however_high_its_figure_is(reference, times, tmp_path):
    """Sixteen variants have a figure of nine inches, and twice the words."""
    report = content(reference.results) | {"sections": [], "appendix": []}
    answers, figure, _ = report["first_page"]
    for entry in answers["entries"]:
        entry["sentences"] *= times
    size = 'width="504pt" height="648pt" viewBox="0 0 504 648"'
    drawing = f'<svg xmlns="http://www.w3.org/2000/svg" {size}><rect width="9" height="648"/></svg>'
    (tmp_path / f"{figure['name']}.svg").write_text(drawing)
    assert num_pages_of(report, tmp_path) == 1


def test_the_reference_has_five_pages_and_two_of_appendix_at_most(tmp_path):
    assert num_pages(REFERENCE, tmp_path) <= MAX_PAGES


@pytest.mark.slow
@pytest.mark.parametrize("study", sorted(STUDY.parent.iterdir()), ids=lambda path: path.name)
def test_studies_have_no_more(study, tmp_path):
    shutil.copytree(study, tmp_path / "run")
    refresh(tmp_path / "run")
    assert num_pages(tmp_path / "run", tmp_path) <= MAX_PAGES
