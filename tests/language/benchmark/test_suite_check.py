"""Shipped suites fit the installed lm-eval; a suite that does not is told so from the task files alone, nothing loaded."""

import sys

import pytest

from harness.language.benchmark.load_tasks import make_task_manager, task_files
from harness.language.benchmark.row_check import metric_name, reported_metrics
from harness.language.benchmark.suite_check import GATED_DATASETS, imported_packages, requirements
from harness.language.benchmark.task_file import TaskFile, subtasks
from harness.loop.suite import Suite, SuiteTask, load_suite
from tests.conftest import ROOT, read_csv_rows

PAPERS = ("tspin-ten", "space-ten", "openllm-v1", "leaderboard-v2", "bigbench-spin")


@pytest.fixture(scope="module")
def files():
    """lm-eval's own task files, read once: the scan takes seconds."""
    return task_files(make_task_manager(load_suite("tspin-ten")))


@pytest.mark.parametrize("name", PAPERS)
def test_every_row_of_a_papers_suite_is_in_the_installed_lm_eval_and_its_numbers_are_there(name, files):
    for needs in requirements(load_suite(name), files):
        assert needs.problems == [] and needs.tasks and needs.datasets
    assert [p for p in load_suite(name).published if not (ROOT / "results" / "published" / f"{p}.csv").is_file()] == []


def test_groups_open_to_their_tasks_and_the_gated_data_set_is_known(files):
    needs = {needs.row.name: needs for needs in requirements(load_suite("tspin-ten"), files)}
    counts = {"bbh": 24, "math_hard": 7, "gpqa": 3, "musr": 3}
    expected = {"mmlu": 57, "gsm8k": 1} | {f"leaderboard_{name}": count for name, count in counts.items()}
    assert {name: len(needs[name].tasks) for name in expected} == expected
    assert needs["leaderboard_gpqa"].datasets == GATED_DATASETS


def test_packages_behind_a_task_are_found_through_its_python_files(files):
    """MATH parses LaTeX, which sympy does with antlr; IFEval's checks live in a package of lm-eval's own."""
    assert imported_packages(next(iter(subtasks("leaderboard_math_hard", files)))) == {"sympy", "antlr4", "math_verify"}
    assert imported_packages(files["ifeval"]) == {"langdetect", "immutabledict", "nltk"}
    assert imported_packages(files["gsm8k"]) == set()


@pytest.mark.parametrize("name", ["tspin-ten", "space-ten"])
def test_the_ten_are_those_of_the_papers_map(name):
    """Task, shots and metric as in papers' map, where it is at hand."""
    table = ROOT.parent / "shared" / "papers" / "ten_task_lm_eval_map.csv"
    if not table.is_file():
        pytest.skip("needs the table of the papers' tasks")
    column = f"in_{'T-SPIN' if name == 'tspin-ten' else 'SPACE'}_ten"
    rows = [r for r in read_csv_rows(table) if r[column].startswith(("yes", "probably yes"))]
    expected = {(r["lm_eval_task"].split()[0], int(r["num_fewshot"])) for r in rows}
    mine = {(t.name, t.shots) for t in load_suite(name).task}
    assert {n for n, _ in expected} - {n for n, _ in mine} <= {"leaderboard_ifeval"}
    assert {(n, s) for n, s in expected if "ifeval" not in n} == {(n, s) for n, s in mine if n != "ifeval"}
    assert len(mine) == 10


def suite(**row):
    task = SuiteTask(**{"name": "t", "label": "T", "shots": 0, "metric": "acc", "chance": 0.0, **row})
    return Suite(name="s", source=".", title="S", version="1", lm_eval="0", task=[task])


KNOWN = {
    "t": TaskFile("t", {"output_type": "multiple_choice", "num_fewshot": 0}),
    "g": TaskFile("g", {"group": "g", "aggregate_metric_list": [{"metric": "acc"}]}, ("t", "u", {"task": "v"}, "gone")),
    "u": TaskFile("u", {"metric_list": [{"metric": "f1"}], "filter_list": [{"name": "strict"}]}),
    "v": TaskFile("v", {"output_type": "generate_until"}),
}


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ({"name": "tt"}, 'no such task (did you mean "t"?)'),
        ({"metric": "exact_match"}, 't has no metric "exact_match"'),
        ({"filter": "strict"}, 't has no filter "strict" (it has none)'),
        ({"shots": 3}, "t is fixed at 0 shots, the suite has shots = 3; set it to 0"),
        ({"name": "u", "metric": "f1", "filter": "none"}, 'u has no filter "none" (it has strict)'),
        ({"name": "g"}, "its group names gone"),  # t alone reports it: lm-eval's score is over that
    ],
)
def test_what_a_row_asks_and_its_task_has_not(row, expected):
    (needs,) = requirements(suite(**row), KNOWN)
    (said,) = needs.problems
    assert expected in said
    assert requirements(suite(), KNOWN)[0].problems == []


def test_imports_inside_functions_and_neighbouring_files_are_told_apart(tmp_path):
    (tmp_path / "utils.py").write_text("import json\nimport helper\n\n\ndef f():\n    import far_away.thing\n")
    (tmp_path / "helper.py").write_text("")
    task = TaskFile("t", {"process_docs": str(tmp_path / "utils.f"), "nested": [{"deep": str(tmp_path / "utils.g")}]})
    assert imported_packages(task) == {"far_away"}
    assert "far_away" not in sys.modules


def test_no_metric_that_one_of_lm_evals_own_tasks_declares_is_refused(files):
    """13,000 task files: a list of metrics, a function, code of its own or the defaults."""
    assert len(files) > 10_000
    for name, file in files.items():
        if not (file.is_group or file.is_tag):
            names, complete = reported_metrics(file.settings)
            declared = {metric_name(entry["metric"]) for entry in file.settings.get("metric_list") or ()}
            assert not complete or (names and declared <= names), name
