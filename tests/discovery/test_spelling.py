"""The language of variants: what is typed, labels, and errors that say where; a label is nothing that a trial depends on."""

import json
import shutil

import pytest

from harness.discovery.spelling import parse_spellings
from harness.discovery.variants import parse_variants, split_variants
from harness.errors import UserError
from tests.conftest import SMALL_RECIPE, read_csv_rows, run_cli_in_process

TYPED = """space , spin:beta=0.1|5.0:training.lr=1e-4 as "SPIN, beta 0.5",sft:data.examples=300 as 'the "baseline"', """


def test_a_list_of_variants_is_split_at_commas_outside_of_labels():
    found = [(s.name, dict(s.settings), s.label, s.unlabelled) for s in parse_spellings(TYPED)]
    assert found == [
        ("space", {}, None, "space"),
        ("spin", {"beta": [0.1, 5.0], "training.lr": 1e-4}, "SPIN, beta 0.5", "spin:beta=0.1|5.0:training.lr=1e-4"),
        ("sft", {"data.examples": 300}, 'the "baseline"', "sft:data.examples=300"),
    ]
    assert split_variants(TYPED)[2] == """sft:data.examples=300 as 'the "baseline"'"""
    labels = [(v.label, v.shown_as) for v in parse_variants(TYPED)]
    assert labels == [("space", None), ("spin-beta0.1_5.0-lr0.0001", "SPIN, beta 0.5"), ("sft-examples300", 'the "baseline"')]


def test_a_word_of_a_path_is_no_label():
    assert [s.name for s in parse_spellings("./save as me.py,./a as b/c.py")] == ["./save as me.py", "./a as b/c.py"]


def test_a_setting_that_is_added_stands_before_the_label_which_says_it():
    (spelling,) = parse_spellings('spin:beta=0.5 as "SPIN, beta 0.5"')
    (again,) = parse_spellings(spelling.with_setting("training.lr", "1e-4"))
    assert (again.unlabelled, again.label) == ("spin:beta=0.5:training.lr=1e-4", "SPIN, beta 0.5, lr 1e-4")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('space,spin as "a', 'at character 15, a quotation mark that is never closed: "a'),
        ("space,spin as SPIN", "at character 12, expected a label in quotation marks behind `as`, for example: spin:beta=0.5 as"),
        ("spin as", "at character 6, expected a label"),
        ('spin as "a" b', "at character 12, expected a comma behind the label \"a\", found 'b'"),
        ('space, as "a"', "at character 8, a label without a variant before it"),
        ('spin as ""', "at character 10, the label '' is empty"),
        ('spin as "=1+1"', "at character 10, the label '=1+1' does not begin with a letter or a digit"),
        ('spin as "initial"', "is the name of a folder or table of every run"),
        (f'spin as "{"x" * 41}"', "has 41 characters, more than the 40"),
        ('spin as "a\u202eb"', "holds a control or an invisible character"),
        ("space,spin:mu", 'spin:mu: at character 12, "mu" is not key=value, for example spin:training.lr=1e-4'),
        ("spin:mu=1:mu=2", "mu is given twice, again at character 11; leave one out"),
        ('spin as "a",space as "a"', 'two variants are shown as "a"; give one of them another label'),
        ('spin as "space",space', 'two variants are shown as "space"'),
        ('spin,spin as "b"', 'names "spin" twice'),
    ],
)
def test_a_mistake_is_one_line_with_its_place(text, message):
    with pytest.raises(UserError) as raised:
        parse_variants(text)
    assert message in str(raised.value) and str(raised.value).startswith("--objectives")


def test_another_label_computes_nothing_and_is_shown_everywhere(played_copy):
    """The lab's two objectives, first without labels, then with: phases stay as they are, to the byte."""
    run = played_copy / "results" / "small"
    before = {path: path.stat().st_mtime_ns for path in run.rglob("manifest.json")}
    labelled = 'space as "Ours, 50%_x",spin'
    said = run_cli_in_process("run", "--recipe", SMALL_RECIPE, "--objectives", labelled, cwd=played_copy)
    assert "0 phases to do" in said.stdout and "Ours, 50%_x" in said.stdout
    assert {path: path.stat().st_mtime_ns for path in run.rglob("manifest.json")} == before
    assert json.loads((run / "run.json").read_text())["variants"]["space"]["shown_as"] == "Ours, 50%_x"
    for name in ("scores.csv", "training.csv", "tables/leaderboard.csv", "tables/stability.csv", "tables/cost.csv"):
        objectives = {row["objective"] for row in read_csv_rows(run / name)}
        assert {"Ours, 50%_x", "spin"} <= objectives and "space" not in objectives, name
    assert r"Ours, 50\%\_x & 0" in (run / "tables" / "leaderboard_full.tex").read_text()
    assert "Ours, 50%_x" in (played_copy / "reports" / "small.html").read_text()
    pushed = run_cli_in_process("push", "small", "Ours, 50%_x", cwd=played_copy)
    assert "nothing uploaded" in pushed.stdout

    # without a label, every view is as it was
    shutil.rmtree(run / "tables")
    run_cli_in_process("run", "--recipe", SMALL_RECIPE, cwd=played_copy)
    assert {row["objective"] for row in read_csv_rows(run / "tables" / "leaderboard.csv")} == {"initial", "space", "spin"}

    clash = run_cli_in_process("run", "--recipe", SMALL_RECIPE, "--objectives", 'space as "spin"', cwd=played_copy, check=False)
    assert clash.returncode == 1 and 'space would be shown as "spin", as spin of this run is' in clash.stderr
