"""A task's number and its error: lm-eval's errors without its processes, no number that is none, code run only when allowed."""

import math
import os
import random
import statistics

import pytest
from lm_eval.api import metrics

from harness.errors import EvaluationError, UserError
from harness.language.benchmark.standard_errors import bootstrap_stderr, override_lm_eval_stderr, stderr_for_metric
from tests.language.benchmark.conftest import WRITTEN

DRAWN = random.Random(3)
NATS = [-8 * DRAWN.random() for _ in range(40)]
PAIRS = [(DRAWN.randrange(2), DRAWN.randrange(2)) for _ in range(40)]
WEIGHED = [(-5 * n * DRAWN.random(), n) for n in range(3, 43)]
TEXTS = [("ada has apples and nuts", "ada has apples"), ("karl buys red pears", "karl sells pears"), ("a b c d e", "a b c d f")]


@pytest.fixture
def no_processes(monkeypatch):
    for name in ("multiprocessing.Pool", "multiprocessing.context.BaseContext.Pool"):
        monkeypatch.setattr(name, lambda *_, **__: pytest.fail("a process was started"))


@pytest.mark.parametrize("metric", [metrics.perplexity, metrics.median, metrics.nanmean, metrics.f1_score])
def test_a_bootstrapped_error_is_the_number_that_lm_eval_has_from_its_own_processes(metric, no_processes, capsys):
    items = PAIRS if metric is metrics.f1_score else NATS
    mine = bootstrap_stderr(metric, items, 200)
    assert capsys.readouterr() == ("", "")  # lm-eval's prints a line and a bar
    assert mine == metrics.sample_stddev(metrics._bootstrap_internal(metric, 200)((0, items)))
    with override_lm_eval_stderr():
        assert metrics.stderr_for_metric(metric, 200)(items) == mine


def test_the_error_of_a_mean_is_lm_evals(no_processes):
    assert stderr_for_metric(metrics.mean, 1000)(NATS) == pytest.approx(statistics.stdev(NATS) / math.sqrt(len(NATS)))
    assert stderr_for_metric(metrics.mean, 0) is None
    assert stderr_for_metric(max, 1000) is None  # a task's own function, of which nothing is known


def test_a_weighted_perplexity_has_the_error_of_its_logarithm_to_first_order(no_processes):
    """exp(-sum of nats / sum of words): by the delta method the value times the error of a ratio of sums."""
    value, count = metrics.weighted_perplexity(WEIGHED), len(WEIGHED)
    ratio = sum(a for a, _ in WEIGHED) / sum(b for _, b in WEIGHED)
    spread = sum((a - ratio * b) ** 2 for a, b in WEIGHED) / count
    expected = value * math.sqrt(spread / count) / (sum(b for _, b in WEIGHED) / count)
    assert stderr_for_metric(metrics.weighted_perplexity, 1000)(WEIGHED) == pytest.approx(expected, rel=0.15)


@pytest.mark.parametrize("metric", [metrics.bleu, metrics.chrf, metrics.ter])
def test_translation_metrics_too(metric, no_processes):
    with override_lm_eval_stderr():
        assert 0 < stderr_for_metric(metric, 50)(TEXTS * 4) < 40


COUNTED = """import math

def not_a_number(doc, results): return {"share": math.nan if doc["q"] == "c" else 0.25}
def run(doc, results):
    import os, subprocess, sys
    assert os.environ["HF_ALLOW_CODE_EVAL"] == "1"
    return {"share": float(subprocess.run([sys.executable, "-c", "print(7)"], capture_output=True, text=True).stdout)}
"""


def row(made, function, more="", aggregation="mean"):
    made.file("counted.py", COUNTED)
    own = f"process_results: !function counted.{function}\n{more}\n"
    own += f"metric_list:\n  - {{metric: share, aggregation: {aggregation}, higher_is_better: true}}\n"
    made.task("mine", WRITTEN + own, [{"q": q, "a": q} for q in "abcd"])
    return {"name": "mine", "metric": "share"}


def test_an_item_that_counts_with_no_number_is_named_and_a_task_may_leave_it_out_of_its_mean(made):
    with pytest.raises(EvaluationError, match=r"task mine: share is no finite number for 1 of its items \(mine 2\)"):
        made.evaluated(row(made, "not_a_number"))
    assert [r.value for r in made.evaluated(row(made, "not_a_number", aggregation="nanmean")).records] == [0.25]


def test_a_task_that_runs_code_is_refused_before_it_is_loaded_and_runs_where_it_is_allowed(made):
    asked = row(made, "run", "unsafe_code: true")
    with pytest.raises(UserError, match=r"mine runs code .* --set evaluation.allow_unsafe_code=true"):
        made.board(asked)
    before = os.environ.get("HF_ALLOW_CODE_EVAL")
    assert [r.value for r in made.evaluated(asked, allow_unsafe_code=True).records] == [7.0]
    assert os.environ.get("HF_ALLOW_CODE_EVAL") == before


def test_what_is_not_supported_is_said_of_the_file_alone(made):
    for more, said in {
        "doc_to_image: picture": "has image inputs",
        "doc_to_audio: sound": "has audio inputs",
        "repeats: 0": "repeats=0: expected a whole number from 1",
    }.items():
        with pytest.raises(UserError, match=f"task mine: mine {said}"):
            made.board(row(made, "run", more))
