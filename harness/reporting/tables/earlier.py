"""A run of which only the tables are left (analysis/earlier_tables.py): which are kept as they are, and notes on it."""

from __future__ import annotations

import pandas as pd

from harness.analysis.earlier_tables import MEASURED_TABLES, STEPS_CSV, EarlierTables
from harness.analysis.facts import RunResults
from harness.analysis.frames import Frame, select
from harness.reporting.tables.comparisons import COLUMNS as COMPARISONS
from harness.reporting.tables.comparisons import is_bootstrap_table, with_current_columns
from harness.reporting.tables.versions import COLUMNS as VERSIONS
from harness.store.provenance import FIRST_NUMBERS_VERSION, NUMBERS_KEY, PROGRAM

FINDINGS = ("tables/collapse.csv", "tables/task_notes.csv")  # empty where nothing was found, and not missing then
KEPT_TABLES = ("tables/comparisons.csv", "tables/first_ids.csv", "tables/chosen.csv", *FINDINGS)
VERSIONS_CSV = "tables/versions.csv"
# columns of standing.csv that need the items
RANKING_ITEM_COLUMNS = ("chance_best", "since_best", "since_best_low", "since_best_high", "since_best_p")


def tables_kept_as_is(earlier_tables: EarlierTables) -> list[str]:
    return [name for name in KEPT_TABLES if not _is_missing(earlier_tables, name)]


def tables_not_written(earlier_tables: EarlierTables) -> set[str]:
    """The files that are not written: those that were read, those that are kept as they are, and those without data."""
    available = {name for name in (*MEASURED_TABLES, VERSIONS_CSV) if not _is_missing(earlier_tables, name)}
    return available | set(tables_kept_as_is(earlier_tables)) | ({STEPS_CSV} if _is_missing(earlier_tables, STEPS_CSV) else set())


def _is_missing(earlier_tables: EarlierTables, name: str) -> bool:
    table = earlier_tables.table(name)
    return table is None or (table.empty and name not in FINDINGS)


def earlier_comparisons(earlier_tables: EarlierTables) -> Frame:
    """The comparisons as they were computed when the run was made; empty where they are not kept."""
    table = earlier_tables.table("tables/comparisons.csv")
    return pd.DataFrame(columns=COMPARISONS) if table is None else with_current_columns(table)


def with_churn(earlier_tables: EarlierTables, drift: Frame) -> Frame:
    """The measurements with the churn of the committed drift.csv."""
    earlier_drift = earlier_tables.table("tables/drift.csv")
    if earlier_drift is None:
        return drift
    order = list(dict.fromkeys(drift["objective"]))
    combined: Frame = pd.concat([drift, select(earlier_drift, name="churn", objective=order)], ignore_index=True)
    rows = sorted(combined.to_dict("records"), key=lambda row: (order.index(row["objective"]), row["iteration"]))
    return pd.DataFrame(rows, columns=list(drift))


def with_prob_best(earlier_tables: EarlierTables, ranking: Frame) -> Frame:
    """The ranking with those columns of the committed one that need the items, such as the chances of being best."""
    earlier_ranking = earlier_tables.table("tables/standing.csv")
    if earlier_ranking is None:
        return ranking
    order = list(earlier_ranking)
    earlier_ranking = earlier_ranking.fillna({"panel": ""}).set_index(["panel", "objective"])
    for column in (c for c in RANKING_ITEM_COLUMNS if c in earlier_ranking):
        keys = zip(ranking["panel"], ranking["objective"], strict=True)
        ranking[column] = [earlier_ranking[column].get(key) for key in keys]
    return ranking[order] if sorted(order) == sorted(ranking) else ranking


def earlier_versions(results: RunResults, earlier_tables: EarlierTables) -> Frame:
    """The committed versions.csv, else the versions that run.json has of the last command."""
    table = earlier_tables.table(VERSIONS_CSV)
    if table is not None:
        return table
    versions = {NUMBERS_KEY: FIRST_NUMBERS_VERSION, **results.record["versions"]}
    return pd.DataFrame([(name, version, None, None, ".", "run.json") for name, version in versions.items()], columns=VERSIONS)


def provenance_sentences(results: RunResults) -> list[str]:
    """Sources of the report of such a run, what is kept as it was and what is missing; empty for a run that has its phases."""
    earlier_tables = results.earlier_tables
    if earlier_tables is None:
        return []
    record = results.record
    numbers = select(earlier_versions(results, earlier_tables), name=NUMBERS_KEY)["version"].iloc[0]
    program_version = f"{PROGRAM} {record['created_by_version']}, version {numbers} of its numbers"
    available = [name for name in MEASURED_TABLES if not _is_missing(earlier_tables, name)]
    kept_as_is = tables_kept_as_is(earlier_tables)
    sentences = [
        f"Of this run only the tables are here, neither its phases nor its small files. Read: {', '.join(available)}; every "
        "mean, interval over seeds, cost and figure is computed from them."
    ]
    if kept_as_is:
        sentences.append(
            f"As computed when the run was made (by {program_version}), because their sources are not "
            f"here: {', '.join(kept_as_is)}; in standing.csv the chance of being best and the gain on the initial policy; in "
            "stability.csv and drift.csv the churn."
        )
    comparisons = earlier_tables.table("tables/comparisons.csv")
    if comparisons is not None and is_bootstrap_table(comparisons):
        sentences.append(
            "Intervals and p-values of these comparisons and gains, the chances of being best and the intervals of the churn in "
            "drift.csv are from the bootstrap of that version: where seeds differ they are too narrow (simulated, a true null "
            "was rejected in up to 16 % of cases with five seeds, up to 22 % with three), so what is barely significant in them "
            "may not be."
        )
    missing = [name for name in (*MEASURED_TABLES, "tables/comparisons.csv") if _is_missing(earlier_tables, name)]
    not_here = ", ".join(["the checkpoints' responses, the counts of the data", *missing])
    return [*sentences, f"Not here, so not shown: {not_here}."]
