"""The content of the report as plain data. Every number comes from the tables of the run; these files select, round and word."""

from __future__ import annotations

from typing import Any

from harness.analysis.facts import RunResults
from harness.reporting.report.blocks import display_text
from harness.reporting.report.content.about import about_sections
from harness.reporting.report.content.dynamics import dynamics_sections
from harness.reporting.report.content.first_ids import first_ids_section
from harness.reporting.report.content.published import published_section
from harness.reporting.report.content.results import results_sections
from harness.reporting.report.content.study import study_sections
from harness.reporting.report.content.summary import summary_section
from harness.reporting.report.content.tables import Tables


def content(results: RunResults) -> dict[str, Any]:
    """Everything the templates need, JSON-ready, the same for the same run folder."""
    tables = Tables(results)
    sections = [
        summary_section(tables),
        *study_sections(tables),
        *results_sections(tables),
        *dynamics_sections(tables),
        first_ids_section(tables),
        published_section(tables),
        *about_sections(tables),
    ]
    study = results.study.get("title")
    return {
        "title": study or "Self-play fine-tuning, iteration by iteration",
        "name": display_text(results.record["name"]),
        "suite": f"{results.suite['name']} v{results.suite['version']}",
        "suite_title": display_text(results.suite["title"]),
        "sections": [s for s in sections if s is not None and s["blocks"]],
    }
