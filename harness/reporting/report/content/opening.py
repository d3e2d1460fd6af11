"""The first page as a block of the report."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from harness.reporting.first_page.page import FirstPage
from harness.reporting.report.blocks import Block, figure


def first_page_blocks(page: FirstPage) -> list[Block]:
    """The questions with their answers, the figure, and the line of provenance."""
    drawn = [figure(page.figure, page.caption)] if page.figure else []
    return [answers(page), *drawn, provenance(page)]


def answers(page: FirstPage) -> Block:
    entries: list[dict[str, Any]] = [asdict(answer) for answer in page.answers]
    return {"kind": "answers", "entries": entries}


def provenance(page: FirstPage) -> Block:
    return {"kind": "provenance", "links": [asdict(link) for link in page.provenance]}
