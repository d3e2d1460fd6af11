"""What there is: recipes, settings, objectives and suites, for people and as JSON."""

import json

import pytest

from harness.config import load_config
from harness.discovery.variants import list_objectives
from harness.settings.listing import SettingDescription, describe_settings
from harness.settings.paths import PACKAGE
from tests.conftest import run_cli_in_process

# Keys and types of every entry; a program that reads them may count on these.
NOTHING = type(None)
SCHEMAS = {
    "objectives": {"name": str, "title": str, "path": str},
    "suites": {"name": str, "title": str, "version": str, "tasks": int, "source": str},
    "recipes": {"name": str, "title": str, "path": str},
    "settings": {"key": str, "default": object, "type": str, "unit": (str, NOTHING), "meaning": str},
}
HYPERPARAMETER = {"name": str, "default": object, "type": str, "meaning": str}
NEEDS = {"reference": bool, "synthetic": int, "proto": int, "history": int, "couples_batch": bool}
CITATION = {"label": str, "title": str, "url": str, "where": str}


def as_json(*command, cwd):
    return json.loads(run_cli_in_process(*command, "--json", cwd=cwd).stdout)


def check(value, schema):
    assert value.keys() == schema.keys()
    for key, kind in schema.items():
        assert isinstance(value[key], kind), (key, value[key])


@pytest.mark.parametrize("command", SCHEMAS)
def test_a_list_as_json_has_its_keys_and_types(command, tmp_path):
    entries = as_json(command, cwd=tmp_path)
    for entry in entries:
        check(entry, SCHEMAS[command])
    names = [entry.get("name", entry.get("key")) for entry in entries]
    known = {
        "objectives": sorted(list_objectives()),
        "settings": sorted(line.key for line in describe_settings() if isinstance(line, SettingDescription)),
    }.get(command) or sorted(path.stem for path in (PACKAGE / command).glob("*.toml"))
    assert sorted(names) == known
    said = run_cli_in_process(command, cwd=tmp_path).stdout
    assert all(name in said for name in names)


def test_one_of_them_as_json(tmp_path):
    objective = as_json("objectives", "show", "spin", cwd=tmp_path)
    check(objective["needs"], NEEDS)
    check(objective["citation"], CITATION)
    for entry in objective["hyperparameters"]:
        check(entry, HYPERPARAMETER)
    assert {entry["name"]: entry["default"] for entry in objective["hyperparameters"]}["beta"] == 0.1
    suite = as_json("suites", "show", "lab-ten", cwd=tmp_path)
    assert suite["name"] == "lab-ten" and len(suite["task"]) == 10 and {"name", "shots", "metric"} <= suite["task"][0].keys()
    settings = as_json("settings", "training.lr", cwd=tmp_path)
    assert [(entry["key"], entry["default"]) for entry in settings] == [("training.lr", 0.0003)]


def test_json_is_plain_text_whatever_a_name_holds(tmp_path):
    """A title with codes that act on a terminal, in a recipe of one's own."""
    (tmp_path / "odd.toml").write_text("# red \x9b31m and \u202e turned\nobjectives = 'spin'\n")
    done = run_cli_in_process("recipes", "show", "./odd.toml", "--json", cwd=tmp_path)
    assert done.stdout.isascii()
    assert json.loads(done.stdout)["title"] == "red \x9b31m and \u202e turned"


def test_a_recipe_is_shown_with_every_value_and_its_source(tmp_path):
    recipe = tmp_path / "mine.toml"
    recipe.write_text("# Mine.\nobjectives = 'spin'\n[training]\nlr = 1e-4\n")
    shown = as_json("recipes", "show", "./mine.toml", cwd=tmp_path)
    rows = {row["key"]: row for row in shown["settings"]}
    assert (shown["name"], shown["title"]) == ("mine", "Mine.")
    config = load_config(str(recipe))
    assert rows.keys() == {line.key for line in describe_settings() if isinstance(line, SettingDescription)} - {"recipe"}
    assert rows["training.lr"] == {"key": "training.lr", "value": 1e-4, "unit": "", "source": "mine.toml: line 4"}
    assert rows["objectives"]["source"] == "mine.toml: line 2"
    assert rows["training.batch_size"] == {
        "key": "training.batch_size", "value": config.training.batch_size, "unit": "prompts", "source": "default",
    }  # fmt: skip
    assert {row["source"] for key, row in rows.items() if key not in ("training.lr", "objectives")} == {"default"}
    said = run_cli_in_process("recipes", "show", "./mine.toml", cwd=tmp_path).stdout
    lines = [line.split() for line in said.splitlines()]
    assert ["training.lr", "0.0001", "line", "4"] in lines and ["training.batch_size", "64", "prompts", "default"] in lines


def test_settings_are_found_by_any_part_of_key_or_meaning(tmp_path):
    def keys(pattern):
        return [entry["key"] for entry in as_json("settings", pattern, cwd=tmp_path)]

    assert keys("lora.") == ["lora.rank", "lora.alpha", "lora.targets"]
    assert "training.optimizer" in keys("TORCH.OPTIM")
    assert keys("data*split") == ["data.split", "data.heldout_split"]
    said = run_cli_in_process("settings", "lora.rank", cwd=tmp_path).stdout
    assert "lora.rank = 16\n" in said and "[lora]" in said and "[model]" not in said


def test_an_option_before_the_command_is_not_passed_over(tmp_path):
    done = run_cli_in_process("suites", "--json", "show", "lab-ten", cwd=tmp_path, check=False)
    assert done.returncode == 1 and "suites show ... --json" in done.stderr
