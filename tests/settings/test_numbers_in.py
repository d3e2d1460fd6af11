"""Numbers that are given: each setting takes the number it names or says in one line what is wrong, and who gave it."""

import math
import typing

import pytest
from pydantic import ValidationError

from harness.analysis.facts import make_frame
from harness.config import RunConfig, TrainingConfig, load_config
from harness.discovery.variants import parse_value, parse_variants
from harness.errors import UserError
from harness.loop.judge_settings import JudgeSettings
from harness.loop.study import Grid, Study, format_value
from harness.loop.suite import Suite, SuiteTask
from harness.planning.request import load_variants
from harness.security.escaping import read_csv_table, to_csv_text
from harness.settings.numbers import number_problem
from harness.theory.claims import Claims, Panel, Setting
from tests.conftest import SMALL_RECIPE


def fields(model):
    """(model, name, annotation) of every field of a model and of the models in it."""
    for name, field in model.model_fields.items():
        yield model, name, field.annotation
        inner = [field.annotation, *typing.get_args(field.annotation)]
        for one in inner:
            if isinstance(one, type) and hasattr(one, "model_fields"):
                yield from fields(one)


MODELS = (RunConfig, Suite, SuiteTask, JudgeSettings, Study, Grid, Claims, Setting, Panel)
ALL = sorted({(m.__name__, n): (m, n, a) for model in MODELS for m, n, a in fields(model)}.values(), key=str)
NUMBERS = [(m, n, a) for m, n, a in ALL if number_problem(math.nan, a) is not None]
NO_NUMBERS = {
    "true": True, "infinity": math.inf, "less than all": -math.inf, "no number": math.nan, "text": "5", "thousands": "1_000",
    "other digits": "٣", "hexadecimal": "0x10", "beyond 64 bits": 2**63, "beyond a float": 10**400,
}  # fmt: skip


def test_the_settings_that_are_numbers_are_found():
    names = {f"{m.__name__}.{n}" for m, n, _ in NUMBERS}
    assert len(names) > 45
    assert {"TrainingConfig.max_grad_norm", "TrainingConfig.lr", "TrainingConfig.epochs", "RunConfig.seeds", "Grid.values",
            "SuiteTask.range", "JudgeSettings.temperatures", "GenerationConfig.vllm_timeout"} <= names  # fmt: skip


@pytest.mark.parametrize("case", NO_NUMBERS)
def test_no_setting_takes_what_is_no_number_for_one(case):
    """Alone, in a list and in a table, in every setting of a recipe, a suite, a study and the theory's claims."""
    value = NO_NUMBERS[case]
    for model, name, annotation in NUMBERS:
        if (isinstance(value, bool) and "bool" in str(annotation)) or (
            isinstance(value, str) and ("str" in str(annotation) or "auto" in str(annotation))
        ):
            continue
        for given in (value, [value], {"a": value}):
            with pytest.raises(ValidationError) as error:
                model.model_validate({name: given})
            mine = [one for one in error.value.errors() if one["loc"][0] == name]
            assert [one["type"] for one in mine] == ["number"], (model, name, given, mine)


def test_a_whole_number_is_written_whole():
    """9007199254740993.0 would be 9007199254740992."""
    for given in ([float(2**53 + 1)], [3.0]):
        with pytest.raises(UserError, match="expected an integer, written without a point"):
            load_config(str(SMALL_RECIPE), [f"seeds={given}"])


@pytest.mark.parametrize("seed", [0, 2**53 + 1, 2**63 - 1])
def test_seeds_up_to_the_largest_are_kept_exactly(seed):
    assert load_config(str(SMALL_RECIPE), [f"seeds=[{seed}]"]).seeds == [seed]


def test_tables_keep_seeds_exactly(tmp_path):
    """Beside the initial policy's, which is none; through a csv file too."""
    seeds = [None, 2**53 + 1, 2**63 - 1, 0]
    table = make_frame([{"seed": seed, "value": 0.5} for seed in seeds])
    (tmp_path / "t.csv").write_text(to_csv_text(table))
    for found in (table, read_csv_table(tmp_path / "t.csv")):
        assert [None if found["seed"].isna()[i] else int(seed) for i, seed in enumerate(found["seed"])] == seeds
    assert list(table[table["seed"] == 2**53 + 1].index) == [1]
    assert str(make_frame([], ["seed"])["seed"].dtype) == "Int64"


@pytest.mark.parametrize("seeds", ["1__0", "٣", "0x1", "1.0", "true", "1,,2", "", "1e3", str(2**63), "-1"])
def test_what_is_no_seed_is_refused_on_the_command_line(seeds):
    with pytest.raises(UserError, match="^--seeds"):
        load_config(str(SMALL_RECIPE), (), {"seeds": seeds})


def test_a_variants_values():
    assert [parse_value(text) for text in ("3", "+3", " 3", "0.5", "1e-4", ".5", "true", "none", "a")] == [
        3, 3, 3, 0.5, 1e-4, 0.5, True, None, "a"
    ]  # fmt: skip
    assert [parse_value(text) for text in ("٣", "0x10", "1__0", "_1")] == ["٣", "0x10", "1__0", "_1"]
    for text, said in (
        ("space:mu=inf", "finite"), ("space:mu=nan", "finite"), ("space:mu=1e400", "finite"), ("space:mu=true", "not of type"),
        ("space:mu=٣", "not of type"), ("space:mu=1|inf", "finite"), ("space:samples=3.0", "not of type"),
    ):  # fmt: skip
        (variant,) = parse_variants(text)
        with pytest.raises(UserError, match=said):
            variant.objective(1)


@pytest.mark.parametrize("text", ["space:mu=3:mu=3", "space:mu=3:mu=4", "sft:training.lr=1e-4: training.lr=1e-4"])
def test_a_key_of_a_variant_that_is_given_twice_is_an_error(text):
    with pytest.raises(UserError, match="is given twice"):
        parse_variants(text)


def test_a_grids_values_are_played_as_they_are():
    assert [format_value(v) for v in (3e-5, 1e-3, 1.0, 3.0)] == ["3e-05", "0.001", "1", "3"]
    for value in (0.00012345678, 12345678.0, 1 / 3):
        assert parse_value(format_value(value)) == value
        assert format_value(12345678.0) == "12345678"


# ---------------------------------------------------------------- who is blamed


def recipe(folder, text):
    path = folder / "r.toml"
    path.write_text(text)
    return str(path)


def test_what_was_typed_is_blamed_on_the_command_line_and_the_files_on_the_file_with_its_line(tmp_path):
    whole = recipe(tmp_path, 'seeds = [0]\n\n[training]\nlr = 1e-4\n# a comment\n"epochs" = 0\n')
    with pytest.raises(UserError, match=r"^.*r\.toml: line 6: training\.epochs=0"):
        load_config(whole)
    with pytest.raises(UserError, match=r"^--set training\.epochs: training\.epochs=-1"):
        load_config(whole, ["training.epochs=-1"])
    good = recipe(tmp_path, "[training]\nlr = 1e-4\n")
    for settings, said in (
        ({"settings": ["training.lr=x"]}, r"^--set training\.lr: "),
        ({"settings": ["trainning.lr=1"]}, r"^--set trainning\.lr: unknown setting"),
        ({"settings": ["data=5"]}, r"^--set data: data=5: expected a section"),
        ({"settings": ["data=5", "data.split=a"]}, r"^--set data: data is a value"),
        ({"overrides": {"data.source": ""}}, r"^--data: data\.source='': is empty"),
        ({"overrides": {"data.source": " "}}, r"^--data: "),
        ({"overrides": {"model.path": "builtin:"}}, r"^--model: "),
        ({"overrides": {"mirror": ""}}, r"^--mirror: "),
        ({"overrides": {"iterations": 0}}, r"^--iters: iterations=0"),
        ({"overrides": {"data.max_examples": 0}}, r"^--max-examples: "),
        ({"overrides": {"evaluation.suite": "a\nb"}}, r"^--suite: "),
        ({"settings": ["data.source=https://n:pw@h/x"]}, r"^--set data\.source: .*\*\*\*@h"),
    ):
        with pytest.raises(UserError, match=said):
            load_config(good, **settings)
    for text, said in (
        ("data = 5\n", r"r\.toml: line 1: data=5: expected a section"),
        ("[data]\nsource = ''\n", r"r\.toml: line 2: data\.source='': is empty"),
        ("[training]\nlr = 1e-4\nlrr = 2\n", r"r\.toml: line 3: unknown setting"),
        ("[generation]\n[training]\nlr = [\n  inf\n]\n", r"r\.toml: line 3: training\.lr"),
        ("training.lr = true\n", r"r\.toml: line 1: training\.lr=True: true is not a number"),
    ):
        with pytest.raises(UserError, match=said):
            load_config(recipe(tmp_path, text))


def test_an_objectives_own_settings_are_blamed_on_whoever_gave_them(tmp_path):
    path = recipe(tmp_path, 'objectives = "space"\n[objective.space]\nmu = 1.0\nmuu = 3\n')
    with pytest.raises(UserError, match=r'r\.toml: line 4: \[objective\.space\] space: unknown parameter "muu"'):
        load_variants(load_config(path))
    path = recipe(tmp_path, 'objectives = "space:mu=1:mu=2"\n')
    with pytest.raises(UserError, match=r"^.*r\.toml: line 1 space:mu=1:mu=2: mu is given twice"):
        load_variants(load_config(path))
    with pytest.raises(UserError, match=r"^--objectives space:mu=3:mu=4: mu is given twice"):
        load_variants(load_config(path, (), {"objectives": "space:mu=3:mu=4"}))
    with pytest.raises(UserError, match=r"^--set objective\.space\.mu: \[objective\.space\] space: mu=-1"):
        load_variants(load_config(path, ["objective.space.mu=-1"], overrides={"objectives": "space"}))


def test_inf_is_no_setting_of_training_and_says_what_is_meant():
    for name in ("max_grad_norm", "save_seconds", "weight_decay", "lr", "warmup"):
        with pytest.raises(ValidationError, match="a large one, such as 1000000, where no limit is meant"):
            TrainingConfig.model_validate({name: math.inf})
    assert TrainingConfig(max_grad_norm=1e6, save_seconds=1e6).max_grad_norm == 1e6


# ---------------------------------------------------------------- what is neither a number nor kept


def test_neither_true_nor_false():
    for value, said in (("1", "a number"), ("0.0", "a number"), ("'1'", "a text"), ("maybe", "a text"), ("''", "a text")):
        for key in ("share", "model.merge_adapter", "evaluation.allow_unsafe_code"):
            with pytest.raises(UserError, match=f"^--set {key}: .*{said}, expected true or false"):
                load_config(str(SMALL_RECIPE), [f"{key}={value}"])
    assert load_config(str(SMALL_RECIPE), ["share=true", "recompute=False", "training.two_pass=auto"]).share is True


@pytest.mark.parametrize("value", ["inf", "nan", "[1, [-inf]]", "{a=nan}", "[1979-05-27]", "{a=07:32:00}"])
@pytest.mark.parametrize("key", ["data.template_arguments.x", "objective.spin.beta", "objective.other.x"])
def test_what_a_run_could_not_record_is_refused_in_settings_of_any_kind(key, value):
    """Of an objective that is not played, too: run.json keeps the settings of all."""
    with pytest.raises(UserError, match=f"^--set {key}: .*(finite|a date or a time)"):
        load_config(str(SMALL_RECIPE), [f"{key}={value}"])


def test_a_date_is_a_text_on_the_command_line_and_refused_in_a_file(tmp_path):
    assert load_config(str(SMALL_RECIPE), ["model.revision=2024-01-31"]).model.revision == "2024-01-31"
    with pytest.raises(UserError, match="line 1: data.template_arguments.today=.*put it in quotes"):
        load_config(recipe(tmp_path, "data.template_arguments.today = 2024-01-31\n"))


@pytest.mark.parametrize("number", ["1" + "0" * 5000, "0x" + "f" * 5000, "1" * 1000])
def test_a_number_that_python_does_not_write_out(number, tmp_path):
    with pytest.raises(UserError, match="r.toml: not valid TOML: a whole number of more than 400 digits"):
        load_config(recipe(tmp_path, f"training.lr = {number}\n"))
    with pytest.raises(UserError, match="^--set training.lr: "):
        load_config(str(SMALL_RECIPE), [f"training.lr={number}"])
    with pytest.raises(UserError, match="^--set training.lr: "):
        load_config(str(SMALL_RECIPE), ["training.lr=" + "[" * 5000])


def test_a_schedule_is_refused_whole(tmp_path):
    """Its later entries, which a longer run would come to, and one without any."""
    config = load_config(str(SMALL_RECIPE), ["objective.space.mu=[1, true]"], overrides={"objectives": "space", "iterations": 1})
    with pytest.raises(UserError, match="^--set objective.space.mu: .*mu=True is not of type"):
        load_variants(config)
    with pytest.raises(UserError, match="^--set objective.space.mu: .*an empty list"):
        load_variants(load_config(str(SMALL_RECIPE), ["objective.space.mu=[]"], overrides={"objectives": "space"}))


def test_training_settings_of_an_objective_are_blamed_on_whoever_gave_them(tmp_path):
    path = recipe(tmp_path, 'objectives = "space"\n[objective.space.training]\nlr = 0\n')
    with pytest.raises(UserError, match=r"r\.toml: line 3: \[objective\.space\] space: training\.lr"):
        load_variants(load_config(path))
    with pytest.raises(UserError, match=r"^--set objective\.space\.training\.lr: "):
        load_variants(load_config(path, ["objective.space.training.lr=-1"]))
    with pytest.raises(UserError, match=r"^space-lr-1: training\.lr"):
        load_variants(load_config(path, overrides={"objectives": "space:training.lr=-1"}))


def test_a_setting_given_twice_is_an_error():
    for settings, options, said in (
        (["training.lr=1", "training.lr=2"], {}, "^--set training.lr: training.lr is given twice"),
        (["training.lr=1", "training={lr=2}"], {}, "^--set training: training.lr is given twice"),
        (["iterations=3"], {"overrides": {"iterations": 5}}, "^--set iterations: is given by --iters too; leave one out"),
        (
            ["iterations=3"],
            {"overrides": {"iterations": 5}, "sources": {"iterations": "study lr: iterations"}},
            "type --iters in place of --set",
        ),
    ):
        with pytest.raises(UserError, match=said):
            load_config(str(SMALL_RECIPE), settings, **options)
    refined = load_config(str(SMALL_RECIPE), ["objective={space={mu=1}}", "objective.space.samples=1"])
    assert refined.objective == {"space": {"mu": 1, "samples": 1}}


def test_a_recipe_is_chosen_by_its_option_alone(tmp_path):
    with pytest.raises(UserError, match="^--set recipe: .*--recipe NAME"):
        load_config(str(SMALL_RECIPE), ["recipe=smoke"])
    with pytest.raises(UserError, match="line 1: recipe is no setting"):
        load_config(recipe(tmp_path, 'recipe = "smoke"\n'))
