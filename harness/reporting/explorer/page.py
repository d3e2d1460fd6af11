"""The explorer as one HTML file: first view in plain HTML, everything else as packed data that the page's own script shows.

The policy admits that script and that style by their digests and nothing else: no other script, no request, no inline handler.
The script writes text as text alone. The same run folders give the same bytes.
"""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from harness.analysis.facts import RunResults
from harness.errors import UserError
from harness.files import write_text
from harness.reporting.explorer.answer import first_view
from harness.reporting.explorer.figure import Styles
from harness.reporting.explorer.items import share_items
from harness.reporting.explorer.links import numbers_beside, papers
from harness.reporting.explorer.run_data import run_data
from harness.reporting.report.blocks import sanitize
from harness.security.page_policy import content_hash

FOLDER = Path(__file__).parent
SCRIPTS = ("page", "state", "players", "exact_test", "format", "runs", "grid", "compare", "items", "samples", "settings", "start")
GZIP_LEVEL = 9


def write_explorer(runs: Sequence[RunResults], out: Path) -> Path:
    """Write the explorer of these runs as `out`. Raises UserError where a table is missing or `out` cannot be written."""
    page = explorer_page(runs, out)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        write_text(out, page)
    except OSError as error:
        raise UserError(f"{out}: cannot be written ({error.strerror}); name another place with --out FILE") from error
    return out


def explorer_page(runs: Sequence[RunResults], out: Path | None = None) -> str:
    """out: where the page will lie, for links to what lies beside it."""
    import jinja2
    from markupsafe import Markup

    styles = Styles()
    views = [first_view(results, place, styles) for place, results in enumerate(runs)]
    style = (FOLDER / "explorer.css").read_text(encoding="utf-8")
    style += styles.light() + f"@media (prefers-color-scheme: dark) {{\n{styles.dark()}}}\n"
    script = "\n".join(read_script(name) for name in SCRIPTS)
    script = f'"use strict";\n(() => {{\n{script}\n}})();\n'
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(FOLDER), autoescape=True, undefined=jinja2.StrictUndefined, keep_trailing_newline=True
    )
    shown = [
        {"page": view.page, "words": sanitize({"title": view.page.title, "lead": view.page.lead}), "wide": Markup(view.wide),
         "narrow": Markup(view.narrow), "name": results.record["name"],
         "links": {"Numbers": numbers_beside(results, out), "Papers": papers(results)}}
        for view, results in zip(views, runs, strict=True)
    ]  # fmt: skip
    data = [run_data(results) for results in runs]
    share_items(data)
    return environment.get_template("explorer.html").render(
        runs=shown, data=pack(data), style=Markup(style), script=Markup(script),
        style_digest=content_hash(style), script_digest=content_hash(script), safe=sanitize,
    )  # fmt: skip


def read_script(name: str) -> str:
    return (FOLDER / "js" / f"{name}.js").read_text(encoding="utf-8")


def pack(data: Any) -> str:
    """JSON, gzip, base64: no character of it means anything in HTML."""
    raw = json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode("utf-8", "replace")
    return base64.b64encode(gzip.compress(raw, GZIP_LEVEL, mtime=0)).decode("ascii")
