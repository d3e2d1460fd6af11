"""Names that csv readers take for missing values, numbers or truth values are names: in every table, figure and report."""

import json
import re

import pandas as pd
import pytest

from harness.analysis.facts import RunResults
from harness.analysis.text_columns import TEXT_COLUMNS, read_table
from harness.commands.run import write_views
from harness.reporting.tables.reading import Tables
from harness.security.escaping import to_csv_text
from harness.store.run_folder import RunFolder
from tests.conftest import read_csv_rows, rewrite_manifest, update_manifest_digests
from tests.helpers.report_text import report_text

ODD = ["null", "NA", "nan", "None", "N/A", "true", "False", "inf", "-inf", "1e5", "0012", "-", "", "1_000", "<NA>", "'x", "NULL"]


@pytest.mark.parametrize("file", sorted(TEXT_COLUMNS))
def test_text_is_read_back_as_it_was_written_and_numbers_as_numbers(file, tmp_path):
    columns = dict.fromkeys(TEXT_COLUMNS[file], ODD)
    table = pd.DataFrame({**columns, "0012": [1.5, None] + [2.0] * (len(ODD) - 2), "nan": range(len(ODD))})
    (tmp_path / file).write_text(to_csv_text(table), encoding="utf-8")
    back = read_table(tmp_path / file)
    assert list(back.columns) == list(table.columns)
    for column in columns:
        assert back[column].fillna("").tolist() == ODD
    assert back["0012"].isna().tolist() == [False, True] + [False] * (len(ODD) - 2)
    assert (back["0012"].dtype, back["nan"].dtype) == (float, int)


def test_no_column_of_text_is_forgotten(played):
    read = [path for path in sorted((played / "results/small/tables").glob("*.csv")) if path.name in TEXT_COLUMNS]
    assert len(read) >= 8
    for path in read:
        for column in pd.read_csv(path, dtype=str, keep_default_na=False):
            values = {row[column] for row in read_csv_rows(path)} - {""}
            if column not in TEXT_COLUMNS[path.name]:
                assert all(re.fullmatch(r"-?[\d.]+(e-?\d+)?|True|False", value) for value in values), (path.name, column, values)


def test_objectives_and_tasks_with_such_names_have_their_report(played_copy):
    first, second = "null", "NA"
    root = played_copy / "results/small"
    names = {'"space"': f'"{first}"', '"spin"': f'"{second}"', '"lab_arithmetic"': '"0012"', '"lab_continuation"': '"nan"'}
    for path in (root / "run.json", *root.rglob("evaluate/two/scores.json"), *root.rglob("evaluate/two/items.json")):
        path.write_text(re.sub("|".join(names), lambda name: names[name[0]], path.read_text()))
        if path.parent != root:
            update_manifest_digests(path.parent)
    for old, new in (("space", first), ("spin", second)):
        (root / old).rename(root / new)
        for path in root.rglob("manifest.json"):
            rewrite_manifest(path, json.loads(path.read_text().replace(f'"{old}/', f'"{new}/')))
    pdf = played_copy / "new.pdf"
    write_views(RunFolder(root), pdf)
    for name, columns in {"leaderboard": ["objective"], "stability": ["objective"], "standing": ["objective"],
                          "drift": ["objective"], "cost_total": ["objective"], "comparisons": ["a", "b"]}.items():  # fmt: skip
        found = {row[column] for row in read_csv_rows(root / f"tables/{name}.csv") for column in columns}
        assert {first, second} <= found <= {first, second, "initial"}, name
    tables = Tables(RunResults(root))
    assert set(tables.ranking["objective"]) == {first, second}
    assert {"0012", "nan", "mean"} == set(tables.comparisons["task"])
    assert tables.leaderboard["0012"].notna().all() and tables.leaderboard["nan"].notna().all()
    assert tables.pair("", first, second) is not None
    page = report_text(root)
    for word in (first, second):
        assert re.search(rf"\b{word}\b", page)
        assert re.search(rf"\|\s*{word}\s*\|", (root / "tables/leaderboard.md").read_text())
