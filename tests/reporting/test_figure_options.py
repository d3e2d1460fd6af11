"""What a user chooses of one command's figures is in them, is recorded with them, and does not reach the next command's."""

import json

import pytest

from harness.commands.run import write_views
from harness.errors import UserError
from harness.reporting.figures.options import DEFAULT, figure_options
from harness.reporting.figures.stale import figures_choice, remove_stale, write_choice
from harness.store.run_folder import RunFolder

CHOSEN = {"palette": "grey", "theme": "dark", "font": "serif", "title": "My title", "widths": [4.5]}


@pytest.mark.slow
def test_options_are_used_and_recorded_once_and_the_next_command_has_its_own(run, tmp_path):
    folder, pdf, said = RunFolder(run), tmp_path / "r.pdf", []
    write_views(folder, pdf, said.append)
    before = {path.name: path.read_bytes() for path in (run / "plots").iterdir()}
    provenance = (tmp_path / "r/provenance.json").read_text()
    (run / "plots/mine.pdf").write_text("the user's")
    options = figure_options(**CHOSEN)
    write_views(folder, pdf, said.append, options)
    svg = (run / "plots/stability_curves.svg").read_text()
    assert "<!-- My title -->" in svg and "#15181d" in svg and "DejaVuSerif" in svg and "#747474" not in svg
    assert {f"{stem}.pdf" for stem in ("stability_curves-4.5", "tasks-4.5in")} <= {
        path.name for path in (run / "plots").iterdir()
    }
    assert json.loads((tmp_path / "r/provenance.json").read_text())["figures"] == options.as_typed()
    assert "figures drawn with" in (tmp_path / "r.html").read_text()
    assert said == []
    write_views(folder, pdf, said.append)
    (note,) = said
    assert note.endswith(f"harness report {run.name} {options.as_typed()}")
    after = {path.name: path.read_bytes() for path in (run / "plots").iterdir()}
    assert after.pop("mine.pdf") == b"the user's" and after == before, "the usual figures, to the byte"
    assert (tmp_path / "r/provenance.json").read_text() == provenance


def test_a_choice_is_read_as_it_was_written_and_a_damaged_one_is_told(tmp_path):
    options = figure_options(**CHOSEN)
    write_choice(tmp_path, options)
    assert figures_choice(tmp_path) == options
    (tmp_path / "options.json").write_text('{"widths": [], "font": 3, "palette_name": "grey", "theme": "dark", "title": null}')
    with pytest.raises(UserError, match="options.json: damaged"):
        figures_choice(tmp_path)
    (tmp_path / "options.json").write_text("[]")
    with pytest.raises(UserError, match="options.json: damaged"):
        figures_choice(tmp_path)
    write_choice(tmp_path, DEFAULT)
    assert figures_choice(tmp_path) == DEFAULT and list(tmp_path.iterdir()) == []


def test_figures_that_no_longer_belong_to_the_run_go_and_a_users_stay(tmp_path):
    stale = ["study.svg", "tasks-2.png", "drift-4.5in.pdf", "training-3-4in.svg", "stability_curves-4.points.json"]
    kept = ["stability_curves.svg", "stability_curves.points.json", "mine.pdf", "tasks.txt", "tasks-final.pdf"]
    for name in (*stale, *kept):
        (tmp_path / name).write_text("")
    remove_stale(tmp_path, {"stability_curves.svg"})
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(kept)
