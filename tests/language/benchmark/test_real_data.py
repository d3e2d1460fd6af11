"""Real data and lm-eval's own tasks, through a folder that stands for the hub; skipped where there is none."""

import os
from pathlib import Path

import pytest

from harness.language.benchmark.lm_eval_benchmark import load_lm_eval_benchmark
from tests.conftest import ROOT, read_csv_rows, run_cli
from tests.helpers.peers import compared, lab_policy_with_adapter
from tests.helpers.twin_data import punkt

MIRROR = Path(os.environ.get("HARNESS_MIRROR", ROOT.parent / "shared" / "real"))
pytestmark = pytest.mark.skipif(not (MIRROR / "openai" / "gsm8k").is_dir(), reason=f"no data mirror at {MIRROR}")

BBH = ("boolean_expressions", "causal_judgement", "date_understanding", "navigate", "object_counting", "sports_understanding",
       "web_of_lies")  # fmt: skip
GSM8K = {"name": "gsm8k", "shots": 2, "metric": "exact_match", "filter": "strict-match", "limit": 8}
IFEVAL = {"name": "ifeval", "metric": "prompt_level_strict_acc", "limit": 12}
CHOOSING = [{"name": f"leaderboard_bbh_{name}", "label": name, "shots": 3, "metric": "acc_norm", "limit": 8} for name in BBH]


@pytest.fixture(scope="module")
def nltk_data(tmp_path_factory):
    """IFEval counts sentences with NLTK's Punkt; where its data are not installed, one trained here on text of the twins."""
    nltk = pytest.importorskip("nltk")
    try:
        nltk.data.find("tokenizers/punkt_tab")
    except LookupError:
        folder = tmp_path_factory.mktemp("nltk")
        punkt(folder)
        return str(folder)
    return ""


@pytest.mark.slow
def test_the_main_job_on_gsm8k_ends_in_a_report_with_honest_scores(tmp_path, made, nltk_data):
    tasks = [GSM8K, IFEVAL, *CHOOSING]
    made.suite(*tasks, include_defaults=True)
    run_cli(
        "run", "--objectives", "space,spin", "--iters", "1", "--data", "openai/gsm8k", "--suite", "suite.toml",
        "--mirror", MIRROR, "--max-examples", "8", "--name", "real", "--set", "data.overlong=drop",
        "--set", "generation.max_new_tokens=16", "--set", "probe.prompts=4", "--set", "training.batch_size=4",
        cwd=tmp_path, NLTK_DATA=nltk_data,
    )  # fmt: skip
    rows = read_csv_rows(tmp_path / "results/real/scores.csv")
    assert len(rows) == len(tasks) * (1 + 2)
    assert {r["task"]: int(r["n"]) for r in rows} == {task["name"]: task["limit"] for task in tasks}
    assert all(float(r["value"]) <= 0.1 for r in rows if r["task"] == "gsm8k")
    assert (tmp_path / "reports/real.pdf").read_bytes().startswith(b"%PDF")


def test_real_tasks_are_scored_as_by_lm_evals_own_model(made, nltk_data, monkeypatch):
    """GSM8K and IFEval generate, BBH chooses; contexts share few-shot prompts in BBH and in nothing else."""
    in_steps = {"name": "bbh_cot_fewshot_navigate", "shots": 3, "metric": "exact_match", "filter": "get-answer", "limit": 4}
    suite = made.suite(GSM8K, IFEVAL, *({**row, "limit": 12} for row in CHOOSING), in_steps, include_defaults=True)
    if nltk_data:
        monkeypatch.setattr("nltk.data.path", [nltk_data])
    board = load_lm_eval_benchmark(suite, None, MIRROR)
    worst, numbers, texts = compared(lab_policy_with_adapter(), board, monkeypatch)
    assert worst < 1e-4 and numbers >= 7 * 12 * 2 and texts >= 8 + 12 + 4


@pytest.mark.slow
def test_ifeval_without_its_sentence_data_is_an_error_before_training(tmp_path, made):
    made.suite(IFEVAL, include_defaults=True)
    bare = {"NLTK_DATA": str(tmp_path), "HOME": str(tmp_path)}
    done = run_cli("suites", "check", "suite.toml", "--mirror", MIRROR, cwd=tmp_path, check=False, **bare)
    if done.returncode == 0:
        pytest.skip("punkt_tab is installed system-wide")
    assert done.returncode == 1 and "PROBLEM  task ifeval: needs NLTK data 'punkt_tab'" in done.stdout
    assert "python -m nltk.downloader punkt_tab" in done.stdout
