"""One line in config.py is a new setting: in the help, in the documentation, in the check of recipes and in run.json."""

import builtins
import json
import types
import typing
from pathlib import Path

import pytest
from pydantic import BaseModel

from harness import config
from harness.config import RunConfig, TrainingConfig, load_config
from harness.discovery import variants
from harness.errors import UserError
from harness.loop import suite
from harness.planning import request
from harness.reporting.generated_docs import replace_block, settings_index
from harness.settings import recipe_files
from harness.settings.listing import list_settings
from harness.settings.paths import PACKAGE
from harness.settings.section import setting
from tests.conftest import SMALL_RECIPE, run_cli_in_process

CONFIG = Path(config.__file__).read_text(encoding="utf-8")


class MoreTraining(TrainingConfig):
    restarts: int = setting(3, "restarts of the schedule", "steps", ge=0)
    queue: int = setting(1, "batches made ahead", speed_only=True)


class MoreSettings(RunConfig):
    training: MoreTraining = MoreTraining()


def counted(monkeypatch, module, name, calls):
    function = getattr(module, name)
    monkeypatch.setattr(module, name, lambda *a, **k: calls.append(name) or function(*a, **k))


def test_the_list_in_the_documentation_is_current():
    text = (PACKAGE / "recipes" / "README.md").read_text()
    assert replace_block(text, "settings", settings_index()) == text, "run: python -m harness.reporting.generated_docs"


def test_every_setting_says_what_it_means_its_type_and_its_default():
    rows = dict(list_settings())
    assert len(rows) > 70
    assert all(text and not text.startswith("None") for text in rows.values())
    assert rows["model.tokens_per_pass = 2048"].endswith("(integer, tokens)")
    assert rows["training.save_seconds = 600.0"].endswith("(number, seconds)")
    assert rows["seeds = [0]"].endswith("(list of integer)")
    assert rows["training.lr = 0.0003"].endswith("(number or list of number)")


def words(value):
    return "none" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def type_in_words(annotation):
    names = {str: "text", int: "integer", float: "number", bool: "true or false", dict: "table", type(None): "none"}
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(map(type_in_words, arguments))
    if origin is typing.Literal:
        return " or ".join(map(words, arguments))
    if origin is typing.Annotated:
        return type_in_words(arguments[0])
    return f"list of {type_in_words(arguments[0])}" if origin is list else names[origin or annotation]


def fields_in_words(model, prefix=""):
    for name, field in model.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield f"[{name}]", field.annotation.__doc__.partition("\n\n")[0]
            yield from fields_in_words(field.annotation, f"{prefix}{name}.")
        else:
            unit = f", {field.json_schema_extra['unit']}" if field.json_schema_extra["unit"] else ""
            yield f"{prefix}{name} = {words(field.default)}", f"{field.description} ({type_in_words(field.annotation)}{unit})"


def test_the_list_read_from_the_text_is_what_pydantic_has_of_the_classes():
    assert list(list_settings()) == list(fields_in_words(RunConfig))


def test_one_line_is_a_setting_and_a_run_resolves_its_request_once(tmp_path, monkeypatch):
    """The line is in help and documentation; a run in this process has the new setting in its record; recipe, suite, variants and
    objective are each read once."""
    line = '    restarts: int = setting(3, "restarts of the schedule", "steps", ge=0)\n'
    text = CONFIG.replace("    def at_iteration(", f"{line}\n    def at_iteration(")
    monkeypatch.setattr(config, "RunConfig", MoreSettings)
    assert ("training.restarts = 3", "restarts of the schedule (integer, steps)") in list(list_settings(text))
    assert "- `training.restarts = 3`: restarts of the schedule (integer, steps)" in settings_index(text)
    listed = run_cli_in_process("settings", cwd=tmp_path).stdout
    assert all(name.strip() in listed for name, _ in list_settings())
    assert "harness settings" in run_cli_in_process("run", "--help", cwd=tmp_path).stdout
    with pytest.raises(UserError, match="^--set training.restarts: training.restarts=-1: input should be greater"):
        load_config("lab", ["training.restarts=-1"])
    with pytest.raises(UserError, match="did you mean .restarts.*all settings: harness settings"):
        load_config("lab", ["training.restart=1"])

    calls = []
    for module, name in ((recipe_files, "read_toml"), (suite, "read_toml"), (request, "parse_variants"), (request, "load_suite"),
                         (variants, "find_objective")):  # fmt: skip
        counted(monkeypatch, module, name, calls)
    monkeypatch.setattr("builtins.EXECUTED", [], raising=False)
    sft = (variants.builtin_folder() / "sft.py").read_text()
    (tmp_path / "mine.py").write_text(f"{sft}\nimport builtins\n\nbuiltins.EXECUTED.append(1)\n")
    run_cli_in_process(
        "run", "--recipe", SMALL_RECIPE, "--objectives", "./mine.py", "--iters", 1, "--set", "training.restarts=2",
        "--set", "training.queue=2", "--name", "r", cwd=tmp_path,
    )  # fmt: skip
    assert sorted(calls) == ["find_objective", "load_suite", "parse_variants", "read_toml", "read_toml"], "recipe and suite"
    assert builtins.EXECUTED == [1]
    record = json.loads((tmp_path / "results" / "r" / "run.json").read_text())
    assert (record["config"]["training"]["restarts"], record["config"]["training"]["queue"]) == (2, 2)
    assert record["identity"]["training"]["restarts"] == 2 and "queue" not in record["identity"]["training"]
    assert record["passed"] == {
        "recipe": str(SMALL_RECIPE), "objectives": "./mine.py", "iterations": 1, "name": "r",
        "set": ["training.restarts=2", "training.queue=2"],
    }  # fmt: skip
