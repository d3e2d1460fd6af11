"""Shared by the tests of tables and report: a small finished run to change, and the one row of a table that is meant."""

import json

from harness.analysis.frames import select
from tests.conftest import update_manifest_digests


def only(table, **values):
    """The one row whose columns have these values, as a dict; fails where there is none or several."""
    (row,) = select(table, **values).to_dict("records")
    return row


def change(path, alter):
    """Alter a JSON file of a run; beside a manifest, its digest there too."""
    content = json.loads(path.read_text())
    alter(content)
    path.write_text(json.dumps(content))
    if (path.parent / "manifest.json").exists():
        update_manifest_digests(path.parent)
