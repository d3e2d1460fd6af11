"""Shared by the tests of tables and report: a small finished run to change, and the one row of a table that is meant."""

import json
import shutil

import pytest

from harness.analysis.frames import select
from tests.conftest import update_manifest_digests

BROWSER = next((path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None)


@pytest.fixture(scope="session")
def browser():
    if BROWSER is None:
        pytest.skip("no browser on this machine: install chromium to check the pages in one")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=BROWSER, args=["--no-sandbox", "--disable-gpu"])
        yield running
        running.close()


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
