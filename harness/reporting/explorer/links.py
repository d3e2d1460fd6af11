"""Where a reader of the first view goes on: the csv files beside the page, and the papers of the methods.

A link loads nothing until it is followed. Addresses come from objectives' files, so other schemes than http and https stay text.
"""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote, urlsplit

from harness.analysis.facts import RunResults
from harness.reporting.figures.methods import method_names
from harness.reporting.first_page.page import Link
from harness.store.output_folders import REPORT_PROVENANCE


def numbers_beside(results: RunResults, page: Path | None) -> list[Link]:
    """The csv files in the report's folder beside the page, those of every report first; none where there is no such folder."""
    name = results.record["name"]
    if page is None or not (page.parent / name / REPORT_PROVENANCE).is_file():
        return []
    files = sorted(path.name for path in (page.parent / name).glob("*.csv"))
    return [Link(file, f"{quote(name)}/{quote(file)}") for file in files]


def papers(results: RunResults) -> list[Link]:
    """The method's name with the address of its paper, each method once."""
    variants = {label: results.record["variants"][label] for label in results.variants}
    names, found = method_names(variants), {}
    for entry in variants.values():
        url = str((entry.get("citation") or {}).get("url", ""))
        is_address = urlsplit(url).scheme in ("http", "https") and urlsplit(url).netloc
        found.setdefault(str(entry["name"]), Link(names[str(entry["name"])], url if is_address else ""))
    return list(found.values())
