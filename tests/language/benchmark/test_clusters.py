"""Suites that name clusters: items that share a question are counted as one, in the record, its error and what is said."""

import re
import statistics

import pytest

from harness.commands.listings import suites_check_command, suites_show_command
from harness.errors import UserError
from harness.files import read_jsonl
from harness.language.benchmark.lm_eval_benchmark import load_lm_eval_benchmark
from harness.loop.suite import load_suite
from tests.conftest import ROOT
from tests.helpers import twin_data
from tests.helpers.sandwich import sandwich

QUESTIONS = [("which is red ?", "p"), ("which is red ?", "p"), ("which is blue ?", "p"), ("who runs ?", "q"), ("who runs ?", "q"),
             ("who sings ?", "r")]  # fmt: skip


@pytest.fixture
def asked(made):
    """Writes one task or several, all with the same six documents, and a suite that names their clusters."""

    def write(*tasks, **columns):
        docs = [{"q": q, "text": text, "a": n % 3} for n, (q, text) in enumerate(QUESTIONS)]
        for name in tasks or ("mine",):
            made.task(name, docs=[doc | {key: values[n] for key, values in columns.items()} for n, doc in enumerate(docs)])
        return made

    return write


@pytest.mark.parametrize(("key", "expected"), [("doc_to_text", [0, 0, 1, 2, 2, 3]), ("text", [0, 0, 0, 1, 1, 2])])
def test_a_row_counts_its_clusters(asked, key, expected):
    made, row = asked(), {"name": "mine", "cluster": key}
    assert made.board(row).clusters() == {"mine": expected}
    done = made.evaluated(row)
    (record,), items = done.records, done.items["mine"]
    assert items["clusters"] == expected
    assert (record.n, record.clusters) == (6, max(expected) + 1)
    assert record.stderr == pytest.approx(sandwich(items["values"], expected), rel=1e-12)


def test_a_row_without_the_key_and_one_of_single_questions_are_as_before(asked):
    made = asked(number=list(range(6)))
    plain, single = made.evaluated({"name": "mine"}), made.evaluated({"name": "mine", "cluster": "number"})
    for done, clusters in ((plain, None), (single, 6)):
        assert done.records[0].clusters == clusters and "clusters" not in done.items["mine"]
        assert done.records[0].stderr == pytest.approx(statistics.stdev(done.items["mine"]["values"]) / 6**0.5, rel=1e-12)


@pytest.mark.parametrize("by_size", ["true", "false"])
def test_a_question_in_two_tasks_of_a_group_is_one_cluster(asked, by_size):
    """The group of a task and itself has the task's own error, however its tasks are weighted."""
    made, clusters = asked("mine", "too"), [0, 0, 1, 2, 2, 3]
    weights = f"aggregate_metric_list: [{{metric: acc, weight_by_size: {by_size}}}]"
    made.file("both.yaml", f"group: both\ntask: [mine, too]\n{weights}\n")
    done = made.evaluated({"name": "both", "cluster": "doc_to_text"})
    (record,), items = done.records, done.items["both"]
    assert items["clusters"] == clusters * 2
    assert (record.n, record.clusters) == (12, 4)
    assert done.raw.keys() == {"both"}, "lm-eval's own result, by the rows that it was asked for together"
    assert record.stderr == pytest.approx(sandwich(items["values"][:6], clusters), rel=1e-12)


@pytest.mark.parametrize(
    ("key", "columns", "expected"),
    [
        ("txt", {}, 'document 0 of mine has no such column (did you mean "text"?); doc_to_text is the question'),
        ("hole", {"hole": ["a", "a", " ", "b", "b", "b"]}, "document 2 of mine has nothing in it; fill it, or name another"),
        ("hole", {"hole": ["a", None, "c", "b", "b", "b"]}, "document 1 of mine has nothing in it"),
        ("same", {"same": [1] * 6}, "all 6 items are one cluster; name a column that tells questions apart"),
    ],
)
def test_a_key_that_documents_do_not_have_is_one_line_before_anything_is_asked(asked, key, columns, expected):
    with pytest.raises(UserError, match=f'^suite suite, task mine: cluster = "{key}": {re.escape(expected)}'):
        asked(**columns).board({"name": "mine", "cluster": key})


def test_suites_check_says_how_many_clusters_there_are(asked, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "200")
    asked().suite({"name": "mine", "cluster": "text"})
    assert suites_check_command(str(tmp_path / "suite.toml"), True, None) == 0
    assert "mine: 6 items in 1 lm-eval tasks in 3 clusters (text)" in capsys.readouterr().out
    suites_show_command(str(tmp_path / "suite.toml"))
    assert "mine: items that are equal in text are one cluster" in capsys.readouterr().out


def rows_of(name, keep):
    suite = load_suite(name)
    return suite.model_copy(update={"task": [row for row in suite.task if keep(row)]})


@pytest.mark.parametrize("name", ["lab-ten", "lab-ten-validation"])
def test_the_lab_names_a_cluster_wherever_its_items_share_a_question(name):
    for row in load_suite(name).task:
        docs = read_jsonl(ROOT / "harness" / "lab" / "tasks" / f"{row.name}.jsonl")
        shares = len({doc["prompt"] for doc in docs}) < len(docs)
        assert (row.cluster == "prompt") == shares, row.name


def test_what_is_asked_of_an_animal_is_one_cluster_of_myths():
    """Fifteen animals of the benchmark's part of the lab, five questions each."""
    board = load_lm_eval_benchmark(rows_of("lab-ten", lambda row: row.name == "lab_misconceptions"), None, None)
    assert board.items() == {"lab_misconceptions": 400}
    assert max(board.clusters()["lab_misconceptions"]) + 1 == 15 * 5


@pytest.mark.slow
def test_the_papers_suites_name_columns_that_their_documents_have(tmp_path, monkeypatch):
    """On tiny twins of the data sets: GPQA's parts share their questions, and so they are as many clusters as one part has."""
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    for dataset in ("Rowan/hellaswag", "Idavidrein/gpqa", "TAUR-Lab/MuSR"):
        twin_data.write_dataset(tmp_path / "mirror", dataset)
    named = set()
    for name in ("openllm-v1", "leaderboard-v2", "space-ten", "tspin-ten"):
        suite = rows_of(name, lambda row: row.cluster)
        found = load_lm_eval_benchmark(suite, None, tmp_path / "mirror").clusters()
        named |= set(found)
        assert {row.name for row in suite.task} == set(found)
        assert found.get("leaderboard_gpqa", [0, 1, 2, 3] * 3) == [0, 1, 2, 3] * 3
    assert named == {"hellaswag", "leaderboard_gpqa", "leaderboard_musr"}
