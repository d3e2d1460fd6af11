"""Writes the PDF, the HTML page and, beside them, a folder with the csv of every printed number, figures and provenance.json."""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

from harness.analysis.facts import Facts
from harness.errors import UserError
from harness.files import file_digest, make_folder, write_bytes, write_json, write_text
from harness.reporting.figures.fonts import put_fonts
from harness.reporting.report.blocks import settable
from harness.reporting.report.content import content
from harness.reporting.report.content.tables import Tables
from harness.reporting.report.page import page
from harness.store.output_folders import REPORTED

ALWAYS = (
    "scores.csv", "training.csv", "dynamics.csv", "tables/leaderboard.csv", "tables/standing.csv", "tables/stability.csv",
    "tables/comparisons.csv", "tables/drift.csv", "tables/collapse.csv", "tables/cost.csv", "tables/cost_total.csv",
    "tables/versions.csv",
)  # fmt: skip
WHERE_THERE = ("tables/first_ids.csv", "tables/beside.csv", "tables/study.csv", "tables/compute.csv",
               "tables/chosen.csv")  # fmt: skip
TEMPLATE = Path(__file__).with_name("report.typ")


def write_report(root: Path, pdf: Path) -> Path:
    """Report of the run folder `root`: `pdf`, the same as .html, and the folder of its numbers; returns `pdf`.

    The same folder gives the same bytes. The tables and figures of the run must have been written (`tables.refresh`). Raises
    UserError when a table is missing or damaged, or `pdf` cannot be written.
    """
    facts = Facts(root)
    said = content(facts)
    always = [name for name in ALWAYS if facts.earlier is None or (root / name).is_file()]
    names = [*always, *(name for name in WHERE_THERE if (root / name).is_file())]
    beside = pdf.with_suffix("")
    try:
        make_folder(beside)
        write_json(  # first: it says whose folder this is
            beside / REPORTED,
            {
                "run": facts.record["name"],
                "git_commit": facts.record["git_commit"],
                "suite": facts.suite["name"],
                "tables": {Path(name).name: file_digest(root / name) for name in names},
                "versions": versions(facts),
                "adapters": adapters(facts),
            },
        )
        for name in names:
            write_bytes(beside / Path(name).name, (root / name).read_bytes())  # in place of a link, and not through it
        for name in set(WHERE_THERE) - set(names):  # an earlier report had it
            (beside / Path(name).name).unlink(missing_ok=True)
        for block in (block for section in said["sections"] for block in section["blocks"] if block["kind"] == "figure"):
            write_bytes(beside / f"{block['name']}.svg", (root / "plots" / f"{block['name']}.svg").read_bytes())
    except OSError as error:
        file = error.filename2 or error.filename or pdf
        raise UserError(f"{file}: cannot be written ({error.strerror}); use --out FILE") from error
    publish(said, root / "plots", pdf)
    return pdf


def publish(said: dict[str, Any], plots: Path, pdf: Path) -> None:
    """The content, with the figures in the folder `plots`, as `pdf` and as the same name with .html; each whole or not there."""
    said = settable(said)
    try:
        typeset(said, plots, pdf)
        write_text(pdf.with_suffix(".html"), page(said, plots))
    except OSError as error:
        raise UserError(f"{pdf}: cannot be written ({error.strerror}); name another place with --out or --reports") from error


def typeset(said: dict[str, Any], plots: Path, pdf: Path) -> None:
    import typst

    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        shutil.copyfile(TEMPLATE, work / "report.typ")
        (work / "content.json").write_text(json.dumps(said), encoding="utf-8")
        whole = put_fonts(work / "fonts", json.dumps(said, ensure_ascii=False))  # the system's own only where they are needed
        for figure in plots.glob("*.svg"):
            shutil.copyfile(figure, work / figure.name)
        made = work / "report.pdf"
        typst.compile(work / "report.typ", output=made, timestamp=0, font_paths=[work / "fonts"], ignore_system_fonts=whole)
        temporary = pdf.with_name(pdf.name + ".tmp")
        shutil.copyfile(made, temporary)
        temporary.replace(pdf)


def versions(facts: Facts) -> dict[str, dict[str, list[str]]]:
    """Library, or part of the machine -> version -> the folders of the phases made with it; "." is all of them."""
    found: dict[str, dict[str, list[str]]] = {}
    for row in Tables(facts).versions.to_dict("records"):
        found.setdefault(row["name"], {})[row["version"]] = row["where"].split()
    return found


def adapters(facts: Facts) -> dict[str, str]:
    """Digest of the weights behind every row of the tables."""
    return {
        facts.relative(folder): next(v for k, v in manifest["outputs"].items() if k.endswith(".safetensors"))
        for _, folder, manifest in facts.finished("train")
    }
