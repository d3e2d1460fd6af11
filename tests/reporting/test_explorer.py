"""The explorer's numbers are the tables'; one file that loads nothing; the same from the small files alone."""

import base64
import gzip
import html
import json
import re
import shutil

import numpy as np
import pytest

from harness.analysis.facts import RunResults
from harness.reporting.explorer import page as page_module
from harness.reporting.explorer.answer import first_view
from harness.reporting.explorer.figure import Styles, dark_colour
from harness.reporting.explorer.links import papers
from harness.reporting.explorer.page import FOLDER, SCRIPTS, content_hash, explorer_page, pack
from harness.reporting.explorer.run_data import run_data
from harness.reporting.figures.palettes import DARK_GROUND, METHODS
from harness.reporting.first_page.build import first_page
from harness.reporting.tables.reading import Tables
from tests.conftest import ROOT, read_csv_rows, run_cli_in_process
from tests.helpers.damage import refused
from tests.helpers.pages import check_runs_its_own_script_alone

STUDY, SHIPPED = ROOT / "results/reference/study-stability", ROOT / "results/lab-reference"
MAX_STUDY_BYTES = 6_000_000


def embedded(text):
    packed = re.search(r'id="data">([^<]*)<', text)[1]
    return json.loads(gzip.decompress(base64.b64decode(packed)))


@pytest.fixture(scope="module")
def page(played):
    return explorer_page([RunResults(played / "results/small")])


@pytest.fixture(scope="module")
def study():
    return run_data(RunResults(STUDY))


def check_numbers(root, run):
    """The grid's means are leaderboard.csv's; what a player gained less what it lost is its difference, in items."""
    rows = {metric["id"]: {tuple(row[:3]): row[3:] for row in metric["rows"]} for metric in run["metrics"]}
    for line in read_csv_rows(root / "tables/leaderboard.csv"):
        key = line["objective"], None, int(line["iteration"])
        for name in ("mean", "normalised_mean", "interquartile_mean"):
            assert rows[name][key][0] == float(line[name])
        assert rows["mean"][key][3] == float(line["item_stderr"])
        assert all(
            rows[task["metric_id"]][key][0] == pytest.approx(float(line[task["name"]]), abs=1e-12) for task in run["tasks"]
        )
    players = [tuple(player) for player in run["players"]]
    for task in run["tasks"]:
        right = np.array([[int(bit) for bit in bits] for bits in task["bits"]])
        for (objective, seed, t), bits in zip(players, right, strict=True):
            difference = rows[task["metric_id"]][objective, seed, t][0] - rows[task["metric_id"]]["initial", None, -1][0]
            gained, lost = ((bits > right[0]).sum(), (bits < right[0]).sum())
            assert gained - lost == pytest.approx(difference * task["n"])


def test_the_pages_numbers_are_the_tables(played, page):
    (run,) = embedded(page)
    check_numbers(played / "results/small", run)
    rows = {tuple(row[:5]): row[5:] for row in run["comparisons"]}
    for line in read_csv_rows(played / "results/small/tables/comparisons.csv"):
        key = line["a"], int(line["iteration_a"]), line["b"], int(line["iteration_b"]), line["task"]
        expected = [float(line[name]) if line[name] else None for name in ("difference", "low", "high", "p", "p_holm")]
        assert rows[key][:5] == expected


def test_of_five_seeds_too(study):
    check_numbers(STUDY, study)
    assert len(study["players"]) == 1 + 6 * 5 * 5
    assert (study["baseline"], study["objectives"][0]["name"]) == (study["objectives"][1]["label"], "start")


def test_the_study_fits_into_a_mail(study):
    code = sum((FOLDER / name).stat().st_size for name in ("explorer.css", "explorer.html", *(f"js/{s}.js" for s in SCRIPTS)))
    assert len(pack([study])) + code < MAX_STUDY_BYTES / 6


def test_items_stand_with_every_answer(played, page):
    (run,) = embedded(page)
    arithmetic, continuation = run["tasks"]
    assert all("how many" in prompt or "?" in prompt for prompt in arithmetic["prompts"])
    assert len(arithmetic["says"]) == len(run["players"]) == 5
    assert all(said[number] for said, number in zip(arithmetic["said"], arithmetic["says"][0], strict=True))
    for chosen, bits in zip(continuation["chosen"], continuation["bits"], strict=True):
        assert [int(c) == w for c, w in zip(chosen, continuation["wanted"], strict=True)] == [bit == "1" for bit in bits]
    assert len(run["samples"]["prompts"]) == 6 and all(len(one["said"]) == 5 for one in run["samples"]["prompts"])


def test_one_file_with_one_script_that_its_policy_admits_by_hash(page):
    check_runs_its_own_script_alone(page)
    assert content_hash(re.search(r"<script>(.*?)</script>", page, re.DOTALL)[1]) in page


def test_the_same_from_the_small_files_alone(played_copy, run):
    run_cli_in_process("explore", "small", cwd=played_copy)
    before = (played_copy / "reports/small.html").read_bytes()
    for folder in ("data", "initial", "space", "spin"):
        shutil.rmtree(run / folder)
    done = run_cli_in_process("explore", "small", "--out", "reports/again.html", cwd=played_copy)
    assert (played_copy / "reports/again.html").read_bytes() == before
    assert done.stdout.startswith("explorer: reports/again.html (")


def test_several_runs_share_one_page_and_the_texts_of_equal_items(played_copy, run):
    shutil.copytree(run, run.parent / "other")
    run_cli_in_process("explore", "small", "other", cwd=played_copy)
    first, second = embedded((played_copy / "reports/explorer.html").read_text())
    assert all("prompts" in task for task in first["tasks"]) and not any("prompts" in task for task in second["tasks"])
    assert first["settings"] == second["settings"]


def test_mistakes_are_one_line(played_copy, run):
    assert '(did you mean "small"?)' in refused(played_copy, "explore", "smal")
    assert "expected the name of an HTML page" in refused(played_copy, "explore", "small", "--out", "x.pdf")
    assert "is a run folder" in refused(played_copy, "explore", "small", "--out", "results/small/x.html")
    (played_copy / "mine.html").write_text("<title>mine</title>")
    assert "is no explorer's page" in refused(played_copy, "explore", "small", "--out", "mine.html")
    shutil.rmtree(run / "tables")
    assert "harness report small" in refused(played_copy, "explore", "small")


def test_colours_for_the_dark_page():
    """A method's is that of the dark figures; a pale cell of a heat map, which the theme does not name, becomes a dark one."""
    assert dark_colour("#ffffff") == DARK_GROUND and f"--paper: {DARK_GROUND}" in (FOLDER / "explorer.css").read_text()
    assert [dark_colour(light) for light in METHODS.light] == list(METHODS.dark)
    assert int(dark_colour("#d6e6f4", is_ground=True)[1:3], 16) < 0x60


def test_every_script_is_in_the_page():
    assert {path.stem for path in (FOLDER / "js").glob("*.js")} == set(SCRIPTS) and page_module.FOLDER == FOLDER


def test_it_opens_on_every_sentence_of_page_1(page, played):
    text = html.unescape(page)
    first = first_page(Tables(RunResults(played / "results" / "small")))
    assert first.title in text and first.lead in text
    assert all(one.text in text for answer in first.answers for one in answer.sentences)


def test_a_study_opens_on_its_own_figure_with_its_names():
    view = first_view(RunResults(STUDY.parent / "study-mu"), 0, Styles())
    for drawn in (view.wide, view.narrow):
        assert drawn.startswith("<svg") and ">mu 7, K 7<" in drawn and ">start<" in drawn and "KL(" not in drawn


def test_the_first_view_leads_to_csv_files_and_papers_and_to_no_other_scheme(played_copy, run):
    run_cli_in_process("report", "small", cwd=played_copy)
    page = (played_copy / "reports/small.html").read_text()
    check_runs_its_own_script_alone(page)
    links = dict(re.findall(r'<a href="([^"#]+)" rel="noreferrer">([^<]+)</a>', page))
    numbers = {link for link in links if link.endswith(".csv")}
    assert numbers == {f"small/{path.name}" for path in (played_copy / "reports/small").glob("*.csv")} and len(numbers) > 5
    assert links["https://arxiv.org/abs/2401.01335"] == "SPIN"
    record = json.loads((run / "run.json").read_text())
    record["variants"]["spin"]["citation"]["url"] = "javascript:alert(1)"
    (run / "run.json").write_text(json.dumps(record))
    assert [link.target for link in papers(RunResults(run)) if link.text == "SPIN"] == [""]
