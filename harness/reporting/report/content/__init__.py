"""The content of the report as plain data. Every number comes from the tables of the run; these files select, round and word."""

from __future__ import annotations

from typing import Any

from harness.analysis.facts import RunResults
from harness.reporting.report.blocks import display_text
from harness.reporting.report.content import about, dynamics, results
from harness.reporting.report.content.beside import unaveraged_section
from harness.reporting.report.content.first_ids import first_ids_section
from harness.reporting.report.content.published import published_section
from harness.reporting.report.content.study import study_section
from harness.reporting.report.content.summary import summary_section
from harness.reporting.report.content.tables import Tables

SECTIONS = (  # in the order of the report; one that has nothing to say is None, or has no blocks
    summary_section, study_section, results.scores_section, results.comparisons_section, results.stability_section,
    unaveraged_section, results.collapse_section, dynamics.training_section, dynamics.drift_section, dynamics.samples_section,
    dynamics.cost_section, first_ids_section, published_section, about.objectives_section, about.settings_section,
)  # fmt: skip


def content(run: RunResults) -> dict[str, Any]:
    """Everything the templates need, JSON-ready, the same for the same run folder."""
    tables = Tables(run)
    sections = [section(tables) for section in SECTIONS]
    return {
        "title": run.study.get("title") or "Self-play fine-tuning, iteration by iteration",
        "name": display_text(run.record["name"]),
        "suite": f"{run.suite['name']} v{run.suite['version']}",
        "suite_title": display_text(run.suite["title"]),
        "sections": [section for section in sections if section is not None and section["blocks"]],
    }
