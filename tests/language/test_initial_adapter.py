"""A game that starts from an existing adapter: that adapter is the initial policy and the first opponent, not the bare base."""

import json

import peft
import pytest
import torch
from safetensors.torch import load_file, save_file

from harness.config import LoraConfig
from harness.errors import UserError
from harness.language.model.initial_adapter import IGNORED_SETTINGS, start_from_adapter
from harness.language.model.lora import add_adapter
from harness.records import PromptGroup
from tests.conftest import SMALL_RECIPE, make_policy, read_csv_rows, run_cli_in_process
from tests.helpers.sampled import plain_logps

ROWS = [PromptGroup([1, 20, 30], [[50, 60, 2], [70, 2]])]


@pytest.fixture
def saved(tokenizer, tmp_path):
    """What another program left: an adapter that moved away from zero, saved by peft itself."""
    make_policy(tokenizer).model.save_pretrained(str(tmp_path / "adapter"), save_embedding_layers=False)
    return tmp_path / "adapter"


def start(tokenizer, folder, rank=4, alpha=32.0):
    policy = make_policy(tokenizer, rank=rank)
    for module in policy.model.modules():
        if hasattr(module, "lora_A"):
            module.scaling["default"] = alpha / rank
    start_from_adapter(policy, str(folder), LoraConfig(rank=rank, alpha=alpha))
    return policy


def test_the_initial_policy_is_that_adapter_in_every_seed(tokenizer, saved):
    expected = make_policy(tokenizer).score(ROWS, 64)
    policy = start(tokenizer, saved)
    for seed in (0, 7):
        policy.reset_adapter(seed)
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
        ({"lora_alpha": 16}, "its alpha is 16, the run's 32.0; use --set lora.alpha=16"),
        ({"lora_alpha": None}, "its alpha is None, expected a number"),
        ({"r": "4"}, "its rank is '4', expected a number"),
        *(({"init_lora_weights": init}, f"init_lora_weights='{init}' .* path_initial_model_for_weight_conversion")
          for init in ("pissa", "pissa_niter_4", "olora", "corda", "loftq", "lora_ga", "mica", "some_other_start")),
    ],
)  # fmt: skip
def test_an_adapter_of_another_kind_is_refused(tokenizer, saved, settings, expected):
    edit(saved, **settings)
    with pytest.raises(UserError, match=expected):
        start(tokenizer, saved)


def test_every_setting_of_pefts_is_known_to_be_without_effect_or_refused(tokenizer, saved):
    """peft's own list, whatever its version: what is not understood passes only at its default."""
    path = saved / "adapter_config.json"
    plain = json.loads(path.read_text())
    fields = set(peft.LoraConfig().to_dict()) - IGNORED_SETTINGS
    assert {"use_dora", "use_rslora", "alora_invocation_tokens", "target_parameters", "loftq_config", "rank_pattern"} <= fields
    for key in [*sorted(fields), "a_setting_of_tomorrow"]:
        path.write_text(json.dumps(plain | {key: [7]}))
        with pytest.raises(UserError, match=rf"model\.adapter=.*: {key}=\[7\] is not supported"):
            start(tokenizer, saved)
    path.write_text(json.dumps(plain | {"a_setting_of_tomorrow": None, "merge_weights": False, "megatron_core": "megatron.core"}))
    start(tokenizer, saved)


def by_peft(tokenizer, folder):
    """Log-probabilities of ROWS as peft computes them from the same folder on the same base."""
    base = make_policy(tokenizer).model.unload()
    with torch.no_grad():
        return plain_logps(peft.PeftModel.from_pretrained(base, str(folder)).eval(), ROWS).tolist()


@pytest.mark.filterwarnings("ignore:`init_lora_weights` is 'eva'")
@pytest.mark.parametrize("begun", [True, False, "gaussian", "orthogonal", "eva"])
def test_an_adapter_that_began_on_the_plain_weights_is_pefts_function(tokenizer, saved, begun):
    edit(saved, init_lora_weights=begun)
    policy = start(tokenizer, saved)
    policy.reset_adapter(0)
    assert policy.score(ROWS, 64) == pytest.approx(by_peft(tokenizer, saved), abs=1e-5)


@pytest.mark.filterwarnings("ignore:PiSSA changes the base weights")
def test_a_pissa_adapter_that_was_converted_is_pefts_function(tokenizer, tmp_path):
    """As peft's documentation converts it: its rank and alpha double, and it stands on the plain base again."""
    torch.manual_seed(0)
    settings = peft.LoraConfig(r=4, lora_alpha=32, target_modules="all-linear", task_type="CAUSAL_LM", init_lora_weights="pissa")
    model = peft.get_peft_model(make_policy(tokenizer).model.unload().float(), settings)
    before, after = str(tmp_path / "before"), str(tmp_path / "after")
    model.peft_config["default"].init_lora_weights = True
    model.save_pretrained(before, save_embedding_layers=False)
    model.peft_config["default"].init_lora_weights = "pissa"
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_" in name:
                parameter += 0.02 * torch.randn_like(parameter)
    model.save_pretrained(after, path_initial_model_for_weight_conversion=before, save_embedding_layers=False)
    policy = start(tokenizer, after, rank=8, alpha=64)
    policy.reset_adapter(0)
    with torch.no_grad():
        expected = plain_logps(model, ROWS).tolist()
    assert policy.score(ROWS, 64) == pytest.approx(expected, abs=1e-3)
    assert by_peft(tokenizer, after) == pytest.approx(expected, abs=1e-3)


def test_whole_weights_beside_the_adapter_are_named(tokenizer, saved):
    weights = load_file(saved / "adapter_model.safetensors")
    save_file({**weights, "base_model.model.model.embed_tokens.weight": torch.zeros(3, 3)}, saved / "adapter_model.safetensors")
    with pytest.raises(UserError, match=r"it holds 1 weights beside LoRA's, base_model\.model\.model\.embed_tokens\.weight"):
        start(tokenizer, saved)


def test_another_base_is_noticed_and_the_same_one_is_not(tokenizer, saved):
    assert start(tokenizer, saved).notes == []
    edit(saved, base_model_name_or_path="somebody/else")
    (line,) = start(tokenizer, saved).notes
    assert "made for the base somebody/else, put on tiny" in line


def test_an_adapter_on_some_of_the_layers_says_how_to_name_them_and_is_taken_where_they_are_named(tokenizer, tmp_path):
    def begun(targets):
        policy, config = make_policy(tokenizer), LoraConfig(rank=4, targets=targets)
        policy.model = add_adapter(policy.model.unload(), config, "tiny")
        start_from_adapter(policy, str(tmp_path), config)

    made = peft.LoraConfig(r=4, lora_alpha=32, target_modules=["q_proj"], layers_to_transform=[0], task_type="CAUSAL_LM")
    peft.get_peft_model(make_policy(tokenizer).model.unload(), made).save_pretrained(str(tmp_path))
    for targets in ("all-linear", ["q_proj"]):
        with pytest.raises(UserError, match=r"layers_to_transform=\[0\]\); name exactly its layers in lora.targets"):
            begun(targets)
    begun(r".*layers\.0\..*q_proj")


def test_pickled_weights_are_not_read(tokenizer, saved):
    (saved / "adapter_model.safetensors").rename(saved / "adapter_model.bin")
    with pytest.raises(UserError, match="pickled weights are not read"):
        start(tokenizer, saved)


def test_a_run_from_a_trained_player_has_its_scores_before_any_training(played, tmp_path):
    """The player of iteration 0 of one run starts another: initial scores equal its recorded ones, and the opponent is it."""
    adapter = played / "results/small/spin/seed-0/iteration-0/train/adapter"
    more = ("--objectives", "space", "--iters", "1", "--name", "on", "--set", f"model.adapter={adapter}")
    run_cli_in_process("run", "--recipe", SMALL_RECIPE, *more, cwd=tmp_path)
    scores, dynamics, training = (
        read_csv_rows(tmp_path / f"results/on/{name}.csv") for name in ("scores", "dynamics", "training")
    )
    earlier = read_csv_rows(played / "results/small/scores.csv")
    before = {r["task"]: r["value"] for r in earlier if (r["objective"], r["iteration"]) == ("spin", "0")}
    assert {r["task"]: r["value"] for r in scores if r["objective"] == "initial"} == before
    drift = {r["name"]: float(r["value"]) for r in dynamics if r["objective"] == "space"}
    first = next(r for r in training if r["iteration"] == "0")
    assert abs(float(first["log_ratio_real"])) < 1e-4, "the opponent is the adapter: the log-ratio begins at zero"
    assert drift["kl_initial"] == pytest.approx(drift["kl_previous"], abs=1e-6)
