"""A study's own figure: the kind its file declares, showing what the study's tables say, readable at every width."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from harness.analysis.facts import RunResults
from harness.errors import UserError
from harness.loop.study import load_study
from harness.reporting.figures.stability.compose import WIDTHS_INCHES
from harness.reporting.figures.study.differences import differences_caption, differences_figure
from harness.reporting.figures.study.first import figure_kind, study_figure_caption, study_figure_name
from harness.reporting.figures.study.pairs import arms_with_scores, pairs_figure
from harness.reporting.figures.study.rates import is_tied, rates_caption, rates_figure
from harness.reporting.figures.study.tokens import token_paths, tokens_figure
from harness.reporting.figures.style import house_style
from tests.conftest import ROOT
from tests.helpers import study_tables as tables
from tests.helpers.figure_texts import covered, outside

MANY_PEAKS = {name: [50 + n, 60 + n, 70 + n, 65, 40] for n, name in enumerate(tables.MANY)}
MANY_ARMS = [
    (f"sft-{n}", "sft", f"an arm with a rather long note, number {n}", 100 * (n % 5 + 1), 60.0 + n, 1e6 * (n + 1))
    for n in range(16)
]
THREE = {name: name for name in ("space", "spin", "tspin")}


def rates(width, peaks=tables.PEAKS):
    return rates_figure(tables.chosen(peaks), "last", tables.looks_of(tables.chosen_variants(peaks)), width)


def pairs(width, arms=tables.ARMS):
    return pairs_figure(tables.arms(arms), 4, 1173, tables.looks_of(tables.arm_variants(arms)), width)


def tokens(width):
    return tokens_figure(*tables.played(), tables.looks_of(dict.fromkeys([arm[0] for arm in tables.MU_ARMS], "space")), width)


FIGURES = {
    "rates": rates,
    "pairs": pairs,
    "tokens": tokens,
    "differences": lambda width: differences_figure(tables.comparisons(), tables.looks_of(THREE), width),
    "many rates": lambda width: rates(width, MANY_PEAKS),
    "many arms": lambda width: pairs(width, MANY_ARMS),
}


@pytest.mark.parametrize("width", WIDTHS_INCHES)
@pytest.mark.parametrize("kind", FIGURES)
def test_no_text_is_cut_or_covers_another(kind, width):
    with house_style():
        plot = FIGURES[kind](width)
        plot.finish()
        assert outside(plot.figure) == [] and covered(plot.figure) == []


def test_each_study_that_ships_declares_its_figure():
    kinds = {path.stem: load_study(path.stem).figure for path in (ROOT / "harness/studies").glob("*.toml")}
    assert kinds == {"lr": "rates", "lr-from-sft": "rates", "data": "pairs", "mu": "tokens", "resample": "differences",
                     "stability": None, "stability-from-sft": None}  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "lacking"), [("rates", "grid"), ("pairs", "arm"), ("tokens", "arm"), ("differences", "contrast")]
)
def test_a_study_has_what_its_figure_shows(kind, lacking, tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(f'title = "t"\nquestion = "q"\nobjectives = "space"\niterations = 1\nseeds = [0]\nfigure = "{kind}"\n')
    with pytest.raises(UserError, match=f"figure {kind} shows the study's {lacking}, of which it has none"):
        load_study(str(path))
    path.write_text(path.read_text().replace(kind, "pie"))
    with pytest.raises(UserError, match="figure"):
        load_study(str(path))


def test_ties_are_those_within_the_best_ones_error():
    table = tables.chosen({"sft": [90.0, 94.0, 95.0, 93.8, None]})  # ± 1.1
    rows = table.dropna(subset="validation_last")
    assert is_tied(rows, "last").tolist() == [False, True, True, False]
    assert is_tied(rows, "best").tolist() == [False, False, True, False], "of a best iteration no error is known"


def test_the_chosen_value_is_ringed_and_an_edge_is_named():
    with house_style():
        plot = rates_figure(tables.chosen(), "last", tables.looks_of(tables.chosen_variants()))
    rings, edges = {}, {}
    for axis in plot.axes:
        name = axis.get_title(loc="left")
        rings[name] = [line.get_xdata()[0] for line in axis.get_lines() if line.get_markersize() == 9.5]
        edges[name] = [text.get_text() for text in axis.texts]
    assert rings == {"SFT": [1e-3], "SPACE": [3e-3], "SPIN": [3e-4], "T-SPIN": [3e-4], "S-IPO": [3e-4], "S-SimPO": [3e-5]}
    assert [name for name, said in edges.items() if said == ["edge"]] == ["SPACE", "S-SimPO"]
    said = rates_caption(tables.chosen(), "last")
    assert "space, ssimpo" in said and "3 seed(s)" in said and "chosen.csv" in said and "standard error" in said


def test_arms_stand_at_their_pairs_and_their_compute():
    rows = arms_with_scores(tables.arms(), 4, tables.looks_of(tables.arm_variants()))
    assert rows["mean"].is_monotonic_decreasing and rows["number"].tolist() == list(range(1, 9))
    assert rows["high"].tolist() == pytest.approx((rows["mean"] + 1.8).tolist())
    with house_style():
        plot = pairs_figure(tables.arms(), 4, 1173, tables.looks_of(tables.arm_variants()))
    left, right, *_ = plot.axes
    assert [label.get_text() for label in left.get_xticklabels()] == ["300", "600", "1,173"], "an arm without a number takes all"
    drawn = sorted(float(line.get_xdata()[0]) for line in right.get_lines() if line.get_marker() not in (None, "None", ""))
    assert drawn == sorted(tables.arms()["token_passes"].tolist()) and right.get_xscale() == "log"


def test_without_a_score_there_is_no_figure():
    empty = tables.arms().assign(mean_iteration_4=np.nan)
    looks = tables.looks_of(tables.arm_variants())
    with house_style():
        assert pairs_figure(empty, 4, 1173, looks) is None
        assert rates_figure(tables.chosen({"sft": [None] * 5}), "last", looks) is None
        assert differences_figure(tables.comparisons(()), looks) is None


def test_tokens_are_those_up_to_the_iteration_of_a_seed():
    """mu 7, K 7: 4.0 x 600 k tokens an iteration, evaluation not counted."""
    arms, board, costs = tables.played()
    path = token_paths(arms, board, costs)["space-mu7"]
    assert path["tokens"].tolist() == pytest.approx([2.4e6, 4.8e6, 7.2e6])
    assert (path["high"] - path["mean"]).tolist() == pytest.approx([2.0] * 3)


def test_the_forest_holds_the_studys_questions_alone():
    looks = tables.looks_of({name: name for name in ("space", "spin", "tspin")})
    with house_style():
        plot = differences_figure(tables.comparisons(), looks)
    (axis,) = plot.axes
    values = [line.get_xdata()[0] for line in axis.get_lines() if line.get_marker() not in (None, "None", "")]
    assert values == pytest.approx([1.9, 2.3, -2.7])
    assert any("p < .001" in text.get_text() for text in axis.texts)
    assert "5 seed(s)" in differences_caption(tables.comparisons(), list(looks), "n = 7")


def test_page_1_shows_the_studys_figure_where_it_is_written_and_else_the_stability_figure(tmp_path):
    def run(study, root=tmp_path, tasks=(1,)):
        return SimpleNamespace(study=study, root=root, averaged_tasks=list(tasks))

    assert figure_kind(run({})) is None and figure_kind(run({"grid": {"key": "lr"}})) == "rates"
    assert study_figure_name(run({"figure": "pairs"})) == "stability_curves", "not drawn yet"
    (tmp_path / "plots").mkdir()
    (tmp_path / "plots/study.svg").write_text("")
    assert study_figure_name(run({"figure": "pairs"})) == "study"
    assert study_figure_name(run({})) == "stability_curves" and study_figure_name(run({}, tasks=())) is None


def test_the_caption_of_a_run_without_a_study_is_the_stability_figures():
    caption = study_figure_caption(RunResults(ROOT / "results" / "lab-reference"))
    assert caption.startswith("a: mean over the tasks") and "items per task" in caption and "leaderboard.csv" in caption


def test_values_of_pandas_integers_are_no_trouble():
    assert isinstance(tables.arms()["pairs"].dtype, pd.Int64Dtype)
