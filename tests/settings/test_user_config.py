"""Where a value comes from: option, environment, recipe, the user's own file, default, in this order; and it is recorded."""

import json
import os

import pytest

from harness.config import load_config
from harness.errors import UserError
from harness.planning.request import find_mirror
from harness.settings.user_config import FOLDER_VARIABLES, UserConfig, read_user_config, user_config_path
from tests.conftest import SMALL_RECIPE, run_cli_in_process


@pytest.fixture
def user_file(tmp_path, monkeypatch):
    """Writes the user's file."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    path = tmp_path / "config" / "harness" / "config.toml"
    path.parent.mkdir(parents=True)

    def write(text):
        path.write_text(text)
        return path

    return write


def test_it_is_where_the_desktop_standard_says(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    assert user_config_path() == tmp_path / "config" / "harness" / "config.toml"
    for absent in ("", "relative/folder"):  # the standard: a relative one is ignored
        monkeypatch.setenv("XDG_CONFIG_HOME", absent)
        assert user_config_path() == tmp_path / "home" / ".config" / "harness" / "config.toml"
    assert read_user_config() == UserConfig()


def test_the_first_that_gives_a_value_counts(user_file, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    recipe = tmp_path / "mine.toml"
    for name in ("typed", "variable", "recipe", "user"):
        (tmp_path / name).mkdir()
    user_file("mirror = 'user'\nseeds = [7]\n[training]\nlr = 0.5\nbatch_size = 9\n[lora]\nrank = 3\n")
    recipe.write_text("mirror = 'recipe'\n[training]\nlr = 0.25\n")
    config = load_config("mine.toml")
    assert (config.mirror, config.training.lr, config.training.batch_size, config.lora.rank) == (
        str(tmp_path / "recipe"),
        0.25,
        9,
        3,
    )
    assert (config.seeds, config.iterations) == ([7], 5)
    monkeypatch.setenv("HARNESS_MIRROR", "variable")
    assert load_config("mine.toml").mirror == "variable" and find_mirror(load_config("mine.toml")) == tmp_path / "variable"
    config = load_config("mine.toml", ["training.batch_size=4", "lora={rank=2}"], {"mirror": "typed"})
    assert (config.mirror, config.training.batch_size, config.lora.rank) == ("typed", 4, 2)
    assert config.origins() == {
        "seeds": f"{user_config_path()}: line 2", "lora.rank": "--set lora", "lora.alpha": "--set lora",
        "lora.targets": "--set lora", "training.lr": "mine.toml: line 3", "training.batch_size": "--set training.batch_size",
        "mirror": "--mirror",
    }  # fmt: skip
    recipe.write_text("")
    monkeypatch.delenv("HARNESS_MIRROR")
    assert load_config("mine.toml").mirror == "user"


def test_a_run_on_another_value_of_the_users_file_has_another_name(user_file):
    alone = load_config("lab").default_run_name()
    user_file("[generation]\nbatch_size = 8\n[model]\ncores = 1\n")
    assert load_config("lab").default_run_name() == alone == "lab"  # speed alone
    user_file("[training]\nmax_grad_norm = 0.5\n")
    assert load_config("lab").default_run_name().startswith("lab-")


def test_folders_come_from_option_variable_or_file(user_file, tmp_path, monkeypatch):
    user_file("results = 'of-file'\nreports = 'reports-of-file'\n")
    said = [run_cli_in_process("status", cwd=tmp_path).stdout]
    monkeypatch.setenv("HARNESS_RESULTS", "of-variable")
    said.append(run_cli_in_process("status", cwd=tmp_path).stdout)
    said.append(run_cli_in_process("status", "--results", "of-option", cwd=tmp_path).stdout)
    monkeypatch.setenv("HARNESS_RESULTS", "")  # as an unset variable
    said.append(run_cli_in_process("status", cwd=tmp_path).stdout)
    places = ("of-file", "of-variable", "of-option", "of-file")
    assert [line.split(";")[0] for line in said] == [f"no runs in {place}" for place in places]
    done = run_cli_in_process("run", "--objectives", "spin", "--dry-run", "--recipe", "smoke", cwd=tmp_path)
    assert "of-file/smoke" in done.stdout + done.stderr


def test_a_run_records_where_its_values_come_from(user_file, tmp_path, monkeypatch):
    path = user_file("reports = 'pdfs'\n[training]\nsave_seconds = 5.0\n")
    (tmp_path / "mirror").mkdir()
    monkeypatch.setenv("HARNESS_MIRROR", str(tmp_path / "mirror"))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("HARNESS_RESULTS", "runs")
    run_cli_in_process("run", "--recipe", SMALL_RECIPE, "--objectives", "spin", "--iters", 1, "--name", "r", cwd=tmp_path)
    record = json.loads((tmp_path / "runs" / "r" / "run.json").read_text())
    sources = record["sources"]
    assert sources["objectives"] == "--objectives" and sources["iterations"] == "--iters"
    assert sources["mirror"] == "HARNESS_MIRROR" and record["config"]["mirror"] == str(tmp_path / "mirror")
    assert sources["training.save_seconds"] == f"~/{path.relative_to(tmp_path)}: line 3"
    assert sources["seeds"].startswith(f"{SMALL_RECIPE}: line ") and "training.weight_decay" not in sources
    assert (tmp_path / "pdfs" / "r.pdf").is_file()


MISTAKES = {
    "resuts = 'x'": 'line 1: unknown setting "resuts" (did you mean "results"?)',
    "[trainin]\nlr = 1.0": 'line 2: unknown setting "trainin.lr"',
    "[training]\nlrr = 1.0": 'line 2: unknown setting "training.lrr" (did you mean "training.lr"?)',
    "training = 3": "line 1: training=3: expected a section",
    "recipe = 'lab'": "line 1: recipe is no setting of this file; choose one with --recipe",
    "results = 3": "line 1: results=3: expected a folder",
    "reports = 'https://x.org'": "line 1: reports='https://x.org': expected a folder",
    "x": "not valid TOML",
}


@pytest.mark.parametrize("text", MISTAKES)
def test_a_mistake_in_the_file_is_one_line_that_names_it_for_every_command(text, user_file, tmp_path):
    path = user_file(text)
    for command in (["status"], ["run", "--dry-run"]):
        done = run_cli_in_process(*command, cwd=tmp_path, check=False)
        assert done.returncode == 1 and done.stderr.startswith(f"harness: {path}: {MISTAKES[text]}"), done.stderr
        assert done.stderr.count("\n") == 1


def test_a_wrong_value_names_file_and_line_unless_something_goes_before_it(user_file):
    path = user_file("[training]\n\nweight_decay = 'much'\n")
    with pytest.raises(UserError, match=f"^{path}: line 3: training.weight_decay='much': expected a number"):
        load_config("smoke")
    assert load_config("smoke", ["training.weight_decay=0.1"]).training.weight_decay == 0.1


def test_a_missing_mirror_is_named_with_what_names_it(user_file, tmp_path, monkeypatch):
    path = user_file("mirror = 'nowhere'\n")
    with pytest.raises(UserError, match=f"^{path}: line 1 nowhere: no such folder"):
        find_mirror(load_config("lab"))
    monkeypatch.setenv("HARNESS_MIRROR", "gone")
    with pytest.raises(UserError, match="^HARNESS_MIRROR gone: no such folder"):
        find_mirror(load_config("lab"))


def test_old_names_of_settings_are_read(user_file):
    user_file("[model]\nrun_code_from_model_repository = true\n")
    assert load_config("lab").model.trust_remote_code


def test_no_test_reads_the_file_of_whoever_runs_it(no_settings_of_the_user, monkeypatch):
    assert read_user_config() == UserConfig() and "no-config" in str(user_config_path())
    assert not set(FOLDER_VARIABLES.values()) & os.environ.keys()
