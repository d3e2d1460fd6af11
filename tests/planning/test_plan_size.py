"""Large plans end at once, with one line: players, spelled variants, texts without end; and what fits is counted as it is."""

import re
import time
from pathlib import Path

import pytest

from harness.commands import study as command
from harness.commands.plan import _format_list
from harness.config import MAX_TEXT_CHARS, RunConfig, load_config, validate_config
from harness.discovery import variants
from harness.discovery.variants import Variant, parse_variants
from harness.errors import UserError
from harness.loop.study import load_study
from harness.loop.suite import load_suite
from harness.planning.plan_size import MAX_CHECKPOINTS, MAX_VARIANT_CHARS, check_plan_size
from harness.reporting.figures.style import house_style, iteration_axis, make_drawing
from tests.helpers.broken import SUITE


def test_players_are_objectives_by_seeds_by_iterations():
    check_plan_size(RunConfig(objectives="space,spin", seeds=list(range(MAX_CHECKPOINTS // 20)), iterations=10))
    with pytest.raises(UserError, match=r"^2 objectives x 1,001 seeds x 10 iterations are 20,020 checkpoints, more than 20,000"):
        check_plan_size(RunConfig(objectives="space,spin", seeds=list(range(MAX_CHECKPOINTS // 20 + 1)), iterations=10))


TOO_MUCH = (
    {"seeds": list(range(300_000))}, {"objectives": ",".join(f"spin:beta={i}" for i in range(1, 30_001))},
    {"objectives": "space:mu=" + "|".join("3" * 50_000)}, {"objectives": "x" * (MAX_VARIANT_CHARS + 1)},
    {"iterations": 10_000, "seeds": list(range(30))}, {"iterations": 1_000_000}, {"objectives": "x" * 5_000_000},
    {"model": {"path": "m" * (MAX_TEXT_CHARS + 1)}}, {"data": {"source": "\x01" * 5_000_000}}, {"k" * 5_000_000: 1},
)  # fmt: skip


@pytest.mark.parametrize("asked", TOO_MUCH, ids=[f"plan {n}" for n in range(len(TOO_MUCH))])
def test_what_cannot_fit_is_one_line_in_no_time(asked):
    began = time.process_time()
    with pytest.raises(UserError) as error:
        check_plan_size(validate_config(asked, Path("r.toml"), {}))
    assert time.process_time() - began < 5 and len(str(error.value)) < 600


def test_an_objective_is_built_as_often_as_its_schedule_has_entries(monkeypatch):
    """A plan of 10,000 iterations asks every objective what it needs at each of them, several times."""
    (variant,) = parse_variants("space:mu=1|2|3")
    built, build = [], Variant.objective
    monkeypatch.setattr(Variant, "objective", lambda self, t: built.append(t) or build(self, t))
    found = variant.objectives(10_000)
    assert built == [0, 1, 2] and len(found) == 10_000
    assert [repr(found[t]) for t in (*range(5), 9_999)] == [repr(build(variant, t)) for t in (*range(5), 9_999)]


def test_ten_thousand_variants_are_read_in_no_time():
    """Every installed package is asked for the objective once, not for every variant; a label twice is found in one pass."""
    began = time.process_time()
    assert len(parse_variants(",".join(f"spin:beta={i}" for i in range(1, 10_001)))) == 10_000
    with pytest.raises(UserError, match='names "spin-beta9" twice'):
        parse_variants(",".join([*(f"spin:beta={i}" for i in range(1, 10_001)), "spin:beta=9"]))
    assert time.process_time() - began < 10


def test_a_key_without_end_is_one_line():
    for key in ("a." * 1_000_000, "objective.spin." + "n" * 5_000_000):
        with pytest.raises(UserError, match="^--set .* the longest allowed has"):
            load_config("lab", [f"{key}b=1"])


def test_no_text_of_a_suite_or_a_study_is_without_end(tmp_path):
    path, endless = tmp_path / "a.toml", "x" * 5_000_000
    for key in ("title", "version", "metric", "label", "filter"):
        path.write_text(re.sub(rf'(?m)^{key} = ".*"$', f'{key} = "{endless}"', SUITE))
        with pytest.raises(UserError, match=f"{key}.*at most"):
            load_suite(str(path))
    path.write_text(f"title='{endless}'\nquestion='q'\nobjectives='space'\niterations=1\nseeds=[0]\n")
    with pytest.raises(UserError, match="title.*at most"):
        load_study(str(path))


def test_long_lists_are_counted_instead_of_printed():
    assert _format_list([0, 1, 2]) == "0, 1, 2"
    assert _format_list(range(1000)).endswith("48, 49, … (1,000 in all)")  # type: ignore[arg-type]


def test_the_ticks_of_many_iterations_can_be_read():
    with house_style():
        axis = make_drawing(1, 1, 1.0).axes[0]
        iteration_axis(axis, 5)
        assert [text.get_text() for text in axis.get_xticklabels()] == ["start", "0", "1", "2", "3", "4"]
        iteration_axis(axis, 10_000)
        assert [text.get_text() for text in axis.get_xticklabels()][:3] == ["start", "400", "800"]
        assert len(axis.get_xticks()) == 25


def test_a_studys_arms_are_not_looked_for_again(monkeypatch, tmp_path):
    """The label of what an arm or a contrast names follows from how it is typed: no objective is looked for, none is read."""
    names = [f"spin:beta={i}" for i in range(1, 301)]
    arms = "\n".join(f'[[arm]]\nvariant = "{name}"\nnote = "n"' for name in names)
    head = f'title = "t"\nquestion = "q"\nobjectives = "{",".join(names)}"\niterations = 1\nseeds = [0]\n'
    (tmp_path / "a.toml").write_text(head + arms)
    monkeypatch.setattr(variants, "find_objective", lambda *_: pytest.fail("it was looked for"))
    study = load_study(str(tmp_path / "a.toml"))
    config = command.study_config(study, study.variants(), command.StudyArguments())
    command.check_variants(study, config)
    assert len(command.study_record(study, config, {})["arms"]) == 300
