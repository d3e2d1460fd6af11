"""What a file's text declares is what its class has once imported; a mistake is said in the same words, or left to the import."""

import dataclasses

import pytest

from harness.discovery.declared import check_declared, declared_parameters
from harness.discovery.variants import list_objectives, load_objective, parse_variants
from harness.errors import UserError

MISTAKES = (
    "spin:bet=1", "spin:beta=-1", "spin:beta=0.1|0", "spin:beta=inf", "spin:beta=true", "spin:form=nope", "spin:history=0.5",
    "spin:history=-1", "spin:form=1", "tspin:alpha=big",
)  # fmt: skip


@pytest.mark.parametrize("name", list_objectives())
def test_the_text_declares_the_fields_of_the_class(name):
    path = list_objectives()[name]

    def described(specs):
        kinds = {spec.name: spec.type.__name__ if isinstance(spec.type, type) else str(spec.type) for spec in specs}
        return {spec.name: (kinds[spec.name], spec.default, dict(spec.metadata)) for spec in specs}

    assert described(declared_parameters(path).values()) == described(dataclasses.fields(load_objective(path)))


@pytest.mark.parametrize("text", MISTAKES)
def test_a_mistake_is_said_as_when_the_objective_is_built(text):
    (variant,) = parse_variants(text)
    with pytest.raises(UserError) as built:
        variant.objectives(variant.longest)
    with pytest.raises(UserError) as read:
        check_declared(variant)
    assert str(read.value) == str(built.value)


def test_legal_values_pass():
    for variant in parse_variants("spin:beta=1:form=hinge:history=0,spin:beta=0.1|0.2,sft,tspin:training.lr=1"):
        check_declared(variant)


START = "from dataclasses import dataclass\nfrom objectives import Objective, param\n\n"


@pytest.mark.parametrize(
    "text",
    [
        "class Mine(Objective, Other):\n    scale: float = param(1.0, 'a')\n",  # another base may have fields of its own
        "class Mine(Objective):\n    if True:\n        scale: float = param(1.0, 'a')\n",
        "class Mine(Objective):\n    pass\n\n@dataclass(frozen=True)\nclass Yours(Objective):\n    pass\n",
        "class Mine(Objective):\n    scale: float = param(1.0, 'a'\n",
        f"class Mine(Objective):\n    scale: float{'.a' * 20_000} = param(1.0, 'a')\n",
    ],
)
def test_what_is_not_written_plainly_is_left_to_the_import(text, tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(f"{START}@dataclass(frozen=True)\n{text}")
    assert declared_parameters(path) is None


def test_values_are_left_to_a_class_that_checks_them_itself_and_to_bounds_that_are_computed(tmp_path):
    path = tmp_path / "mine.py"
    lines = ["    scale: float = param(1.0, 'a', above=LOW)", "    shift: int = param(0, 'b')", "    form: Form = param(0, 'c')"]
    plain = "\n".join(["@dataclass(frozen=True)", "class Mine(Objective):", *lines, ""])
    path.write_text(START + plain)
    declared = declared_parameters(path)
    assert list(declared) == ["scale", "shift", "form"]
    assert declared["scale"] is None and declared["form"] is None and declared["shift"].type == "int"
    path.write_text(f"{START}{plain}\n    def __post_init__(self):\n        pass\n")
    assert declared_parameters(path) == dict.fromkeys(["scale", "shift", "form"])
