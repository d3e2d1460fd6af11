"""Items that share a question: the clustered error against hand calculations and other formulas, and what a suite may name."""

import json
import math
import random
import re
import statistics

import numpy as np
import pytest
from lm_eval.api import metrics

from harness.analysis.clusters import cluster_robust_stderr, effective_sample_size, number_clusters
from harness.analysis.item_errors import ItemLayout, item_uncertainties
from harness.errors import UserError
from harness.files import write_jsonl
from harness.language.benchmark.lm_eval_benchmark import evaluate, load_lm_eval_benchmark
from harness.language.benchmark.standard_errors import Item, bootstrap_stderr, clustered_row_stderr
from harness.loop.suite import load_suite
from tests.conftest import ROOT, make_policy
from tests.helpers import twin_data
from tests.helpers.peers import quiet

DRAWN = random.Random(5)


def drawn(count):
    return [DRAWN.random() for _ in range(count)]


def test_the_clustered_error_by_hand():
    """1 1 | 0 | 1 0: mean 0.6; sums of deviations 0.8, -0.6, -0.2; squares 0.64 + 0.36 + 0.04 = 1.04; 3 / 2 * 1.04 = 1.56."""
    assert cluster_robust_stderr([1, 1, 0, 1, 0], [0, 0, 1, 2, 2]) == pytest.approx(math.sqrt(1.56) / 5, rel=1e-12)
    assert cluster_robust_stderr([1, 1, 0], [0, 0, 0]) is None
    assert cluster_robust_stderr([1], [0]) is None


def sandwich(values, clusters):
    """The variance of an intercept by least squares with clusters, (X'X)^-1 X' u u' X (X'X)^-1, as regression packages have it:
    X a column of ones, their correction G / (G - 1) * (I - 1) / (I - k), with k = 1 parameter."""
    residuals = np.array(values) - np.mean(values)
    scores = np.bincount(clusters, residuals)
    return float(np.sqrt(len(scores) / (len(scores) - 1) * scores @ scores) / len(values))


def test_it_is_the_cluster_robust_error_of_regression_packages_and_of_single_items_the_usual_one():
    values = drawn(60)
    clusters = number_clusters([DRAWN.randrange(17) for _ in range(60)])
    assert cluster_robust_stderr(values, clusters) == pytest.approx(sandwich(values, clusters), rel=1e-12)
    (paired,) = item_uncertainties(np.array([values]), ItemLayout((60,), tuple(clusters)))
    assert paired.stderr == pytest.approx(sandwich(values, clusters), rel=1e-12), "as for paired comparisons"
    assert cluster_robust_stderr(values, range(60)) == pytest.approx(statistics.stdev(values) / math.sqrt(60), rel=1e-12)


def test_an_item_told_twice_teaches_nothing():
    """Every item again in its cluster: the error is that of the items once, where counting items would make it smaller."""
    values = drawn(30)
    twice, clusters = values * 2, [*range(30)] * 2
    assert cluster_robust_stderr(twice, clusters) == pytest.approx(cluster_robust_stderr(values, list(range(30))), rel=1e-12)
    assert cluster_robust_stderr(twice, list(range(60))) < 0.75 * cluster_robust_stderr(twice, clusters)
    assert effective_sample_size(clusters) == pytest.approx(30)
    assert effective_sample_size([0, 0, 1]) == pytest.approx(9 / 5)


def test_it_covers_where_the_error_over_items_does_not():
    """60 clusters of 4 answers that hang together: the variance of the mean over many samples, within a tenth."""
    generator, clusters = np.random.default_rng(1), np.repeat(np.arange(60), 4)
    values = (generator.normal(size=(800, 60))[:, clusters] + generator.normal(size=(800, 240)) > 0).astype(float)
    true = values.mean(axis=1).std()
    assert np.mean([cluster_robust_stderr(list(row), list(clusters)) for row in values]) == pytest.approx(true, rel=0.1)
    assert (values.std(axis=1, ddof=1) / math.sqrt(240)).mean() < 0.8 * true


def test_a_group_has_the_error_of_a_stratified_sample_of_clusters():
    """Two parts with clusters of their own: by size sqrt(sum of (N_p / I * se_p)^2), plainly sqrt(sum of se_p^2) / 2."""
    a, b = drawn(12), [3 + value for value in drawn(6)]
    of_a, of_b = [n // 3 for n in range(12)], [4 + n // 2 for n in range(6)]
    errors = cluster_robust_stderr(a, of_a), cluster_robust_stderr(b, of_b)
    parts = ["a"] * 12 + ["b"] * 6
    by_size = cluster_robust_stderr(a + b, of_a + of_b, parts)
    assert by_size == pytest.approx(math.hypot(12 / 18 * errors[0], 6 / 18 * errors[1]), rel=1e-12)
    plainly = cluster_robust_stderr(a + b, of_a + of_b, parts, equal_parts=True)
    assert plainly == pytest.approx(math.hypot(*errors) / 2, rel=1e-12)
    assert plainly == pytest.approx(metrics.unweighted_mean_stderr(errors), rel=1e-12)
    assert cluster_robust_stderr([1, 0, 1], [0, 1, 2], ["a", "a", "b"]) is None  # one cluster tells nothing of its part


def test_the_same_question_in_two_parts_is_one_cluster():
    """Two wordings of 10 questions, answered alike: the plain mean of the two has the error of one, not 1 / sqrt(2) of it."""
    values = drawn(10)
    both, clusters, parts = values * 2, [*range(10)] * 2, ["a"] * 10 + ["b"] * 10
    for found in (cluster_robust_stderr(both, clusters, parts, equal_parts=equal) for equal in (False, True)):
        assert found == pytest.approx(statistics.stdev(values) / math.sqrt(10), rel=1e-12)


# ---------------------------------------------------------------- metrics that are no mean over items


def test_a_metric_that_is_bootstrapped_redraws_whole_clusters():
    nats = [-8 * DRAWN.random() for _ in range(40)]
    items = [Item("t", n // 4, value) for n, value in enumerate(nats)]
    row = "perplexity", {"t": metrics.perplexity}, False, metrics.perplexity(nats), 300
    found = clustered_row_stderr(items, *row)
    clusters, generator = np.reshape(nats, (10, 4)), np.random.default_rng(0)
    redrawn = [metrics.perplexity(list(clusters[generator.integers(0, 10, 10)].ravel())) for _ in range(300)]
    assert found == pytest.approx(statistics.stdev(redrawn), rel=0.25)
    twice = [Item("t", n % 40, value) for n, value in enumerate(nats * 2)]
    alone = bootstrap_stderr(metrics.perplexity, nats, 300)
    assert clustered_row_stderr(twice, *row) == pytest.approx(alone, rel=1e-9), "the same draws"


def test_where_no_error_is_known_there_is_none():
    nats = [-value for value in drawn(8)]
    own = [Item("t", n // 2, value) for n, value in enumerate(nats)]
    assert clustered_row_stderr(own, "m", {"t": max}, False, max(nats), 100) is None  # a task's own aggregation
    across = [Item("ab"[n % 2], n // 2, value) for n, value in enumerate(nats)]
    perplexity = dict.fromkeys("abt", metrics.perplexity)
    assert clustered_row_stderr(across, "perplexity", perplexity, False, 1.0, 100) is None
    assert clustered_row_stderr(own[:2], "perplexity", perplexity, False, metrics.perplexity(nats[:2]), 100) is None


# ---------------------------------------------------------------- a suite that names clusters

ROWS = [("which is red ?", "p"), ("which is red ?", "p"), ("which is blue ?", "p"), ("who runs ?", "q"), ("who runs ?", "q"),
        ("who sings ?", "r")]  # fmt: skip
TASK = """task: %s
dataset_path: json
dataset_kwargs: {data_files: {test: "%s"}}
test_split: test
output_type: multiple_choice
doc_to_text: "{{q}}"
doc_to_choice: ["ada", "karl"]
doc_to_target: gold
metric_list:
  - {metric: acc, aggregation: mean, higher_is_better: true}
metadata: {version: 1}
"""
SUITE = """title = "t"
version = "1"
lm_eval = "0.4.13"
include_paths = ["."]
[[task]]
name = "%s"
label = "mine"
shots = 0
metric = "acc"
chance = 0.5
"""


@pytest.fixture(autouse=True)
def uncounted(monkeypatch):
    """`datasets` tells a server of every set that is loaded."""
    monkeypatch.setattr("datasets.config.HF_UPDATE_DOWNLOAD_COUNTS", False)


def mine(folder, more="", rows=ROWS, tasks=("mine",), group="", **columns):
    """A suite of one row: a task of these rows, or a group of several with the same rows."""
    docs = [{"q": q, "text": text, "gold": n % 2} | {k: v[n] for k, v in columns.items()} for n, (q, text) in enumerate(rows)]
    write_jsonl(folder / "rows.jsonl", docs)
    for task in tasks:
        (folder / f"{task}.yaml").write_text(TASK % (task, folder / "rows.jsonl"))
    if group:
        (folder / "both.yaml").write_text(f"group: both\ntask: [{', '.join(tasks)}]\naggregate_metric_list: [{group}]\n")
    (folder / "suite.toml").write_text(SUITE % ("both" if group else tasks[0]) + more)
    return load_suite(str(folder / "suite.toml"))


def evaluated(suite, tokenizer):
    policy = make_policy(tokenizer, max_position_embeddings=256)
    return evaluate(policy, load_lm_eval_benchmark(suite, None, None), 512, 8, quiet)


@pytest.mark.parametrize(("key", "expected"), [("doc_to_text", [0, 0, 1, 2, 2, 3]), ("text", [0, 0, 0, 1, 1, 2])])
def test_a_row_counts_its_clusters(tmp_path, tokenizer, key, expected):
    suite = mine(tmp_path, f'cluster = "{key}"\n')
    assert load_lm_eval_benchmark(suite, None, None).clusters() == {"mine": expected}
    done = evaluated(suite, tokenizer)
    (record,), items = done.records, done.items["mine"]
    assert items["clusters"] == expected
    assert (record.n, record.clusters) == (6, max(expected) + 1)
    assert record.stderr == pytest.approx(sandwich(items["values"], expected), rel=1e-12)


def test_a_row_without_the_key_and_one_of_single_questions_are_as_before(tmp_path, tokenizer):
    plain = evaluated(mine(tmp_path), tokenizer)
    assert plain.records[0].clusters is None and "clusters" not in plain.items["mine"]
    values = plain.items["mine"]["values"]
    assert plain.records[0].stderr == pytest.approx(statistics.stdev(values) / math.sqrt(6))
    single = evaluated(mine(tmp_path, 'cluster = "number"\n', number=list(range(6))), tokenizer)
    assert single.records[0].clusters == 6 and "clusters" not in single.items["mine"]
    assert single.records[0].stderr == pytest.approx(plain.records[0].stderr, rel=1e-12)


@pytest.mark.parametrize("by_size", ["true", "false"])
def test_a_question_in_two_tasks_of_a_group_is_one_cluster(tmp_path, tokenizer, by_size):
    """The group of a task and itself has the task's own error, however its tasks are weighted."""
    aggregate = f"{{metric: acc, weight_by_size: {by_size}}}"
    suite = mine(tmp_path, 'cluster = "doc_to_text"\n', tasks=("mine", "too"), group=aggregate)
    assert load_lm_eval_benchmark(suite, None, None).clusters() == {"both": [0, 0, 1, 2, 2, 3] * 2}
    done = evaluated(suite, tokenizer)
    values = done.items["both"]["values"]
    assert done.items["both"]["clusters"] == [0, 0, 1, 2, 2, 3] * 2
    assert (done.records[0].n, done.records[0].clusters) == (12, 4)
    assert done.raw.keys() == {"both"}, "lm-eval's own result, by the rows that it was asked for together"
    assert done.records[0].stderr == pytest.approx(sandwich(values[:6], [0, 0, 1, 2, 2, 3]), rel=1e-12)


@pytest.mark.parametrize(
    ("key", "columns", "expected"),
    [
        ("txt", {}, 'document 0 of mine has no such column (did you mean "text"?); doc_to_text is the question'),
        ("hole", {"hole": ["a", "a", " ", "b", "b", "b"]}, "document 2 of mine has nothing in it; fill it, or name another"),
        ("hole", {"hole": ["a", None, "c", "b", "b", "b"]}, "document 1 of mine has nothing in it"),
        ("same", {"same": [1] * 6}, "all 6 items are one cluster; name a column that tells questions apart"),
    ],
)
def test_a_key_that_documents_do_not_have_is_one_line_before_anything_is_asked(tmp_path, key, columns, expected):
    suite = mine(tmp_path, f'cluster = "{key}"\n', **columns)
    with pytest.raises(UserError, match=f'^suite suite, task mine: cluster = "{key}": {re.escape(expected)}'):
        load_lm_eval_benchmark(suite, None, None)


def test_suites_check_says_how_many_clusters_there_are(tmp_path, monkeypatch, capsys):
    from harness.commands.listings import suites_check_command, suites_show_command

    monkeypatch.setenv("COLUMNS", "200")
    mine(tmp_path, 'cluster = "text"\n')
    assert suites_check_command(str(tmp_path / "suite.toml"), True, None) == 0
    assert "mine: 6 items in 1 lm-eval tasks in 3 clusters (text)" in capsys.readouterr().out
    suites_show_command(str(tmp_path / "suite.toml"))
    assert "mine: items that are equal in text are one cluster" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["lab-ten", "lab-ten-validation"])
def test_the_lab_names_a_cluster_wherever_its_items_share_a_question(name):
    folder = ROOT / "harness" / "lab" / "tasks"
    for row in load_suite(name).task:
        docs = [json.loads(line) for line in (folder / f"{row.name}.jsonl").read_text().splitlines()]
        shares = len({doc["prompt"] for doc in docs}) < len(docs)
        assert (row.cluster == "prompt") == shares, row.name


def test_myths_have_71_questions():
    suite = load_suite("lab-ten")
    suite = suite.model_copy(update={"task": [row for row in suite.task if row.name == "lab_misconceptions"]})
    board = load_lm_eval_benchmark(suite, None, None)
    assert board.items() == {"lab_misconceptions": 160}
    assert max(board.clusters()["lab_misconceptions"]) + 1 == 71


@pytest.mark.slow
def test_the_papers_suites_name_columns_that_their_documents_have(tmp_path, monkeypatch):
    """On tiny twins of the data sets: GPQA's parts share their questions, and so they are as many clusters as one part has."""
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    for dataset in ("Rowan/hellaswag", "Idavidrein/gpqa", "TAUR-Lab/MuSR"):
        twin_data.write_dataset(tmp_path / "mirror", dataset)
    named = set()
    for name in ("openllm-v1", "leaderboard-v2", "space-ten", "tspin-ten"):
        suite = load_suite(name)
        suite = suite.model_copy(update={"task": [row for row in suite.task if row.cluster]})
        found = load_lm_eval_benchmark(suite, None, tmp_path / "mirror").clusters()
        named |= set(found)
        assert {row.name for row in suite.task} == set(found)
        if "leaderboard_gpqa" in found:
            assert found["leaderboard_gpqa"] == [0, 1, 2, 3] * 3
    assert named == {"hellaswag", "leaderboard_gpqa", "leaderboard_musr"}
