"""Tables show holes and never zeros; every printed number is in a csv; text of a model cannot become markup or break a page."""

import re
import shutil

import pytest

from harness.analysis.facts import RunResults
from harness.errors import UserError
from harness.files import read_jsonl, write_packed_jsonl
from harness.reporting.card import model_card
from harness.reporting.display_text import display_text
from harness.reporting.report import write_report
from harness.reporting.report.blocks import sanitize
from harness.reporting.report.content import content
from harness.reporting.tables import refresh
from tests.conftest import read_csv_rows, update_manifest_digests
from tests.helpers.damage import refused
from tests.helpers.report_text import report_text
from tests.reporting.conftest import change

NASTY = ["#let x = 1 *bold* $x$ `raw` \\ <a>", "\x00\x1b[31m\u202e", "🙂 \ud800", "W" * 3000, "", "= Heading\n- item"]


def test_a_missing_cell_is_a_hole_in_every_table_and_has_no_mean(run):
    shutil.rmtree(run / "spin/seed-0/iteration-1/evaluate")
    refresh(run)
    (hole,) = [r for r in read_csv_rows(run / "tables/leaderboard.csv") if (r["objective"], r["iteration"]) == ("spin", "1")]
    assert (hole["lab_arithmetic"], hole["mean"], hole["seeds"]) == ("", "", "0")
    line = next(x for x in (run / "tables/leaderboard.md").read_text().splitlines() if x.startswith("| spin | 1 |"))
    assert line.count("–") == 4
    assert not [r for r in read_csv_rows(run / "scores.csv") if (r["objective"], r["iteration"]) == ("spin", "1")]
    assert write_report(run, run.parent / "hole.pdf").pdf.read_bytes().startswith(b"%PDF")


def test_two_versions_of_a_suite_never_enter_one_average(run):
    def other_version(scores):
        for one in scores["records"]:
            one["suite_version"] = "2"

    change(run / "spin/seed-0/iteration-1/evaluate/two/scores.json", other_version)
    with pytest.raises(UserError, match="two v1 and two v2 cannot enter one average"):
        refresh(run)


def test_a_kept_run_of_before_there_were_clusters_stays_readable(run):
    """Records without the number, a suite without the key: no cluster is named, and all else is as it was."""
    before = {name: (run / name).read_text() for name in ("scores.csv", "tables/leaderboard.csv", "tables/leaderboard.md")}
    for path in run.rglob("evaluate/two/scores.json"):
        change(path, lambda scores: [one.pop("clusters") for one in scores["records"]])
    change(run / "run.json", lambda record: [row.pop("cluster") for row in record["suites"]["two"]["task"]])
    refresh(run)
    assert {name: (run / name).read_text() for name in before} == before
    assert {r["clusters"] for r in read_csv_rows(run / "scores.csv")} == {""}
    assert "cluster" not in before["tables/leaderboard.md"]


def test_a_row_with_clusters_says_how_many_where_it_says_n(run):
    """In scores.csv, below the leaderboard, in the report's suite and on a player's card."""
    for path in run.rglob("evaluate/two/scores.json"):
        change(path, lambda scores: scores["records"][1].update(clusters=4, stderr=0.25))
    change(run / "run.json", lambda record: record["suites"]["two"]["task"][1].update(cluster="prompt"))
    refresh(run)
    scores = read_csv_rows(run / "scores.csv")
    assert [r["clusters"] for r in scores[:2]] == ["", "4"]
    said = f"items per task (items that share a question are one cluster: {scores[1]['label']} 4)"
    assert said in (run / "tables/leaderboard.md").read_text()
    write_report(run, run.parent / "clustered.pdf")
    page = report_text(run)
    assert said in page and "errors are those of sampling clusters" in page
    shown = model_card(RunResults(run), "spin", 0, 1)
    assert "6 in 4 clusters |" in shown and "of clusters of them where they share a question" in shown


def test_nasty_text_is_shown_and_not_run(run, tmp_path):
    path = run / "initial/probe/samples.jsonl.gz"
    kept = read_jsonl(path)
    write_packed_jsonl(
        path.with_suffix(""),
        [row | dict.fromkeys(("text", "prompt", "real"), text) for row, text in zip(kept, NASTY, strict=True)],
    )
    update_manifest_digests(path.parent)
    assert write_report(run, tmp_path / "nasty.pdf").pdf.read_bytes().startswith(b"%PDF")


@pytest.mark.parametrize("text", NASTY)
def test_visible_text_has_no_control_characters_and_no_endless_words(text):
    shown = sanitize(display_text(text))
    assert all(c.isprintable() or c == "\u200b" for c in shown)
    assert all(len(piece) <= 40 for word in shown.split() for piece in word.split("\u200b"))
    shown.encode("utf-8")


def test_a_report_has_the_same_bytes_wherever_it_is_written(run, tmp_path):
    one, other = (write_report(run, tmp_path / place / "r.pdf").pdf.read_bytes() for place in "ab")
    assert one == other


def test_a_run_of_which_nothing_is_kept_is_one_line_and_nothing_is_overwritten_by_empty_tables(played_copy, run):
    for folder in ("data", "initial", "space", "spin", "facts"):
        shutil.rmtree(run / folder)
    (run / "scores.csv").unlink()
    before = {p: p.read_bytes() for p in run.rglob("*.csv")}
    assert "holds no phase, no small files and no scores.csv" in refused(played_copy, "report", "small")
    assert {p: p.read_bytes() for p in run.rglob("*.csv")} == before


NUMBER = re.compile(r"(?<![\w.])[-+−]?\d+(?:,\d{3})*(?:\.\d+)?(?:e[-+]\d+)?(?![\w.])")


def spellings(value):
    """Every way the report rounds a number of its tables: as it is, in percent, in thousands."""
    for scaled in (value, 100 * value, value / 1000):
        for form in ("{:.0f}", "{:,.0f}", "{:.1f}", "{:.2f}", "{:.3f}", "{:.3g}", "{:.1g}", "{:g}", "{:.3e}"):
            yield form.format(abs(scaled))


def test_every_number_of_the_reports_tables_is_in_a_csv_beside_it(run, tmp_path):
    """Each figure in each cell of the report's tables, rounded as printed, is some value of the csv files beside the report.

    Names of objectives, settings and where the numbers come from are words here, not numbers.
    """
    write_report(run, tmp_path / "r.pdf")
    known = set()
    for cell in (cell for path in (tmp_path / "r").glob("*.csv") for row in read_csv_rows(path) for cell in row.values()):
        try:
            known |= set(spellings(float(cell)))
        except ValueError:
            known |= set(NUMBER.findall(cell))
    said = content(RunResults(run))
    sections = {part["title"]: part["blocks"] for part in [*said["sections"], *said["appendix"]]}
    for title in ("Where they end, and how steadily", "Task by task", "Cost"):
        tables = [block for block in sections[title] if block["kind"] == "table"]
        cells = [
            cell for one in tables for row in one["rows"] for cell, side in zip(row, one["align"], strict=True) if side == "r"
        ]
        printed = {n.lstrip("+-−") for cell in cells for n in NUMBER.findall(cell)}
        assert len(printed) > 1, title
        assert printed - known == set(), title
