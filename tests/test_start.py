"""A game that starts from an existing adapter: that adapter is the initial policy and the first opponent, not the bare base."""

import json

import pytest

from harness.config import LoraConfig
from harness.errors import UserError
from harness.model.packing import Prefixed
from harness.model.start import start_from
from tests.conftest import SMALL, here, make_policy, rows

ROWS = [Prefixed([1, 20, 30], [[50, 60, 2], [70, 2]])]


@pytest.fixture
def saved(tokenizer, tmp_path):
    """What another program left: an adapter that moved away from zero, saved by peft itself."""
    other = make_policy(tokenizer)
    folder = tmp_path / "adapter"
    other.model.save_pretrained(str(folder), save_embedding_layers=False)
    return folder, other.score(ROWS, 64)


def start(tokenizer, folder, rank=4, alpha=32.0):
    policy = make_policy(tokenizer, rank=rank)
    start_from(policy, str(folder), LoraConfig(rank=rank, alpha=alpha))
    return policy


def test_the_initial_policy_is_that_adapter_in_every_seed(tokenizer, saved):
    folder, expected = saved
    policy = start(tokenizer, folder)
    for seed in (0, 7):
        policy.become_initial(seed)
        assert policy.score(ROWS, 64) == pytest.approx(expected, abs=1e-9)
    with policy.model.disable_adapter():
        assert policy.score(ROWS, 64) != pytest.approx(expected, abs=1e-3)
    assert policy.base_digest != make_policy(tokenizer).base_digest


def edit(folder, **settings):
    path = folder / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | settings))


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"use_dora": True}, "use_dora=True is not supported"),
        ({"modules_to_save": ["lm_head"]}, "modules_to_save="),
        ({"r": 8}, "its rank is 8, the run's 4; use --set lora.rank=8"),
        ({"lora_alpha": 16}, "its alpha is 16, the run's 32.0; use --set lora.alpha=16"),
        ({"peft_type": "IA3"}, "a IA3 adapter, expected LORA"),
    ],
)
def test_an_adapter_of_another_kind_is_refused(tokenizer, saved, settings, expected):
    folder, _ = saved
    edit(folder, **settings)
    with pytest.raises(UserError, match=expected):
        start(tokenizer, folder)


def test_an_adapter_for_other_layers_is_refused(tokenizer, tmp_path):
    make_policy(tokenizer, hidden_size=64).model.save_pretrained(str(tmp_path / "wide"), save_embedding_layers=False)
    with pytest.raises(UserError, match="made for another base model or other layers"):
        start(tokenizer, tmp_path / "wide")


def test_pickled_weights_are_not_read(tokenizer, saved):
    folder, _ = saved
    (folder / "adapter_model.safetensors").rename(folder / "adapter_model.bin")
    with pytest.raises(UserError, match="pickled weights are not read"):
        start(tokenizer, folder)


@pytest.mark.parametrize("missing", ["./nowhere", "/nowhere"])
def test_a_missing_adapter_is_named(tokenizer, missing):
    with pytest.raises(UserError, match="no such folder"):
        start(tokenizer, missing)


def test_a_run_from_a_trained_player_has_its_scores_before_any_training(played, tmp_path):
    """The player of iteration 0 of one run starts another: initial scores equal its recorded ones, and the opponent is it."""
    adapter = played / "results/small/spin/seed-0/iteration-0/train/adapter"
    more = ("--objectives", "space", "--iters", "1", "--name", "on", "--set", f"model.adapter={adapter}")
    here("run", "--recipe", SMALL, *more, cwd=tmp_path)
    before = {
        r["task"]: r["value"]
        for r in rows(played / "results/small/scores.csv")
        if (r["objective"], r["iteration"]) == ("spin", "0")
    }
    after = {r["task"]: r["value"] for r in rows(tmp_path / "results/on/scores.csv") if r["objective"] == "initial"}
    assert after == before
    drift = {r["name"]: float(r["value"]) for r in rows(tmp_path / "results/on/dynamics.csv") if r["objective"] == "space"}
    first = next(r for r in rows(tmp_path / "results/on/training.csv") if r["iteration"] == "0")
    assert abs(float(first["log_ratio_real"])) < 1e-4, "the opponent is the adapter: the log-ratio begins at zero"
    assert drift["kl_initial"] == pytest.approx(drift["kl_previous"], abs=1e-6)
