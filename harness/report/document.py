"""Writes the PDF and, beside it, a folder with the csv of every printed number, the figures and provenance.json."""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path

from harness.errors import UserError
from harness.facts import Facts
from harness.report.content import content
from harness.store import file_digest, write_json

TABLES = ("scores.csv", "dynamics.csv", "tables/leaderboard.csv", "tables/stability.csv", "tables/cost.csv")
TEMPLATE = Path(__file__).with_name("report.typ")


def write_report(root: Path, pdf: Path) -> Path:
    """Report of the run folder `root` at `pdf`; the same folder gives the same bytes. Returns `pdf`.

    The tables and figures of the run must have been written (`tables.refresh`). Raises UserError when `pdf` cannot be written.
    """
    import typst

    facts = Facts(root)
    beside = pdf.with_suffix("")
    try:
        beside.mkdir(parents=True, exist_ok=True)
        for name in TABLES:
            shutil.copyfile(root / name, beside / Path(name).name)
        with tempfile.TemporaryDirectory() as folder:
            work = Path(folder)
            shutil.copyfile(TEMPLATE, work / "report.typ")
            (work / "content.json").write_text(json.dumps(content(facts)), encoding="utf-8")
            for figure in (root / "plots").glob("*.svg"):
                shutil.copyfile(figure, work / figure.name)
                shutil.copyfile(figure, beside / figure.name)
            made = work / "report.pdf"
            typst.compile(work / "report.typ", output=made, timestamp=0)
            temporary = pdf.with_name(pdf.name + ".tmp")
            shutil.copyfile(made, temporary)
            temporary.replace(pdf)
        write_json(
            beside / "provenance.json",
            {
                "run": facts.record["name"],
                "git_commit": facts.record["git_commit"],
                "suite": facts.suite["name"],
                "tables": {Path(name).name: file_digest(root / name) for name in TABLES},
                "adapters": adapters(facts),
            },
        )
    except OSError as error:
        raise UserError(f"{pdf}: cannot be written ({error.strerror}); use --out FILE") from error
    return pdf


def adapters(facts: Facts) -> dict[str, str]:
    """Digest of the weights behind every row of the tables."""
    return {
        facts.relative(folder): next(v for k, v in manifest["outputs"].items() if k.endswith(".safetensors"))
        for _, folder, manifest in facts.finished("train")
    }
