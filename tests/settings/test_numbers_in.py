"""Numbers that are given: each setting takes the number it names or says in one line what is wrong, and who gave it."""

import math
import typing

import pytest
from pydantic import ValidationError

from harness.analysis.facts import make_frame
from harness.config import RunConfig, load_config
from harness.discovery.spelling import parse_value
from harness.discovery.variants import parse_variants
from harness.errors import UserError
from harness.loop.judge_settings import JudgeSettings
from harness.loop.study import Grid, Study, format_value
from harness.loop.suite import Suite, SuiteTask
from harness.planning.request import load_variants
from harness.security.escaping import read_csv_table, to_csv_text
from harness.theory.claims import Claims, Panel, Setting
from tests.conftest import SMALL_RECIPE


def fields(model):
    """(model, name) of every typed field of a model and of the models in it."""
    for name, field in model.model_fields.items():
        if "Any" not in str(field.annotation):
            yield model, name
        for inner in (field.annotation, *typing.get_args(field.annotation)):
            if isinstance(inner, type) and hasattr(inner, "model_fields"):
                yield from fields(inner)


def takes(model, name, value):
    """Whether a field takes the value, alone, in a list, twice in one or in a table; the rest of the model may be missing."""
    for given in (value, [value], [value, value * 2], {"a": value}):
        try:
            model.model_validate({name: given})
        except ValidationError as error:
            if any(details["loc"][:1] == (name,) for details in error.errors()):
                continue
        return True
    return False


MODELS = (RunConfig, Suite, SuiteTask, JudgeSettings, Study, Grid, Claims, Setting, Panel)
ALL = sorted({field for model in MODELS for field in fields(model)}, key=str)
FRACTIONS = [field for field in ALL if takes(*field, 0.5)]
INTEGERS = [field for field in ALL if takes(*field, 100) and field not in FRACTIONS]
NO_NUMBERS = {
    "true": True, "infinity": math.inf, "less than all": -math.inf, "no number": math.nan, "text": "5", "beyond a float": 10**400,
}  # fmt: skip


def test_the_settings_that_are_numbers_are_found():
    names = {f"{m.__name__}.{n}" for m, n in (*FRACTIONS, *INTEGERS)}
    assert len(names) > 45
    assert {"TrainingConfig.max_grad_norm", "TrainingConfig.lr", "TrainingConfig.epochs", "RunConfig.seeds", "Grid.values",
            "SuiteTask.range", "JudgeSettings.temperatures", "GenerationConfig.vllm_timeout"} <= names  # fmt: skip
    assert {"RunConfig.seeds", "TrainingConfig.epochs", "RunConfig.iterations"} <= {f"{m.__name__}.{n}" for m, n in INTEGERS}


@pytest.mark.parametrize("case", NO_NUMBERS)
def test_no_setting_takes_what_is_no_number_for_one(case):
    """In every setting of a recipe, a suite, a study and the theory's claims."""
    assert [field for field in (*FRACTIONS, *INTEGERS) if takes(*field, NO_NUMBERS[case])] == []


@pytest.mark.parametrize("value", [2**63, 3.0, float(2**53 + 1)])
def test_an_integer_is_written_without_a_point_and_kept_exactly(value):
    """9007199254740993.0 would be 9007199254740992."""
    assert [field for field in INTEGERS if takes(*field, value)] == []


def test_seeds_up_to_the_largest_are_kept_exactly_by_a_recipe_and_in_tables(tmp_path):
    """In a table beside the initial policy's, which is none; through a csv file too."""
    seeds = [None, 2**53 + 1, 2**63 - 1, 0]
    assert load_config(str(SMALL_RECIPE), [f"seeds={seeds[1:]}"]).seeds == seeds[1:]
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
        with pytest.raises(UserError, match=said):
            parse_variants(text)[0].objective(1)
    for text in ("space:mu=3:mu=3", "space:mu=3:mu=4", "sft:training.lr=1e-4: training.lr=1e-4"):
        with pytest.raises(UserError, match="is given twice"):
            parse_variants(text)


def test_a_grids_values_are_played_as_they_are():
    assert [format_value(v) for v in (3e-5, 1e-3, 1.0, 3.0, 12345678.0)] == ["3e-05", "0.001", "1", "3", "12345678"]
    for value in (0.00012345678, 12345678.0, 1 / 3):
        assert parse_value(format_value(value)) == value


# ---------------------------------------------------------------- who is blamed

GOOD = "[training]\nlr = 1e-4\n"
BLAMED = [
    # the recipe's text, items of --set, other options by key, and the line
    ('seeds = [0]\n\n[training]\nlr = 1e-4\n# a comment\n"epochs" = 0\n', [], {}, r"^.*r\.toml: line 6: training\.epochs=0"),
    ("training.epochs = 0\n", ["training.epochs=-1"], {}, r"^--set training\.epochs: training\.epochs=-1"),
    (GOOD, ["training.lr=x"], {}, r"^--set training\.lr: "),
    (GOOD, ["trainning.lr=1"], {}, r"^--set trainning\.lr: unknown setting"),
    (GOOD, ["data=5"], {}, r"^--set data: data=5: expected a section"),
    (GOOD, ["data=5", "data.split=a"], {}, r"^--set data: data is a value"),
    (GOOD, [], {"model.path": "builtin:"}, r"^--model: "),
    (GOOD, [], {"data.max_examples": 0}, r"^--max-examples: "),
    (GOOD, [], {"evaluation.suite": "a\nb"}, r"^--suite: "),
    (GOOD, ["data.source=https://n:pw@h/x"], {}, r"^--set data\.source: .*\*\*\*@h"),
    ("[data]\nsource = 'https://n:pw@h/x'\n", [], {}, r"r\.toml: line 2: data\.source=https://\*\*\*@h/x: holds a name, "),
    ("data = 5\n", [], {}, r"r\.toml: line 1: data=5: expected a section"),
    ("[data]\nsource = ''\n", [], {}, r"r\.toml: line 2: data\.source='': is empty"),
    ("[training]\nlr = 1e-4\nlrr = 2\n", [], {}, r"r\.toml: line 3: unknown setting"),
    ("[generation]\n[training]\nlr = [\n  inf\n]\n", [], {}, r"line 3: training\.lr.*such as 1000000, where no limit is meant"),
    ("training.lr = true\n", [], {}, r"r\.toml: line 1: training\.lr=true: expected a number, written"),
    *(
        (GOOD, [f"{key}={value}"], {}, f"^--set {key}: .*expected true or false")
        for key in ("share", "model.merge_adapter", "evaluation.allow_unsafe_code")
        for value in ("1", "0.0", "'1'", "maybe", "''")
    ),
    (GOOD, ["seeds=[3.0]"], {}, r"^--set seeds: seeds\.0=3\.0: expected a whole number, written without a point"),
    (GOOD, [f"seeds=[{float(2**53 + 1)}]"], {}, "^--set seeds: .*written without a point"),
    (GOOD, ["training.two_pass='1'"], {}, r"^--set training\.two_pass: training\.two_pass='1': "),
    (GOOD, ["training.lr=1", "training.lr=2"], {}, "^--set training.lr: training.lr is given twice"),
    (GOOD, ["training.lr=1", "training={lr=2}"], {}, "^--set training: training.lr is given twice"),
    (GOOD, ["iterations=3"], {"iterations": 5}, "^--set iterations: is given by --iters too; leave one out"),
    (GOOD, ["recipe=smoke"], {}, "^--set recipe: .*--recipe NAME"),
    ('recipe = "smoke"\n', [], {}, "line 1: recipe is no setting"),
    ("data.template_arguments.today = 2024-01-31\n", [], {}, "line 1: data.template_arguments.today=.*put it in quotes"),
    # variants, and what the recipe says of their objectives
    ("[objective.space]\nmu = 1.0\nmuu = 3\n", [], {}, r'r\.toml: line 3: \[objective\.space\] space: unknown parameter "muu"'),
    ('objectives = "space:mu=1:mu=2"\n', [], {}, r"^.*r\.toml: line 1 space:mu=1:mu=2: mu is given twice"),
    (GOOD, [], {"objectives": "space:mu=3:mu=4"}, r"^--objectives space:mu=3:mu=4: mu is given twice"),
    (GOOD, ["objective.space.mu=-1"], {"objectives": "space"}, r"^--set objective\.space\.mu: \[objective\.space\] space: mu=-1"),
    ("[objective.space.training]\nlr = 0\n", [], {}, r"r\.toml: line 2: \[objective\.space\] space: training\.lr"),
    (GOOD, ["objective.space.training.lr=-1"], {}, r"^--set objective\.space\.training\.lr: "),
    (GOOD, [], {"objectives": "space:training.lr=-1"}, r"^space-lr-1: training\.lr"),
    # a schedule is refused whole: its later entries, which a longer run would come to, and one without any
    (GOOD, ["objective.space.mu=[1, true]"], {"iterations": 1}, "^--set objective.space.mu: .*mu=True is not of type"),
    (GOOD, ["objective.space.mu=[]"], {}, "^--set objective.space.mu: .*an empty list"),
]


@pytest.mark.parametrize(("text", "settings", "overrides", "line"), BLAMED, ids=[case[-1] for case in BLAMED])
def test_what_was_typed_is_blamed_on_the_option_and_what_a_file_says_on_its_line(text, settings, overrides, line, tmp_path):
    (tmp_path / "r.toml").write_text(text)
    with pytest.raises(UserError, match=line):
        load_variants(load_config(str(tmp_path / "r.toml"), settings, overrides))


def test_a_studys_setting_names_the_option_to_type_instead():
    with pytest.raises(UserError, match="type --iters in place of --set"):
        load_config(str(SMALL_RECIPE), ["iterations=3"], {"iterations": 5}, {"iterations": "study lr: iterations"})


def test_what_is_read_as_it_was_meant():
    settings = ["share=true", "recompute=False", "training.two_pass=auto", "training.max_grad_norm=1e6"]
    settings += ["model.revision=2024-01-31", "objective={space={mu=1}}", "objective.space.samples=1"]
    config = load_config(str(SMALL_RECIPE), settings)
    assert (config.share, config.recompute, config.training.two_pass) == (True, False, "auto")
    assert (config.training.max_grad_norm, config.model.revision) == (1e6, "2024-01-31")
    assert config.objective == {"space": {"mu": 1, "samples": 1}}


@pytest.mark.parametrize("value", ["inf", "nan", "[1, [-inf]]", "{a=nan}", "[1979-05-27]", "{a=07:32:00}"])
@pytest.mark.parametrize("key", ["data.template_arguments.x", "objective.spin.beta", "objective.other.x"])
def test_what_a_run_could_not_record_is_refused_in_settings_of_any_kind(key, value):
    """Of an objective that is not played, too: run.json keeps the settings of all."""
    with pytest.raises(UserError, match=f"^--set {key}: .*(finite|a date or a time)"):
        load_config(str(SMALL_RECIPE), [f"{key}={value}"])


def test_a_number_that_python_does_not_write_out(tmp_path):
    too_long = "not valid TOML: a whole number of more than 400 digits"
    cases = [
        *((number, too_long) for number in ("1" + "0" * 5000, "0x" + "f" * 5000, "1" * 1000)),
        ("[" * 5000, "nested too deeply"),
    ]
    for number, expected in cases:
        (tmp_path / "r.toml").write_text(f"training.lr = {number}\n")
        with pytest.raises(UserError, match=f"r.toml: {expected}"):
            load_config(str(tmp_path / "r.toml"))
        with pytest.raises(UserError, match="^--set training.lr: "):
            load_config(str(SMALL_RECIPE), [f"training.lr={number}"])
