"""The gallery: one page over all reports of a folder, with the finding, the picture and the links of each.

It is made from the reports alone (`NAME/provenance.json`), so it needs no run folder, and it runs no script.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from harness.files import write_text
from harness.reporting.figures.study.first import STABILITY_FIGURE, STUDY_FIGURE
from harness.reporting.report.blocks import sanitize
from harness.security.page_policy import content_hash
from harness.store.output_folders import REPORT_PROVENANCE

FOLDER = Path(__file__).parent
NAME = "index.html"
MARK = "selfplay-harness gallery"  # in the head of every gallery: another page of that name is left alone
PICTURES = (f"{STUDY_FIGURE}.svg", f"{STABILITY_FIGURE}.svg", "tasks.svg")  # the first that there is


def write_gallery(reports: Path) -> Path | None:
    """Write index.html in the folder of the reports; None where a page of that name is there that is no gallery. Raises OSError
    where it cannot be written."""
    import jinja2
    from markupsafe import Markup

    path = reports / NAME
    if path.exists() and MARK not in path.read_text(encoding="utf-8", errors="replace")[:2000]:
        return None
    style = (FOLDER / "gallery.css").read_text(encoding="utf-8")
    environment = jinja2.Environment(loader=jinja2.FileSystemLoader(FOLDER), autoescape=True, undefined=jinja2.StrictUndefined)
    page = environment.get_template("gallery.html").render(
        cards=sanitize(cards(reports)), mark=MARK, style=Markup(style), style_digest=content_hash(style)
    )
    write_text(path, page)
    return path


def cards(reports: Path) -> list[dict[str, Any]]:
    """Of every report in the folder, by name: its title, its question where it is a study's, its lead, picture and links."""
    found = []
    for provenance in sorted(reports.glob(f"*/{REPORT_PROVENANCE}")):
        folder = provenance.parent
        try:
            said = json.loads(provenance.read_text(encoding="utf-8"))
        except ValueError:
            continue  # half written or not ours: the report itself says so when it is made again
        pdf = folder.with_name(f"{folder.name}.pdf")
        if not isinstance(said, dict) or "title" not in said or not pdf.is_file():
            continue
        page = pdf.with_suffix(".html")
        picture = next((name for name in PICTURES if (folder / name).is_file()), "")
        found.append(
            {
                "name": folder.name,
                **{key: said.get(key) or "" for key in ("title", "question", "lead")},
                "picture": f"{folder.name}/{picture}" if picture else "",
                "pdf": pdf.name,
                "explorer": page.name if page.is_file() else "",
                "numbers": f"{folder.name}/",
            }
        )
    return found
