"""Tables for a paper: no wider than its text, marked as the tests say, valid LaTeX and BibTeX whatever a label says."""

import copy
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import harness
from harness.analysis.facts import RunResults
from harness.analysis.frames import select
from harness.reporting.tables.bibliography import HARNESS, as_bibtex
from harness.reporting.tables.latex import TABLES, latex_table
from harness.reporting.tables.latex.text_width import text_width
from harness.reporting.tables.markdown import as_markdown
from harness.reporting.tables.precision import as_written
from harness.reporting.tables.run_tables import RunTables
from tests.conftest import ROOT
from tests.reporting.conftest import only

SIX = ROOT / "results" / "reference" / "study-stability"
ONE_SEED = ROOT / "results" / "lab-reference"
PAPER_WIDTH = 5.5 * 72  # pt
FLOATS = [name for name in TABLES if name != "leaderboard_full"]
HOSTILE = r"a_b & 50% #1 {x} \input{y} ~^ $z$"
LABELS = [HOSTILE, "[1ex]", "* b", r"\\", r"{\bf é <|> 中 % β ≤ Ω", "x" * 300]  # one for each objective


@pytest.fixture(scope="module")
def six():
    """Six objectives, five seeds, ten tasks."""
    return RunTables(RunResults(SIX))


def relabelled(tables, rename, copies=1):
    """The same run with other labels, and `copies` of every objective."""
    results = copy.copy(tables.results)  # with all it has read
    made, record = RunTables(results), dict(results.record)
    results.record = record
    labels = {label: [rename(label, n) for n in range(copies)] for label in record["variants"]}
    record["variants"] = {new: {**entry, "folder": old} for old, entry in record["variants"].items() for new in labels[old]}
    for name in ("leaderboard", "ranking", "comparisons", "stability"):
        table = getattr(tables, name)
        columns = ["a", "b"] if name == "comparisons" else ["objective"]
        parts = []
        for n in range(copies):
            part = table.copy()
            for column in columns:
                part[column] = [labels[label][n] if label in labels else label for label in part[column]]
            parts.append(part if n == 0 or "objective" not in part else part[part["objective"] != "initial"])
        made.__dict__[name] = pd.concat(parts, ignore_index=True)
    return made


# ---------------------------------------------------------------- reading LaTeX


def cells_of(line):
    return re.split(r"(?<!\\)&", line.removesuffix(r"\\"))


def tabulars(text):
    """Of every tabular: its alignment, its gap and its rows of cells."""
    pattern = r"\\setlength{\\tabcolsep}{([\d.]+)pt}%\n\\begin{(tabular|longtable)}{(.*?)}\n(.*?)\\end{\2}"
    for gap, _, alignment, body in re.findall(pattern, text, re.DOTALL):
        lines = [line for line in body.splitlines() if "&" in line and not line.startswith(r"\caption")]
        yield float(gap), alignment, [cells_of(line) for line in lines]


def metrics(name):
    import matplotlib

    text = (Path(matplotlib.get_data_path()) / "fonts" / "afm" / f"{name}.afm").read_text()
    return {chr(int(code)): float(width) for code, width in re.findall(r"C (\d+) ; WX ([\d.]+) ;", text)}


def width_in_times(cell, size, metrics_by_style):
    """Of a printed cell in pt; turned text is as wide as a line is high."""
    if r"\rotatebox" in cell:
        return size
    cell = cell.replace("$-$", "+").replace(r"$\pm$", "+").replace(r"\textless{}", "<").replace(r"\textgreater{}", ">").strip()
    bold = "".join(re.findall(r"\\textbf{(.*?)}", cell))
    plain = re.sub(r"\\underline{(.*?)}", r"\1", re.sub(r"\\textbf{.*?}", "", cell))
    styles = zip((plain, bold), metrics_by_style, strict=True)
    return size * sum(widths.get(c, 750) for part, widths in styles for c in part) / 1000


def total_width(text):
    """The widest tabular, in Times."""
    styles = metrics("ptmr8a"), metrics("ptmb8a")
    size = float(re.search(r"\\fontsize{([\d.]+)}.*\\tabcolsep", text)[1])
    widths = []
    for gap, alignment, rows in tabulars(text):
        fixed = [float(width) for width in re.findall(r"p{(\d+)pt}", alignment)]
        columns = list(zip(*rows, strict=True))
        wide = [max(width_in_times(cell, size, styles) for cell in column) for column in columns]
        wide[: len(fixed)] = fixed
        widths.append(sum(wide) + 2 * gap * len(wide))
    return max(widths)


def assert_balanced(text):
    """Braces, and environments closed in the order they were opened."""
    bare = re.sub(r"\\[\\{}%]", "", re.sub(r"(?m)(?<!\\)%.*$", "", text.replace(r"\\", "")))
    depth = np.cumsum([1 if c == "{" else -1 if c == "}" else 0 for c in bare])
    assert depth.min() >= 0 and depth[-1] == 0
    opened = []
    for kind, name in re.findall(r"\\(begin|end){(\w+)}", bare):
        if kind == "begin":
            opened.append(name)
        else:
            assert opened.pop() == name
    assert opened == []


# ---------------------------------------------------------------- width


def test_the_estimate_is_never_below_the_metrics_of_times_and_computer_modern():
    for font in ("ptmr8a", "cmr10"):
        widths = metrics(font)
        letters = "0123456789.,[]()+:ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
        assert [c for c in letters if c in widths and text_width(c, 1000) < widths[c] - 0.5] == [], font


@pytest.mark.parametrize("name", FLOATS)
def test_six_objectives_on_ten_tasks_fit_the_text_of_a_paper(six, name):
    text = latex_table(six, name)
    assert total_width(text) <= PAPER_WIDTH and float(re.search(r"\\fontsize{([\d.]+)}", text)[1]) >= 7


@pytest.mark.parametrize("name", FLOATS)
@pytest.mark.parametrize("rename", [lambda label, n: f"{label}, lr {n}e-4", lambda label, n: f"a long name of {label} {n} " * 4])
def test_twelve_variants_with_long_names_fit_too(six, name, rename):
    twelve = relabelled(six, rename, copies=2)
    text = latex_table(twelve, name)
    assert total_width(text) <= PAPER_WIDTH
    (rows, *_) = [rows for _, _, rows in tabulars(text)]
    assert len(rows) >= 12


def test_every_iteration_fits_a_page_in_landscape(six):
    text = latex_table(six, "leaderboard_full")
    (rows,) = [rows for _, _, rows in tabulars(text)]
    assert total_width(text) <= 9 * 72 and len(rows) == 2 + 1 + 6 * 5  # the head twice, the start


# ---------------------------------------------------------------- what it says


def test_bold_is_the_best_and_underlined_what_holms_p_does_not_tell_from_it(six):
    text = latex_table(six, "leaderboard")
    ((_, _, rows),) = tabulars(text)
    printed = {row[0].strip(): row for row in rows}
    names = dict(zip(six.results.variants, ("SFT", "SPACE", "SPIN", "T-SPIN", "S-IPO", "S-SimPO"), strict=True))
    last = select(six.leaderboard, iteration=4).set_index("objective")
    columns = {"mean": 1} | {row["name"]: 3 + i for i, row in enumerate(six.results.suite["task"])}
    for column, place in columns.items():
        best = last[column].idxmax()
        for label, name in names.items():
            cell = printed[name][place]
            if last.loc[label, column] > last.loc[best, column] - 1e-9:
                assert r"\textbf{" in cell, (name, column)
                continue
            pair = six.comparisons[(six.comparisons["task"] == column) & (six.comparisons["iteration_b"] == 4)]
            pair = pair[((pair["a"] == best) & (pair["b"] == label)) | ((pair["b"] == best) & (pair["a"] == label))]
            assert (r"\underline{" in cell) == (pair["p_holm"].item() >= 0.05), (name, column)
            assert r"\textbf" not in cell
    assert r"\underline" in "".join(printed["T-SPIN"]) and r"\underline" not in printed["S-SimPO"][1]


def test_means_stand_with_their_interval_and_the_gain_and_the_note_says_n(six):
    text = latex_table(six, "leaderboard")
    row = only(six.leaderboard, objective="space", iteration=4)
    shown = "{:.1f}}} [{:.1f}, {:.1f}]".format(*(100 * row[c] for c in ("mean", "mean_low", "mean_high")))
    assert shown in text
    gain = only(six.ranking, objective="space")
    assert "+{:.1f} [{:.1f}, {:.1f}]".format(*(100 * gain[c] for c in ("gain", "gain_low", "gain_high"))) in text
    assert "n = 400 items per task in 39 to 126 clusters, 5 seeds." in text and "One seed" not in text
    assert r"\label{tab:study-stability-leaderboard}" in text and r"\caption{Mean over the 10 tasks" in text
    assert text.startswith(r"% needs \usepackage{booktabs, graphicx}")


def test_one_seed_has_the_error_of_items_and_says_that_seeds_are_in_none():
    tables = RunTables(RunResults(ONE_SEED))
    text = latex_table(tables, "leaderboard")
    assert r"\textbf{95.3} $\pm$ 0.6" in text and "One seed: how another training would end is in no error." in text
    assert "over items and seeds" not in text


# ---------------------------------------------------------------- strangers' text


@pytest.fixture(scope="module")
def strange(six):
    return relabelled(six, lambda old, n: LABELS[list(six.results.variants).index(old)])


@pytest.mark.parametrize("name", TABLES)
def test_a_label_is_text_whatever_it_says(strange, name):
    text = latex_table(strange, name)
    assert_balanced(text)
    assert r"\input" not in text.replace(r"\textbackslash{}input", "") and r"\bf" not in text.replace(r"\textbackslash{}bf", "")
    for _, alignment, rows in tabulars(text):
        columns = len(re.findall(r"[lr]|p{", re.sub(r">{.*?}(?=p)|@{}|pt", "", alignment)))
        assert {len(row) for row in rows} == {columns}
    assert not re.search(r"\\\\\s*[\[*]", text.replace(r"\textbackslash{}", ""))


@pytest.mark.parametrize("name", TABLES)
def test_it_compiles(strange, name, tmp_path):
    compiler = shutil.which("tectonic") or shutil.which("pdflatex")
    if compiler is None:
        pytest.skip("no tectonic or pdflatex here")
    text = latex_table(strange, name).replace("中", "")  # which pdflatex has no glyph for
    packages = re.match(r"% needs (.*)", text)[1]
    page = r"\usepackage[textwidth=5.5in,textheight=9in]{geometry}"
    document = f"\\documentclass{{article}}\n{page}\n{packages}\n\\begin{{document}}\n{text}\\end{{document}}\n"
    (tmp_path / "paper.tex").write_text(document)
    options = ["-interaction=nonstopmode", "-halt-on-error"] if compiler.endswith("pdflatex") else []
    done = subprocess.run([compiler, *options, "paper.tex"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr
    said = done.stdout + done.stderr
    assert "Overfull" not in said and "Font Warning" not in said, "no wider than the text of a paper, in sizes that there are"


# ---------------------------------------------------------------- where they are had


def test_python_is_given_each_table_by_its_name_and_another_name_is_refused(tmp_path):
    opened = harness.open_run(SIX)
    tables = RunTables(RunResults(SIX))
    for name in TABLES:
        assert opened.table("latex", name=name) == latex_table(tables, name)
    assert opened.table("latex") == latex_table(tables, "leaderboard")
    for format, name, line in (
        ("latex", "standin", r'table "standin" as latex: expected leaderboard.*did you mean "standing"'),
        ("markdown", "standing", 'table "standing" as markdown: expected leaderboard'),
    ):
        with pytest.raises(harness.UserError, match=line):
            opened.table(format, name=name)


def test_a_run_has_them_in_its_folder_and_beside_its_report(run, played_copy):
    for name in (*(f"{table}.tex" for table in TABLES), "leaderboard.md", "cite.bib"):
        assert (played_copy / "reports" / "small" / name).read_bytes() == (run / "tables" / name).read_bytes(), name


# ---------------------------------------------------------------- Markdown, BibTeX, csv


def test_markdown_has_the_last_iteration_on_top_the_highest_mean_first(six):
    text = as_markdown(six.results, six.leaderboard)
    top, rest = text.split("<details>")
    rows = [line for line in top.splitlines() if line.startswith("| ")]
    assert [row.split(" | ")[0].removeprefix("| ") for row in rows[2:]] == [
        "initial", "sft", "space", "sipo", "spin", "ssimpo", "tspin",
    ]  # fmt: skip
    assert rows[0].startswith("| objective | iter | mean | change | norm. | seeds | Arithmetic |")
    assert set(rows[1].split(" | ")[2:-1]) == {"---:"}
    assert sum(line.startswith("| ") for line in rest.splitlines()) == 2 + 6 * 4 and "</details>" in rest


def test_the_bibliography_has_every_method_once_with_balanced_fields(six):
    results = RunResults(SIX)
    spin = results.record["variants"]["spin"]
    results.record["variants"] |= {
        "spin, again": {**spin, "folder": "spin-b"},
        "x": {**spin, "name": "SPIN", "citation": {**spin["citation"], "title": "}} @misc{y, \\", "label": "{% et al. 2020"}},
    }
    text = as_bibtex(results)
    keys = re.findall(r"(?m)^@misc{([\w-]+),$", text)
    assert keys == ["sft", "space", "spin", "tspin", "sipo", "ssimpo", "SPIN-2", "eval-harness", "selfplay-harness"]
    body = text[text.index("@misc") :]
    assert body.count("{") == body.count("}") and len(re.findall(r"(?m)^}$", body)) == len(keys)
    assert "eprint = {2512.07175}" in text and "year = {2025}" in text and "author = {{Chen} and others}" in text
    cff = (ROOT / "CITATION.cff").read_text()
    assert HARNESS["title"].strip("{}") in cff and HARNESS["author"].strip("{}") in cff


def test_csv_files_have_estimates_without_the_rounding_of_sums_and_measurements_in_full():
    table = pd.DataFrame({"difference": [0.1 + 0.2, 5e-17, np.nan], "p_holm": [4e-48, 1.0, np.nan], "n": [2**53 + 1, 1, 2]})
    written = as_written("tables/comparisons.csv", table)
    assert written["difference"].tolist()[:2] == [0.3, 0.0] and np.isnan(written["difference"][2])
    assert written["p_holm"][0] == 4e-48 and written["n"][0] == 2**53 + 1
    assert as_written("scores.csv", table)["difference"][0] == 0.1 + 0.2
