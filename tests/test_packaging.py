"""What `pip install .` gives: the two packages with their data, the command, and nothing else."""

import subprocess
import sys
import zipfile

from tests.conftest import ROOT


def test_the_wheel_holds_harness_and_objectives_with_their_data_and_nothing_else(tmp_path):
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "--no-index", "-w", tmp_path, ROOT],
        check=True, capture_output=True, timeout=300,
    )  # fmt: skip
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    assert {name.split("/")[0] for name in names if ".dist-info/" not in name} == {"harness", "objectives"}
    wanted = {
        "harness/py.typed", "objectives/py.typed",
        "harness/recipes/lab.toml", "harness/suites/lab-ten.toml", "harness/reporting/report/report.typ",
        "harness/lab/data/train.jsonl", "harness/lab/base/model.safetensors", "harness/lab/base/tokenizer.json",
        "harness/lab/base/chat_template.jinja", "harness/lab/tasks/lab_facts.yaml", "harness/lab/tasks/lab_facts.jsonl",
        "harness/lab/tasks/utils.py", "objectives/README.md", "objectives/space.py",
    }  # fmt: skip
    assert wanted - names == set()
    assert not [name for name in names if name.startswith("harness/docs")], "why it is as it is stays in the repository"
    assert not [name for name in names if name.endswith((".pyc", ".log")) or "__pycache__" in name]
