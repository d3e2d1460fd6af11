"""Recipes: every one that ships is valid, schedules resolve by iteration, identity leaves out what only extends or speeds."""

import json
import shlex
from operator import attrgetter

import pytest

from harness.config import load_config
from harness.errors import UserError
from harness.loop.trials import training_settings
from harness.planning.request import load_variants
from harness.planning.unchanged import check_unchanged
from harness.settings.paths import PACKAGE
from harness.settings.process_environment import notes
from harness.settings.toml_files import format_setting
from harness.store.run_folder import FORMAT_VERSION, RunFolder


@pytest.mark.parametrize("name", sorted(p.stem for p in (PACKAGE / "recipes").glob("*.toml")))
def test_every_recipe_that_ships_is_valid(name):
    config = load_config(name)
    assert load_variants(config) and config.default_run_name() == name


def test_the_papers_schedules_reach_objective_and_training():
    config = load_config("lab-schedules")
    spin, tspin = load_variants(config)
    assert [spin.objective(t).beta for t in range(4)] == [0.1, 0.1, 0.1, 5.0]
    assert [training_settings(config, spin).at_iteration(t).lr for t in range(5)] == [3e-4, 3e-4, 6e-5, 6e-5, 6e-5]
    assert [tspin.objective(t).beta for t in range(3)] == [0.0, 0.1, 0.1]
    assert training_settings(config, tspin).at_iteration(0).lr == 3e-4


def test_what_changes_numbers_is_a_runs_identity_and_what_extends_or_speeds_it_is_not():
    lab = load_config("lab").identity()
    for setting in ("generation.batch_size=3", "training.micro_batch=1", "model.device=cpu", "iterations=9"):
        assert load_config("lab", [setting]).identity() == lab
    for setting in ("training.lr=1e-5", "lora.rank=4", "generation.temperature=0.7", "data.max_examples=5"):
        changed = load_config("lab", [setting])
        assert changed.identity() != lab and changed.default_run_name().startswith("lab-")


@pytest.mark.parametrize("name", ["mistral-7b-space", "mistral-7b-tspin", "zephyr-7b-spin", "qwen-small"])
def test_a_recipe_for_real_work_says_why_above_every_key(name):
    """Or shares the comment of the key right above it."""
    lines = (PACKAGE / "recipes" / f"{name}.toml").read_text(encoding="utf-8").splitlines()
    keys = [n for n, line in enumerate(lines) if line and not line.startswith(("#", "["))]
    assert len(keys) > 15
    assert [lines[n] for n in keys if not lines[n - 1].startswith("#") and n - 1 not in keys] == []


def test_the_run_kept_in_the_checkout_is_extended_by_the_command_that_made_it():
    """A fresh clone holds run.json of the reference run: the command that made it must not be refused there."""
    config = load_config("lab", (), {"objectives": "sft,space,spin", "iterations": 5})
    check_unchanged(RunFolder(PACKAGE.parent / "results" / "lab-reference"), config, load_variants(config))


def test_a_setting_that_only_one_version_knows(tmp_path):
    """One that did not exist when a run was made had its default then; one that is gone by now may have changed its numbers."""
    config = load_config("lab")

    def record(identity):
        (tmp_path / "run.json").write_text(json.dumps({"format_version": FORMAT_VERSION, "identity": identity, "variants": {}}))

    older = config.identity()
    del older["data"]["turns"]
    record(older)
    check_unchanged(RunFolder(tmp_path), config, [])
    with pytest.raises(UserError, match="was made with data.turns='first', now asked for 'last'"):
        check_unchanged(RunFolder(tmp_path), load_config("lab", ["data.turns=last"]), [])
    other = config.identity()
    other["lora"]["dropout"] = 0.1
    record(other)
    with pytest.raises(UserError, match="was made with lora.dropout=0.1, a setting that this version does not have; use --name"):
        check_unchanged(RunFolder(tmp_path), config, [])


@pytest.mark.parametrize(
    ("key", "value", "typed"),
    [
        ("data.template_arguments", {"enable_thinking": False}, """--set 'data.template_arguments={"enable_thinking"=false}'"""),
        ("training.lr", [0.001, 0.0005], "--set 'training.lr=[0.001, 0.0005]'"),
        ("data.allow_heldout_overlap", True, "--set data.allow_heldout_overlap=true"),
        ("data.source", "pairs.jsonl", "--set data.source=pairs.jsonl"),
        ("data.prompt_column", "1", """--set 'data.prompt_column="1"'"""),
        ("data.heldout", None, "leave data.heldout out"),
    ],
)
def test_what_a_line_says_to_type_is_read_as_the_value_meant(key, value, typed):
    assert format_setting(key, value) == typed
    if value is not None:
        assert attrgetter(key)(load_config("lab", [shlex.split(typed)[1]])) == value


def test_the_old_name_of_a_setting_works_says_the_new_one_and_is_what_run_folders_hold(tmp_path):
    notes.clear()
    old = load_config("smoke", ["model.run_code_from_model_repository=true"])
    said = "model.run_code_from_model_repository is called model.trust_remote_code now; both names work"
    assert notes == [f"--set model.run_code_from_model_repository: {said}"]
    new = load_config("smoke", ["model.trust_remote_code=true"])
    assert len(notes) == 1
    assert (old.model, old.identity()) == (new.model, new.identity())
    assert new.identity()["model"]["run_code_from_model_repository"] is True
    with pytest.raises(UserError, match="is the old name of model.trust_remote_code, which is given too; leave one out"):
        load_config("smoke", ["model.trust_remote_code=true", "model.run_code_from_model_repository=true"])
