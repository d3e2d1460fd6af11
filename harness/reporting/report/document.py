"""Write the PDF, the explorer and, beside them, a folder with the csv of every printed number, the tables for a paper,
figures and provenance.json."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.analysis.facts import RunResults
from harness.errors import UserError
from harness.files import file_digest, make_folder, write_bytes, write_json, write_text
from harness.reporting.figures.fonts import link_fonts
from harness.reporting.figures.stale import figures_choice
from harness.reporting.report.blocks import figure_names, sanitize
from harness.reporting.report.content import content
from harness.reporting.report.page import html_page
from harness.reporting.tables.latex import TABLES as LATEX_TABLES
from harness.reporting.tables.reading import Tables
from harness.store.output_folders import REPORT_PROVENANCE

REQUIRED_TABLES = (
    "scores.csv", "training.csv", "dynamics.csv", "tables/leaderboard.csv", "tables/standing.csv", "tables/stability.csv",
    "tables/comparisons.csv", "tables/drift.csv", "tables/collapse.csv", "tables/cost.csv", "tables/cost_total.csv",
    "tables/versions.csv",
)  # fmt: skip
OPTIONAL_TABLES = ("tables/task_notes.csv", "tables/first_ids.csv", "tables/beside.csv", "tables/study.csv", "tables/compute.csv",
               "tables/chosen.csv")  # fmt: skip
PAPER_FILES = ("tables/leaderboard.md", "tables/cite.bib", *(f"tables/{name}.tex" for name in LATEX_TABLES))
TEMPLATE = Path(__file__).with_name("report.typ")


@dataclass(frozen=True)
class WrittenReport:
    """text: all that the PDF says, as JSON."""

    pdf: Path
    explorer: Path
    text: str


def write_report(root: Path, pdf: Path) -> WrittenReport:
    """Write the report of the run folder `root`: `pdf`, beside it the explorer as .html and the folder of its numbers.

    The same folder gives the same bytes. The tables and figures of the run must have been written (`tables.refresh`). Raises
    UserError when a table is missing or damaged, or `pdf` cannot be written.
    """
    results = RunResults(root)
    report_content = content(results)
    required = [name for name in REQUIRED_TABLES if results.earlier_tables is None or (root / name).is_file()]
    optional = (*OPTIONAL_TABLES, *PAPER_FILES)
    names = [*required, *(name for name in optional if (root / name).is_file())]
    numbers_folder = pdf.with_suffix("")
    try:
        make_folder(numbers_folder)
        provenance = {
            "run": results.record["name"],
            "title": report_content["title"],
            "lead": report_content["lead"],
            "question": results.study.get("question"),
            "git_commit": results.record["git_commit"],
            "suite": results.suite["name"],
            "tables": {Path(name).name: file_digest(root / name) for name in names},
            "versions": phase_versions(results),
            **({"figures": chosen} if (chosen := figures_choice(root / "plots").as_typed()) else {}),
            "adapters": adapter_digests(results),
        }
        write_json(numbers_folder / REPORT_PROVENANCE, provenance)  # first: it marks the folder as this run's
        for name in names:
            write_bytes(numbers_folder / Path(name).name, (root / name).read_bytes())  # replaces a link, never writes through it
        for name in set(optional) - set(names):  # an earlier report had it
            (numbers_folder / Path(name).name).unlink(missing_ok=True)
        for figure in (f"{name}.svg" for name in figure_names(report_content)):
            write_bytes(numbers_folder / figure, (root / "plots" / figure).read_bytes())
    except OSError as error:
        file = error.filename2 or error.filename or pdf
        raise UserError(f"{file}: cannot be written ({error.strerror}); use --out FILE") from error
    from harness.reporting.explorer.page import write_explorer  # it shows the report's first page

    with explain_unwritable(pdf):
        compile_pdf(sanitize(report_content), root / "plots", pdf)
    explorer = write_explorer([results], pdf.with_suffix(".html"))
    return WrittenReport(pdf, explorer, json.dumps(report_content, ensure_ascii=False))


def write_pdf_and_html(report_content: dict[str, Any], plots: Path, pdf: Path) -> None:
    """Write content that belongs to no run, with the figures in the folder `plots`, as `pdf` and as the same name with .html;
    each complete or not at all."""
    report_content = sanitize(report_content)
    with explain_unwritable(pdf):
        compile_pdf(report_content, plots, pdf)
        write_text(pdf.with_suffix(".html"), html_page(report_content, plots))


@contextmanager
def explain_unwritable(pdf: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UserError(f"{pdf}: cannot be written ({error.strerror}); name another place with --out or --reports") from error


def compile_pdf(report_content: dict[str, Any], plots: Path, pdf: Path) -> None:
    import typst

    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        shutil.copyfile(TEMPLATE, work / "report.typ")
        (work / "content.json").write_text(json.dumps(report_content), encoding="utf-8")
        for figure in plots.glob("*.svg"):
            shutil.copyfile(figure, work / figure.name)
        has_all_glyphs = link_fonts(work / "fonts", json.dumps(report_content, ensure_ascii=False))
        fonts: Any = {"font_paths": [work / "fonts"], "ignore_system_fonts": has_all_glyphs}  # the system's where they are needed
        write_bytes(pdf, typst.compile(work / "report.typ", timestamp=0, **fonts))


def phase_versions(results: RunResults) -> dict[str, dict[str, list[str]]]:
    """Library, or part of the machine -> version -> the folders of the phases made with it; "." for all of them."""
    folders_by_version: dict[str, dict[str, list[str]]] = {}
    for row in Tables(results).versions.to_dict("records"):
        folders_by_version.setdefault(row["name"], {})[row["version"]] = row["where"].split()
    return folders_by_version


def adapter_digests(results: RunResults) -> dict[str, str]:
    """Folder of every finished training -> digest of its adapter's weights."""
    return {
        results.relative_path(folder): next(v for k, v in manifest["outputs"].items() if k.endswith(".safetensors"))
        for _, folder, manifest in results.iter_phases("train")
    }
