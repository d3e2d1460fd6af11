"""Real data and lm-eval's own tasks, through a folder that stands for the hub; skipped where there is none."""

import csv
import os
from pathlib import Path

import pytest

from tests.conftest import ROOT, run_cli

MIRROR = Path(os.environ.get("HARNESS_MIRROR", ROOT.parent / "shared" / "real"))
pytestmark = pytest.mark.skipif(not (MIRROR / "openai" / "gsm8k").is_dir(), reason=f"no data mirror at {MIRROR}")

SUITE = """
title = "A few items of real tasks"
version = "1"
lm_eval = "0.4.13"
include_defaults = true
"""
BBH = ("boolean_expressions", "causal_judgement", "date_understanding", "navigate", "object_counting", "sports_understanding",
       "web_of_lies")  # fmt: skip
TASKS = (
    ("gsm8k", "GSM8K", 2, "exact_match", "strict-match", 8),
    ("ifeval", "IFEval", 0, "prompt_level_strict_acc", "none", 12),
    *((f"leaderboard_bbh_{name}", f"BBH {name}"[:24], 3, "acc_norm", "none", 8) for name in BBH),
)


@pytest.fixture(scope="module")
def nltk_data(tmp_path_factory):
    """IFEval counts sentences with NLTK's Punkt; where its data are not installed, one trained here on the mirror's text."""
    nltk = pytest.importorskip("nltk")
    try:
        nltk.data.find("tokenizers/punkt_tab")
    except LookupError:
        from nltk.tokenize.punkt import PunktTrainer, save_punkt_params

        folder = tmp_path_factory.mktemp("nltk")
        (folder / "tokenizers" / "punkt_tab").mkdir(parents=True, mode=0o700)
        text = (MIRROR / "openai" / "gsm8k" / "main" / "test.jsonl").read_text(encoding="utf-8")[:60_000]
        nltk.data.path.insert(0, str(folder))  # NLTK writes below its data folders only
        try:
            save_punkt_params(PunktTrainer(text).get_params(), dir=str(folder / "tokenizers" / "punkt_tab" / "english"))
        finally:
            nltk.data.path.remove(str(folder))
        return str(folder)
    return ""


def write_suite(folder, tasks=TASKS):
    text = SUITE
    for name, label, shots, metric, filter_, limit in tasks:
        text += f'\n[[task]]\nname = "{name}"\nlabel = "{label}"\nshots = {shots}\nmetric = "{metric}"\nfilter = "{filter_}"\n'
        text += f"chance = 0.0\nlimit = {limit}\n"
    (folder / "real.toml").write_text(text)


@pytest.mark.slow
def test_the_main_job_on_gsm8k_ends_in_a_report_with_honest_scores(tmp_path, nltk_data):
    write_suite(tmp_path)
    run_cli(
        "run", "--objectives", "space,spin", "--iters", "1", "--data", "openai/gsm8k", "--suite", "real.toml",
        "--mirror", MIRROR, "--max-examples", "8", "--name", "real", "--set", "data.overlong=drop",
        "--set", "generation.max_new_tokens=16", "--set", "probe.prompts=4", "--set", "training.batch_size=4",
        cwd=tmp_path, NLTK_DATA=nltk_data,
    )  # fmt: skip
    with (tmp_path / "results/real/scores.csv").open() as handle:
        rows = list(csv.DictReader(handle))
    assert len(rows) == len(TASKS) * (1 + 2)
    assert {r["task"]: int(r["n"]) for r in rows} == {name: limit for name, *_, limit in TASKS}
    assert all(float(r["value"]) <= 0.1 for r in rows if r["task"] == "gsm8k")
    assert (tmp_path / "reports/real.pdf").read_bytes().startswith(b"%PDF")


def test_real_tasks_are_scored_as_by_lm_evals_own_model(tmp_path, nltk_data, monkeypatch):
    """GSM8K and IFEval generate, BBH chooses; contexts share few-shot prompts in BBH and in nothing else."""
    from harness.language.benchmark.lm_eval_benchmark import load_lm_eval_benchmark
    from harness.loop.suite import load_suite
    from tests.peers import compared, lab_policy_with_adapter

    choosing = [(f"leaderboard_bbh_{name}", name, 3, "acc_norm", "none", 12) for name in BBH]
    writing = [("bbh_cot_fewshot_navigate", "in steps", 3, "exact_match", "get-answer", 4)]
    write_suite(tmp_path, [*TASKS[:2], *choosing, *writing])
    if nltk_data:
        monkeypatch.setattr("nltk.data.path", [nltk_data])
    board = load_lm_eval_benchmark(load_suite(str(tmp_path / "real.toml")), None, MIRROR)
    worst, numbers, texts = compared(lab_policy_with_adapter(), board, monkeypatch)
    assert worst < 1e-4
    assert numbers >= 7 * 12 * 2
    assert texts >= 8 + 12 + 4


@pytest.mark.slow
def test_ifeval_without_its_sentence_data_is_an_error_before_training(tmp_path):
    write_suite(tmp_path, TASKS[1:2])
    done = run_cli(
        "suites", "check", "real.toml", "--mirror", MIRROR,
        cwd=tmp_path, check=False, NLTK_DATA=str(tmp_path), HOME=str(tmp_path),
    )  # fmt: skip
    if done.returncode == 0:
        pytest.skip("punkt_tab is installed system-wide")
    assert done.returncode == 1
    assert "PROBLEM  task ifeval: needs NLTK data 'punkt_tab'" in done.stdout
    assert "python -m nltk.downloader punkt_tab" in done.stdout
