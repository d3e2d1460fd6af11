"""`harness.open_run`: the numbers of the csv files, from the committed small files alone, and the command line's refusals."""

import json
import re
import shutil
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

import harness
from harness.analysis.frames import select
from harness.analysis.text_columns import read_table
from harness.errors import UserError
from harness.security.escaping import to_csv_text
from tests.conftest import ROOT, run_cli_in_process
from tests.helpers.damage import flip

REFERENCE = ROOT / "results" / "lab-reference"
FILES = {
    "scores": "scores.csv", "training": "training.csv", "dynamics": "dynamics.csv", "leaderboard": "tables/leaderboard.csv",
    "stability": "tables/stability.csv", "comparisons": "tables/comparisons.csv", "collapse": "tables/collapse.csv",
    "costs": "tables/cost.csv",
}  # fmt: skip


@pytest.fixture(scope="module")
def small_files_alone(tmp_path_factory):
    """What a clone needs: run.json and facts/, no table and no figure."""
    folder = tmp_path_factory.mktemp("clone") / "results" / "lab-reference"
    folder.mkdir(parents=True)
    shutil.copy(REFERENCE / "run.json", folder)
    shutil.copytree(REFERENCE / "facts", folder / "facts")
    return folder


@pytest.fixture(scope="module")
def opened(small_files_alone):
    return harness.open_run("lab-reference", results=small_files_alone.parent)


def test_importing_the_package_loads_no_library_and_takes_less_than_50_ms():
    program = (
        "import sys, time; before = set(sys.modules); start = time.process_time(); import harness; "
        "spent = time.process_time() - start; new = sorted(set(sys.modules) - before); "
        "assert {'run', 'open_run', 'Run', 'UserError'} <= set(dir(harness)); print(spent); print(*new)"
    )
    lines = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT
    ).stdout.splitlines()
    assert float(lines[0]) < 0.05
    assert [name for name in lines[1].split() if name.startswith("harness.")] == []
    assert {"numpy", "pandas", "torch", "pydantic", "typer"} & set(lines[1].split()) == set()


@pytest.mark.parametrize("name", FILES)
def test_a_table_is_the_csv_file_though_only_the_small_files_are_here(opened, name, tmp_path):
    """To the last digits of a p, which depend on the processor."""
    written = tmp_path / FILES[name].rpartition("/")[2]
    written.write_text(to_csv_text(getattr(opened, name)), encoding="utf-8")
    pd.testing.assert_frame_equal(read_table(written), read_table(REFERENCE / FILES[name]), rtol=1e-9)


def test_a_table_is_a_copy(opened):
    table = opened.scores
    table["value"] = 0.0
    assert opened.scores["value"].max() > 0.5


def test_items_are_what_a_score_is_the_mean_of_and_samples_what_drift_is_measured_on(opened):
    means = opened.items.groupby(["objective", "iteration", "task"])["value"].agg(["mean", "size"])
    for row in opened.scores.to_dict("records"):
        mean, size = means.loc[(row["objective"], row["iteration"], row["task"])]
        assert (mean, size) == (pytest.approx(row["value"]), row["n"])
    samples = opened.samples
    assert samples.groupby(["objective", "iteration"]).size().eq(8).all(), "the small files hold eight prompts"
    assert samples["logp"].lt(0).all() and samples["tokens"].gt(0).all()
    assert samples.groupby("example_id")["prompt"].nunique().eq(1).all()


def test_a_comparison_is_the_paired_difference_of_the_items(opened):
    table = opened.compare("space", "spin").set_index("task")
    last = select(opened.items, iteration=opened.iterations - 1)
    by_item = last.pivot(index=["task", "item"], columns="objective", values="value")
    differences = (by_item["space"] - by_item["spin"]).groupby("task", sort=False).mean()
    for task, expected in differences.items():
        assert table.loc[task, "difference"] == pytest.approx(expected)
        assert table.loc[task, "items"] == len(by_item.loc[task])
    assert table.loc["mean", "difference"] == pytest.approx(differences.mean())
    assert table.loc["mean", "low"] < table.loc["mean", "difference"] < table.loc["mean", "high"]
    assert table.loc["mean", "p_holm"] == table.loc["mean", "p"], "one pair needs no adjustment"
    swapped = opened.compare("spin", "space").set_index("task")
    np.testing.assert_allclose(swapped["difference"], -table["difference"])


def test_any_two_iterations_can_be_compared(opened):
    row = opened.compare("space@1", "initial").iloc[0]
    assert (row["a"], row["iteration_a"], row["b"], row["iteration_b"]) == ("space", 1, "initial", -1)
    board = opened.leaderboard.set_index(["objective", "iteration"])["mean"]
    assert row["difference"] == pytest.approx(board["space", 1] - board["initial", -1])


def test_the_figure_is_the_leaderboards_curves_on_axes_to_restyle(opened, tmp_path):
    ax = opened.plot_stability()
    lines = {line.get_label(): line for line in ax.get_lines()} | {c.get_label(): c.lines[0] for c in ax.containers}
    for objective in opened.objectives:
        rows = select(opened.leaderboard, objective=["initial", objective])
        np.testing.assert_allclose(lines[objective.upper()].get_ydata().astype(float), 100 * rows["mean"].astype(float))
    ax.set_title("Mine")
    ax.figure.savefig(tmp_path / "mine.svg")
    assert (tmp_path / "mine.svg").stat().st_size > 5000


def test_the_figure_can_be_drawn_into_the_users_own(opened):
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure()
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2)
    assert opened.plot_stability(right) is right
    assert len(right.containers) == len(opened.objectives) and not left.containers


def test_the_table_to_paste_is_the_committed_file(opened):
    assert opened.table("latex") == (REFERENCE / "tables/leaderboard.tex").read_text()
    assert opened.table("markdown") == (REFERENCE / "tables/leaderboard.md").read_text()
    assert opened.table("csv") == (REFERENCE / "tables/leaderboard.csv").read_text()


@pytest.mark.parametrize(
    ("ask", "line"),
    [
        (lambda run: run.compare("space", "spn"), 'has no objective "spn" (did you mean "spin"?)'),
        (lambda run: run.compare("space@9", "spin"), "space@9: expected an iteration from 0 to 4, or last"),
        (lambda run: run.table("html"), 'table format "html": expected latex, markdown or csv'),
        (lambda run: run.plot_stability(panel=3), "panel 3: expected 0"),
    ],
)
def test_what_a_run_does_not_have_is_one_line(opened, ask, line):
    with pytest.raises(harness.UserError, match=r"^.+$") as error:
        ask(opened)
    assert line in str(error.value) and "\n" not in str(error.value)


def test_a_run_that_the_command_line_refuses_is_refused_in_its_words(small_files_alone, tmp_path):
    folder = tmp_path / "results" / "lab-reference"
    shutil.copytree(small_files_alone, folder)

    def refused():
        with pytest.raises(harness.UserError) as error:
            harness.open_run("lab-reference", results="results").scores  # noqa: B018 (reading is what raises)
        return f"harness: {error.value}\n"

    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path)
        with pytest.raises(harness.UserError, match="did you mean"):
            harness.open_run("lab-referenc", results="results")
        flip(folder / "facts" / "space" / "seed-0.jsonl.xz")
        assert run_cli_in_process("report", "lab-reference", cwd=tmp_path, check=False).stderr == refused()
        record = json.loads((folder / "run.json").read_text())
        (folder / "run.json").write_text(json.dumps({**record, "seeds": []}))
        assert run_cli_in_process("report", "lab-reference", cwd=tmp_path, check=False).stderr == refused()


def test_the_examples_of_the_docs_run(tmp_path, monkeypatch):
    """Those that read; the one that plays is `tests/api/test_running.py`'s."""
    page = (ROOT / "harness" / "docs" / "python.md").read_text(encoding="utf-8")
    reading = [
        text for text in re.findall(r"^```python\n(.*?)^```", page, re.MULTILINE | re.DOTALL) if "harness.run(" not in text
    ]
    assert len(reading) == 2
    (tmp_path / "results").symlink_to(ROOT / "results")
    monkeypatch.chdir(tmp_path)
    names = {}
    for text in reading:
        exec(text, names)
    assert (tmp_path / "curves.pdf").read_bytes().startswith(b"%PDF") and names["both"].settings == [
        ("objective", "space", "spin")
    ]


def test_a_figure_has_the_width_palette_and_theme_that_it_is_asked_for(opened):
    ax = opened.plot_stability(width=3.25, palette="grey", theme="dark", title="Mine", font="serif")
    assert ax.figure.get_figwidth() == 3.25 and ax.figure.get_suptitle() == "Mine"
    assert ax.figure.get_facecolor()[:3] == pytest.approx((0x15 / 255, 0x18 / 255, 0x1D / 255))
    for options, said in (({"palette": "x"}, "--palette"), ({"font": "x y"}, "--font"), ({"width": 0.1}, "--figure-width")):
        with pytest.raises(UserError, match=said):
            opened.plot_stability(**options)
    with pytest.raises(UserError, match="width and theme"):
        opened.plot_stability(ax, width=3.0)
