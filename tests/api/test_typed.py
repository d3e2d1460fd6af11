"""A user's script is clean for pyright: names, arguments and results of the Python API have their types."""

import json
import os
import subprocess
import sys

import pytest

from tests.conftest import ROOT

SCRIPT = """
from pathlib import Path

import harness


def main() -> None:
    run: harness.Run = harness.open_run("lab-reference", results=Path("results"))
    scores = run.scores
    last = scores[scores["iteration"] == run.iterations - 1]
    print(last["value"].mean(), scores.to_dict("records")[0]["task"])
    comparison = run.compare("space", "spin")
    low = float(comparison["low"].iloc[0])
    ax = run.plot_stability()
    ax.set_title(f"{run.name}: {low:.3f}")
    print(run.table("latex").upper(), list(run.items.columns), run.samples.head())
    both = harness.compare_runs("lab-reference:space", "lab-reference:spin")
    for key, a, b in both.settings:
        print(key, a, b, both.table["difference"].max())
    try:
        played = harness.run(["space", "spin"], iterations=5, seeds=[0, 1], settings={"training.lr": 1e-4}, name="mine")
        print(played.root.name, played.failed)
    except harness.UserError as error:
        print(error)


main()
"""
WRONG = """
import harness

harness.open_run(3)
harness.run("space", iterations="five")
harness.open_run("a").table("html")
harness.open_run("a").score
"""


def complaints(tmp_path, text):
    (tmp_path / "mine.py").write_text(text)
    settings = {"include": ["mine.py"], "extraPaths": [str(ROOT)], "pythonVersion": "3.11"}
    (tmp_path / "pyrightconfig.json").write_text(json.dumps(settings))
    command = [sys.executable, "-m", "pyright", "--outputjson", "--pythonpath", sys.executable, "-p", str(tmp_path)]
    environment = {**os.environ, "PYRIGHT_PYTHON_IGNORE_WARNINGS": "1"}
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=600, check=False, env=environment)
    found = json.loads(done.stdout)["generalDiagnostics"]
    return [(row["range"]["start"]["line"], row["rule"]) for row in found if row["severity"] == "error"]


@pytest.mark.slow
@pytest.mark.loopback
def test_a_users_script_is_clean_and_a_mistake_in_one_is_found(tmp_path):
    assert complaints(tmp_path, SCRIPT) == []
    assert [line for line, _ in complaints(tmp_path, WRONG)] == [3, 4, 5, 6]
