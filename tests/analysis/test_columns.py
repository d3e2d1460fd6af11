"""The data dictionary says what is in the files: no column without a definition, no definition without a file and a column."""

import re
import shutil

import pytest

from harness.analysis.column_definitions import FRAMES, TABLE_FILES
from harness.analysis.columns import TEXT
from harness.analysis.facts import RunResults
from harness.analysis.long_tables import items_table, samples_table
from harness.analysis.text_columns import read_table
from harness.reporting.data_dictionary import data_dictionary
from harness.reporting.tables.run_tables import RunTables
from harness.security.escaping import to_csv_text
from tests.conftest import ROOT
from tests.reporting.conftest import change

REFERENCE = ROOT / "results" / "lab-reference"
BESIDE = "lab_format"
STUDY = {
    "name": "all", "title": "t", "question": "q", "iterations_shown": [0],
    "arms": [{"label": "space", "note": "one"}, {"label": "spin", "note": "other"}],
    "contrasts": [{"question": "which", "a": ["space", 4], "b": ["spin", 4]}],
    "grid": {"key": "mu", "values": [1.0, 2.0], "validation": "lab-ten", "choose": "last",
             "objectives": {"space": [["space", 1.0], ["spin", 2.0]]}},
}  # fmt: skip


@pytest.fixture(scope="module")
def everything(tmp_path_factory):
    """The reference run as if it were a study with arms, contrasts and a grid, one of whose tasks is better when lower."""

    def as_study(record):
        record["study"] = STUDY
        for row in record["suites"]["lab-ten"]["task"]:
            row["higher_is_better"] = row["name"] != BESIDE

    root = tmp_path_factory.mktemp("everything") / "run"
    root.mkdir()
    shutil.copy(REFERENCE / "run.json", root)
    shutil.copytree(REFERENCE / "facts", root / "facts")
    change(root / "run.json", as_study)
    (root / "tables").mkdir()
    for name, table in RunTables(RunResults(root)).files().items():  # what `refresh` writes, without its figures
        (root / name).write_text(to_csv_text(table), encoding="utf-8")
    return root


def columns_of(root, table):
    return list(read_table(root / table.path).columns)


def test_every_csv_file_of_a_run_is_defined_and_every_defined_one_is_written(everything):
    written = {path.relative_to(everything).as_posix() for path in everything.rglob("*.csv")}
    assert written == {table.path for table in TABLE_FILES}
    assert len(written) == len(TABLE_FILES)


@pytest.mark.parametrize("table", TABLE_FILES, ids=lambda table: table.file)
def test_every_column_is_defined_once_and_every_definition_is_of_a_column(everything, table):
    names = columns_of(everything, table)
    assert len({column.name for column in table.columns}) == len(table.columns)
    found = {name: table.column(name) for name in names}
    assert [name for name, column in found.items() if column is None] == []
    assert {column.name for column in found.values()} == {column.name for column in table.columns}


@pytest.mark.parametrize("table", TABLE_FILES, ids=lambda table: table.file)
def test_a_committed_run_has_no_column_beside_them(table):
    for folder in (REFERENCE, ROOT / "reports" / "lab-reference"):
        path = folder / (table.path if folder == REFERENCE else table.file)
        if path.is_file():
            assert [name for name in read_table(path).columns if table.column(name) is None] == []


@pytest.mark.parametrize("table", [table for table in TABLE_FILES if table.names], ids=lambda table: table.file)
def test_every_name_of_a_long_table_is_defined_with_its_unit(everything, table):
    rows = read_table(everything / table.path)
    units = {measurement.name: measurement.unit for measurement in table.names}
    (metric,) = (row["metric"] for row in RunResults(everything).suite["task"] if row["name"] == BESIDE)
    for name, unit in set(zip(rows["name"], rows["unit"], strict=True)):
        assert units[name] == (unit if unit != metric else "score")
    assert set(units) == set(rows["name"])


def test_a_percentage_or_a_word_is_told_from_a_number(everything):
    """A column that is defined as a number holds numbers, in the files as they are read."""
    for table in TABLE_FILES:
        rows = read_table(everything / table.path)
        for name in rows:
            is_number = table.column(name).unit != TEXT
            if rows[name].notna().any():
                assert (rows[name].dtype.kind in "iufb" or str(rows[name].dtype) == "Int64") == is_number, (table.file, name)


@pytest.mark.parametrize(("frame", "make"), [(FRAMES[0], samples_table), (FRAMES[1], items_table)], ids=["samples", "items"])
def test_the_tables_of_python_code_have_the_defined_columns(frame, make):
    assert list(make(RunResults(REFERENCE)).columns) == [column.name for column in frame.columns]


def test_the_page_is_current_and_names_what_objectives_add():
    page = data_dictionary()
    assert (ROOT / "harness" / "docs" / "columns.md").read_text() == page, "run: python -m harness.reporting.generated_docs"
    for path in (ROOT / "objectives").glob("[a-z]*.py"):
        for block in re.findall(r"metrics ?= ?\{(.*?)\}", path.read_text(), re.DOTALL):
            for name in re.findall(r'"(\w+)":', block):
                assert f"`{name}`" in page, (path.name, name)
        for name in re.findall(r'metrics\["(\w+)"\]', path.read_text()):
            assert f"`{name}`" in page, (path.name, name)
    metrics = [name for name in read_table(REFERENCE / "training.csv") if name.startswith("metric_")]
    assert metrics and all(f"`{name.removeprefix('metric_')}`" in page for name in metrics)
