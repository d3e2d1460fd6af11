"""The explorer in a real browser: its address is its state, its counts are Python's, hostile text stays text."""

import re

import numpy as np
import pytest

from harness.analysis.comparison import mcnemar
from harness.analysis.facts import RunResults
from harness.analysis.item_errors import ItemLayout
from harness.reporting.explorer.page import explorer_page, read_script
from harness.reporting.explorer.run_data import run_data
from harness.reporting.tables.formatting import percent
from tests.conftest import ROOT
from tests.helpers.pages import opened

SHIPPED = ROOT / "results/lab-reference"
HOSTILE = "</script><script>document.title='run'</script><img src=x onerror=\"document.title='run'\">\u202e & </table>"


@pytest.fixture(scope="module")
def small(played, tmp_path_factory):
    path = tmp_path_factory.mktemp("explorer") / "small.html"
    path.write_text(explorer_page([RunResults(played / "results/small")]), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def run(played):
    return run_data(RunResults(played / "results/small"))


def wait_for_view(sheet, view):
    """By an attribute: a function to be asked again and again is code in a string, which the page's policy forbids."""
    sheet.locator(f"body[data-ready='{view}']").wait_for(state="attached")


def show(browser, path, view, state=""):
    """The page in this state, when it is drawn; fails where it asked for or complained of anything."""
    sheet, asked, said = opened(browser, path, f"#view={view}{state}")
    wait_for_view(sheet, view)
    assert (asked, said) == ([], [])
    return sheet


def compared(run, a, b):
    """Task -> item -> (right before, right after) of two players."""
    places = [run["players"].index(player) for player in (a, b)]
    return {task["name"]: list(zip(*(task["bits"][place] for place in places), strict=True)) for task in run["tasks"]}


START, LAST = ["initial", None, -1], ["spin", 0, 1]
KINDS = {"gained": ("0", "1"), "lost": ("1", "0"), "right": ("1", "1"), "wrong": ("0", "0")}


def test_the_answer_is_there_first_and_the_figure_has_real_text(browser, small):
    sheet, asked, said = opened(browser, small)
    wait_for_view(sheet, "answer")
    assert (asked, said) == ([], [])
    assert "cannot be told apart at the last iteration" in sheet.locator("h1").inner_text()
    assert "iteration" in sheet.locator(".plot.wide svg").first.text_content()
    assert sheet.evaluate("performance.now()") < 20_000


@pytest.mark.parametrize("kind", KINDS)
def test_the_address_restores_the_state_and_filters_count_as_python_does(browser, small, run, kind):
    expected = compared(run, START, LAST)
    sheet = show(browser, small, "compare", f"&a=start&b=spin@1&show={kind}")
    count = sum(pair == KINDS[kind] for pairs in expected.values() for pair in pairs)
    assert sheet.locator(f"#show-{kind}").get_attribute("aria-pressed") == "true"
    assert sheet.locator("#items > li").count() == count
    assert sheet.locator(f"#show-{kind}").inner_text().endswith(f" {count}")
    for name, pairs in expected.items():
        cells = sheet.locator(f"tr[data-task={name}] td").all_inner_texts()
        gained, lost = (sum(pair == KINDS[one] for pair in pairs) for one in ("gained", "lost"))
        shares = [percent(sum(pair[side] == "1" for pair in pairs) / len(pairs)) for side in (0, 1)]
        assert cells[:2] == shares and cells[3:5] == [str(gained), str(lost)]


def test_pressing_and_typing_change_the_address_and_the_address_the_page(browser, small, run):
    sheet = show(browser, small, "compare", "&a=start&b=spin@1&show=all")
    sheet.locator("#task-lab_continuation").click()
    assert "task=lab_continuation" in sheet.url and sheet.locator("#items > li").count() == 6
    word = run["tasks"][1]["prompts"][2].split()[-3]
    sheet.locator("#q").press_sequentially(word)
    sheet.wait_for_url(re.compile("#.*q="))
    assert sheet.evaluate("document.activeElement.id") == "q" and sheet.locator("#q").input_value() == word
    texts = [" ".join(map(str, (p, *o))) for p, o in zip(run["tasks"][1]["prompts"], run["tasks"][1]["options"], strict=True)]
    assert 1 <= sheet.locator("#items > li").count() <= sum(word.lower() in text.lower() for text in texts) + 3
    address = sheet.url
    again = show(browser, small, "compare", address.partition("#view=compare")[2])
    assert again.locator("#items").inner_text() == sheet.locator("#items").inner_text()
    sheet.go_back()
    sheet.goto(address.partition("#")[0] + "#view=grid")
    wait_for_view(sheet, "grid")


def test_an_items_fate_is_a_dot_per_player(browser, small, run):
    sheet = show(browser, small, "compare", "&a=start&b=spin@1&show=all&task=lab_continuation")
    task = run["tasks"][1]
    for item in range(task["n"]):
        dots = re.sub(r"[^●○]", "", sheet.locator(f"li[data-item='lab_continuation/{item}/0'] .fate").inner_text())
        assert dots == "".join("●" if bits[item] == "1" else "○" for bits in task["bits"])


def test_the_grid_is_walked_by_arrow_keys_and_enter_compares(browser, small):
    sheet = show(browser, small, "grid", "&metric=task:lab_continuation")
    sheet.locator(".grid button").first.focus()
    sheet.keyboard.press("ArrowDown")
    assert sheet.evaluate("document.activeElement.id") == "cell-space@0"
    sheet.keyboard.press("ArrowDown")
    sheet.keyboard.press("ArrowRight")
    assert sheet.evaluate("document.activeElement.id") == "cell-spin@1"
    assert "SPIN, iteration 1: " in sheet.locator("#cell-note").inner_text()
    sheet.keyboard.press("Enter")
    wait_for_view(sheet, "compare")
    assert sheet.locator("#b-objective").input_value() == "spin" and sheet.locator("#b-iteration").input_value() == "1"


def test_every_table_has_headers_and_every_field_a_label(browser, small):
    for view in ("runs", "grid", "compare", "samples", "settings"):
        sheet = show(browser, small, view)
        assert sheet.locator("#view th:not([scope])").count() == 0 and sheet.locator("#view table:not([aria-label])").count() == 0
        unlabelled = "[...document.querySelectorAll('select, input')].filter((field) => !field.labels.length).length"
        assert sheet.evaluate(unlabelled) == 0
        assert sheet.locator(".scroll:not([tabindex='0'])").count() == 0


def test_no_view_is_wider_than_a_telephone_and_dark_is_dark(browser, small):
    for view in ("answer", "runs", "grid", "compare", "samples", "settings"):
        sheet = show(browser, small, view)
        sheet.set_viewport_size({"width": 390, "height": 800})
        assert sheet.evaluate("document.documentElement.scrollWidth") <= 390, view
    sheet.emulate_media(color_scheme="dark")
    assert sheet.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(21, 24, 29)", "the dark figures' ground"


def test_a_run_whose_answers_were_not_kept_says_so(browser, tmp_path):
    path = tmp_path / "shipped.html"
    path.write_text(explorer_page([RunResults(SHIPPED)]), encoding="utf-8")
    sheet = show(browser, path, "compare", "&show=all")
    assert "not kept" in sheet.locator("#count").inner_text()
    assert sheet.locator("#items > li").count() == 100 and sheet.locator("#show-more").is_visible()
    sheet.locator("#show-more").click()
    assert sheet.locator("#items > li").count() == 200


def test_hostile_text_stays_text(browser, small, played, tmp_path, monkeypatch):
    keys = {"label", "name", "bits", "chosen", "metric_id", "id", "rows", "players", "colours", "comparisons", "digest", "said",
            "baseline", "leader", "unit"}  # fmt: skip

    def poisoned(value):
        if isinstance(value, dict):
            return {key: entry if key in keys else poisoned(entry) for key, entry in value.items()}
        if isinstance(value, list):
            return [poisoned(entry) for entry in value]
        return value + HOSTILE if isinstance(value, str) else value

    data = run_data(RunResults(played / "results/small"))
    for task in data["tasks"]:
        task["said"] = [
            [HOSTILE if isinstance(text, str) else [HOSTILE, HOSTILE] for text in item] for item in task.get("said", ())
        ]
    monkeypatch.setattr("harness.reporting.explorer.page.run_data", lambda results: poisoned(data))
    path = tmp_path / "hostile.html"
    path.write_text(explorer_page([RunResults(played / "results/small")]), encoding="utf-8")
    for view in ("answer", "runs", "grid", "compare", "samples", "settings"):
        sheet = show(browser, path, view, "&show=all&settings=all")
        assert sheet.title() != "run" and sheet.locator("img").count() == 0 and sheet.locator("script").count() == 2
    assert "onerror" in show(browser, path, "compare", "&show=all").locator("#items").inner_text()


def test_the_exact_test_and_the_printed_numbers_are_pythons(browser):
    sheet = browser.new_page()
    random = np.random.default_rng(0)
    for seeds, items, clusters in ((1, 30, None), (5, 40, 12), (3, 60, 60), (1, 20, 4)):
        a, b = (random.integers(0, 2, (seeds, items)) for _ in range(2))
        ids = None if clusters is None else tuple(np.sort(random.integers(0, clusters, items)).tolist())
        sums = np.zeros(items if ids is None else max(ids) + 1, dtype=int)
        np.add.at(sums, np.arange(items) if ids is None else np.array(ids), (b - a).sum(axis=0))
        numbers = {key: place for place, key in enumerate(dict.fromkeys(ids or ()))}
        layout = ItemLayout((items,), None if ids is None else tuple(numbers[key] for key in ids))
        p = sheet.evaluate("(sums) => {" + read_script("exact_test") + "\nreturn exactTest(sums);}", sums.tolist())
        assert p == pytest.approx(mcnemar(a, b, layout), abs=1e-9)
    shares = [n / d for d in (6, 160, 400, 4000) for n in range(d + 1)]
    printed = sheet.evaluate("(shares) => {" + read_script("format") + "\nreturn shares.map((one) => number(one, '%'));}", shares)
    assert printed == list(map(percent, shares))
