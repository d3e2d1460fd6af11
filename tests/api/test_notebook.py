"""The notebook of the docs runs from the committed reference, and what is in it is without output."""

import json

import pytest

from tests.conftest import ROOT

NOTEBOOK = ROOT / "harness" / "docs" / "paper-figure.ipynb"


def test_the_notebook_is_committed_without_output():
    cells = json.loads(NOTEBOOK.read_text())["cells"]
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in cells if cell["cell_type"] == "code")


@pytest.mark.slow
@pytest.mark.loopback
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
def test_the_notebook_ends_in_a_figure_and_a_table(tmp_path):
    """Executed by nbclient, in a folder that has the reference run and nothing else."""
    import nbclient
    import nbformat

    (tmp_path / "results").symlink_to(ROOT / "results")
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbclient.NotebookClient(
        notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}
    ).execute()
    assert (tmp_path / "curves.pdf").read_bytes().startswith(b"%PDF")
    printed = notebook.cells[-1].outputs[0]["text"]
    assert printed == (ROOT / "results" / "lab-reference" / "tables" / "leaderboard.tex").read_text() + "\n"
    shown = str(notebook.cells[3].outputs[0]["data"]["text/html"])
    assert "difference" in shown and "lab_arithmetic" in shown
