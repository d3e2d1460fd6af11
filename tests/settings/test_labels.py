"""Names and labels that become csv cells begin no formula of a spreadsheet, whichever file or option gives them."""

import pytest

from harness.commands.run import named_run
from harness.discovery.variants import parse_variants
from harness.errors import UserError
from harness.loop.study import load_study
from harness.loop.suite import load_suite
from tests.helpers.broken import OBJECTIVE, SUITE

STUDY = """title = "t"\nquestion = "q"\nobjectives = "space"\niterations = 1\nseeds = [0]
[[arm]]\nvariant = "space"\nnote = "n"\n[[contrast]]\nquestion = "w"\na = "space@0"\nb = "space@last"\n"""


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "＝", "＋", "－", "＠", " =", "\\t@"])
def test_no_name_or_label_begins_a_formula(start, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.toml").write_text(SUITE)
    load_suite("./a.toml")  # as it stands it is right
    for key in ("label", "metric", "filter", "version", "name"):
        old = next(line for line in SUITE.splitlines() if line.startswith(f"{key} ="))
        (tmp_path / "a.toml").write_text(SUITE.replace(old, f'{key} = "{start}x"', 1))
        with pytest.raises(UserError, match=f"{key}: .*(formula|beginning with a letter)"):
            load_suite("./a.toml")
    (tmp_path / "s.toml").write_text(STUDY)
    load_study("./s.toml")
    for key, value in (("note", "n"), ("question", "w")):
        (tmp_path / "s.toml").write_text(STUDY.replace(f'{key} = "{value}"', f'{key} = "{start}{value}"'))
        with pytest.raises(UserError, match=f"{key}: .*formula"):
            load_study("./s.toml")
    start = start.replace("\\t", "\t")
    with pytest.raises(UserError, match="--name .*beginning with a letter"):
        named_run(f"{start}x", tmp_path)
    (tmp_path / f"{start}x.toml").write_text(SUITE)
    with pytest.raises(UserError, match="rename the file"):
        load_suite(f"./{start}x.toml")
    (tmp_path / f"{start}x.py").write_text(OBJECTIVE)
    with pytest.raises(UserError, match="names folders: .*beginning with a letter"):
        parse_variants(f"./{start}x.py")
