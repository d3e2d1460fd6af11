"""The content of the report as plain data. Every number comes from the tables of the run; these files select, round and word."""

from __future__ import annotations

from typing import Any

from harness.analysis.facts import RunResults
from harness.reporting.display_text import display_text
from harness.reporting.first_page.build import first_page
from harness.reporting.report.content import about, dynamics, results
from harness.reporting.report.content.beside import unaveraged_section
from harness.reporting.report.content.first_ids import first_ids_section
from harness.reporting.report.content.opening import first_page_blocks
from harness.reporting.report.content.published import published_section
from harness.reporting.report.content.standing import standing_section
from harness.reporting.report.content.study import study_section
from harness.reporting.tables.reading import Tables

SECTIONS = (  # in the order of the report; one that has nothing to say is None, or has no blocks
    study_section, standing_section, results.collapse_section, results.tasks_section, unaveraged_section, dynamics.drift_section,
    dynamics.samples_section, published_section,
)  # fmt: skip
APPENDIX = (dynamics.training_section, dynamics.cost_section, first_ids_section, about.objectives_section, about.settings_section)


def content(run: RunResults) -> dict[str, Any]:
    """Everything the templates need, JSON-ready, the same for the same run folder."""
    tables = Tables(run)
    page = first_page(tables)
    sections, appendix = ([make(tables) for make in makers] for makers in (SECTIONS, APPENDIX))
    return {
        "title": page.title,
        "lead": page.lead,
        "name": display_text(run.record["name"]),
        "suite": f"{run.suite['name']} v{run.suite['version']}",
        "suite_title": display_text(run.suite["title"]),
        "first_page": first_page_blocks(page),
        "sections": [section for section in sections if section is not None and section["blocks"]],
        "appendix": [section for section in appendix if section is not None and section["blocks"]],
    }
