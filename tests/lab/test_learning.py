"""There is something to be learnt on the lab: one iteration of supervised fine-tuning raises the mean well clear of noise."""

from tests.conftest import read_csv_rows, run_cli_in_process

CHANCE = {"lab_mystery": 1 / 3, "lab_logic": 1 / 3, "lab_pronouns": 0.5, "lab_ten_options": 0.1, "lab_facts": 0.25,
          "lab_misconceptions": 0.25, "lab_continuation": 0.25}  # fmt: skip


def test_the_base_has_room_and_fine_tuning_raises_the_ten_task_mean_and_comes_closer_to_the_data(tmp_path):
    """The untouched base: most tasks two standard errors above chance, the mean below 0.6. One iteration later: at least three
    standard errors of the unpaired difference more, clusters counted, and KL is lower by at least 0.5 nats in both directions."""
    run_cli_in_process("run", "--objectives", "sft", "--iters", "1", "--name", "sft", cwd=tmp_path)
    base = [r for r in read_csv_rows(tmp_path / "results/sft/scores.csv") if r["objective"] == "initial"]
    above = [r["task"] for r in base if float(r["value"]) > CHANCE.get(r["task"], 0.0) + 2 * float(r["stderr"])]
    assert len(base) == 10 and len(above) >= 6
    assert sum(float(r["value"]) for r in base) / 10 < 0.6

    before, after = read_csv_rows(tmp_path / "results/sft/tables/leaderboard.csv")
    error = (float(before["item_stderr"]) ** 2 + float(after["item_stderr"]) ** 2) ** 0.5
    assert float(after["mean"]) - float(before["mean"]) > 3 * error
    for name in ("kl_data_policy", "kl_policy_data"):
        kl = [float(r["value"]) for r in read_csv_rows(tmp_path / "results/sft/dynamics.csv") if r["name"] == name]
        assert kl[1] < kl[0] - 0.5, name
