"""There is something to be learnt on the lab: one iteration of supervised fine-tuning raises the mean well clear of noise."""

import pytest

from tests.conftest import read_csv_rows, run_cli_in_process


@pytest.mark.parametrize("recipe", ["lab", pytest.param("lab-from-sft", marks=pytest.mark.slow)])
def test_one_iteration_raises_the_ten_task_mean_and_comes_closer_to_the_data(tmp_path, recipe):
    """By at least three standard errors of the paired difference over topics, from either start, and KL falls both ways."""
    run_cli_in_process("run", "--recipe", recipe, "--objectives", "sft", "--iters", "1", "--name", "sft", cwd=tmp_path)
    rows = read_csv_rows(tmp_path / "results/sft/tables/comparisons.csv")
    (mean,) = [row for row in rows if row["b"] == "initial" and row["task"] == "mean"]
    half_width = (float(mean["high"]) - float(mean["low"])) / 2
    assert float(mean["difference"]) > 1.5 * half_width
    for name in ("kl_data_policy", "kl_policy_data"):
        kl = [float(r["value"]) for r in read_csv_rows(tmp_path / "results/sft/dynamics.csv") if r["name"] == name]
        assert kl[1] < kl[0], name
