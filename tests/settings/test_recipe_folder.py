"""A recipe with its pairs, suite and objective is a folder that can be mailed; a recipe can be another but for a few lines."""

import json
import shutil

import pytest

from harness.config import load_config
from harness.discovery.variants import builtin_folder
from harness.errors import UserError
from harness.loop.study import load_study
from harness.settings.paths import PACKAGE
from tests.conftest import SMALL_RECIPE, run_cli_in_process

TASKS = PACKAGE / "lab" / "tasks"
RECIPE = f"""base = "{SMALL_RECIPE}"
objectives = 'spin,./mine.py as "Mine"'
iterations = 1

[data]
source = "pairs.jsonl"
heldout = "more/heldout.jsonl"
max_examples = 12

[evaluation]
suite = "./mine-two.toml"
"""


def mailed(folder):
    """A folder with everything of its own, made of the lab's parts."""
    (folder / "more").mkdir(parents=True)
    (folder / "recipe.toml").write_text(RECIPE)
    rows = (PACKAGE / "lab" / "data" / "train.jsonl").read_text().splitlines(keepends=True)
    (folder / "pairs.jsonl").write_text("".join(rows[:40]))
    rows = (PACKAGE / "lab" / "data" / "heldout.jsonl").read_text().splitlines(keepends=True)
    (folder / "more" / "heldout.jsonl").write_text("".join(rows[:8]))
    (folder / "mine.py").write_text((builtin_folder() / "sft.py").read_text())
    suite = (SMALL_RECIPE.parent / "two.toml").read_text()
    (folder / "mine-two.toml").write_text(suite.replace('"builtin:lab/tasks"', '"own tasks"'))
    shutil.copytree(TASKS, folder / "own tasks", ignore=shutil.ignore_patterns("__pycache__"))
    return folder


def test_a_folder_that_was_moved_goes_on_with_its_run_from_anywhere(tmp_path):
    first, elsewhere = mailed(tmp_path / "first"), tmp_path / "elsewhere"
    elsewhere.mkdir()
    run_cli_in_process("run", "--recipe", "first/recipe.toml", "--results", "first/results", cwd=tmp_path)
    record = json.loads((first / "results" / "recipe" / "run.json").read_text())
    assert str(tmp_path) not in json.dumps([record["identity"], record["config"]["data"], record["config"]["evaluation"]])
    manifests = {path.relative_to(first): path.read_bytes() for path in first.rglob("manifest.json")}
    assert len(manifests) > 8 and record["variants"]["mine"]["shown_as"] == "Mine"

    second = first.rename(tmp_path / "second")
    command = ("run", "--recipe", second / "recipe.toml", "--results", second / "results")
    again = run_cli_in_process(*command, cwd=elsewhere)
    assert "0 phases to do" in again.stdout
    assert {path.relative_to(second): path.read_bytes() for path in second.rglob("manifest.json")} == manifests

    # the same pairs, typed with another path, are the same pairs; others are not
    shutil.copy(second / "pairs.jsonl", elsewhere / "copy.jsonl")
    typed = ("--set", f"data.heldout={second / 'more' / 'heldout.jsonl'}", "--name", "recipe")
    assert "0 phases to do" in run_cli_in_process(*command, "--data", "./copy.jsonl", *typed, cwd=elsewhere).stdout
    (elsewhere / "copy.jsonl").write_text((elsewhere / "copy.jsonl").read_text() + '{"prompt": "a", "response": "b"}\n')
    refused = run_cli_in_process(*command, "--data", "./copy.jsonl", *typed, cwd=elsewhere, check=False)
    assert refused.returncode == 1 and "was made with data.source=" in refused.stderr and "copy.jsonl" in refused.stderr


def test_paths_of_a_recipe_start_at_its_file_and_typed_ones_where_one_is(tmp_path, monkeypatch):
    folder = mailed(tmp_path / "a")
    monkeypatch.chdir(tmp_path)
    config = load_config("a/recipe.toml")
    assert config.data.source == str(folder / "pairs.jsonl") and config.evaluation.suite == str(folder / "mine-two.toml")
    assert config.folder_of("objectives") == folder.relative_to(tmp_path) or config.folder_of("objectives") == folder
    assert config.identity()["data"]["source"] == "pairs.jsonl" and config.recorded()["evaluation"]["suite"] == "./mine-two.toml"
    typed = load_config("a/recipe.toml", ["data.heldout=x.jsonl"], {"data.source": "y.jsonl", "objectives": "./z.py"})
    assert (typed.data.source, typed.data.heldout, typed.folder_of("objectives")) == ("y.jsonl", "x.jsonl", None)
    assert typed.identity()["data"]["source"] == "y.jsonl"
    # an id of the hub stays one, unless the folder has it; `~`, builtin: and absolute paths are left alone
    for text, expected in (
        ("org/name", "org/name"), ("own tasks", str(folder / "own tasks")), ("~/m", "~/m"), ("/m", "/m"),
        ("builtin:lab/sft", "builtin:lab/sft"), ("../b", str(tmp_path / "b")),
    ):  # fmt: skip
        (folder / "m.toml").write_text(f'[model]\npath = "{text}"\n')
        assert load_config("a/m.toml").model.path == expected
    (folder / "study.toml").write_text(
        "title = 't'\nquestion = 'q'\nrecipe = './recipe.toml'\nsuite = 'lab-ten'\nobjectives = './mine.py'\niterations = 1\n"
        "seeds = [0]\n"
    )
    study = load_study("a/study.toml")
    assert (study.recipe, study.suite, study.folder) == (str(folder / "recipe.toml"), "lab-ten", str(folder))


def test_a_recipe_is_its_base_but_for_what_it_says(tmp_path):
    lab, sft = load_config("lab"), load_config("lab-from-sft")
    moved = lab.model.model_copy(update={"path": "builtin:lab/sft"})
    assert sft.model_dump() == lab.model_copy(update={"recipe": "lab-from-sft", "model": moved}).model_dump()
    assert (sft.source_of("model.path"), sft.source_of("training.lr")) == (
        f"{PACKAGE / 'recipes' / 'lab-from-sft.toml'}: line 6", f"{PACKAGE / 'recipes' / 'lab.toml'}: line 25"
    )  # fmt: skip
    assert "lr = 3e-4" in (PACKAGE / "recipes" / "lab.toml").read_text().splitlines()[24]
    (tmp_path / "up.toml").write_text('base = "lab-from-sft"\n[training]\nepochs = 1\n[data]\nsource = "org/pairs"\n')
    up = load_config(str(tmp_path / "up.toml"))
    assert (up.model.path, up.training.lr, up.training.epochs) == ("builtin:lab/sft", 3e-4, 1)
    assert (up.data.heldout, up.data.distribution) == (None, None), "they belong to the base's own pairs"
    assert up.source_of("training.lr").endswith("lab.toml: line 25") and up.default_run_name() == "up"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('base = "lob"', r'a.toml: line 1: base: unknown recipe "lob" \(did you mean "lab"\?\)'),
        ('base = "./a.toml"', "a.toml: line 1: base='./a.toml': comes back to a recipe that is based on it"),
        ('base = "./none.toml"', "a.toml: line 1: base: recipe ./none.toml: no such file"),
        ("base = 3", "a.toml: line 1: base=3: expected the name or the path of a recipe"),
        ('base = "./b.toml"', r"b\.toml: line 2: unknown setting \"training.lrr\" \(did you mean \"lr\"\?\)"),
    ],
)
def test_a_base_that_is_wrong_is_one_line_with_its_file(text, message, tmp_path):
    (tmp_path / "a.toml").write_text(text + "\n")
    (tmp_path / "b.toml").write_text("[training]\nlrr = 1\n")
    with pytest.raises(UserError, match=message):
        load_config(str(tmp_path / "a.toml"))
