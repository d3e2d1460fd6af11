"""What of a run's tables is not made anew where only its tables are kept (analysis/earlier_tables.py), and how that is said."""

from __future__ import annotations

import pandas as pd

from harness.analysis.earlier_tables import MEASURED, STEPS_CSV, Earlier
from harness.analysis.facts import Facts, Frame
from harness.reporting.tables.comparisons import COLUMNS as COMPARISONS
from harness.reporting.tables.comparisons import as_now, by_bootstrap
from harness.reporting.tables.versions import COLUMNS as VERSIONS
from harness.store.provenance import BEFORE_NUMBERS, NUMBERS_KEY, PROGRAM

AS_PLAYED = ("tables/comparisons.csv", "tables/first_ids.csv", "tables/chosen.csv")
COLLAPSE, VERSIONS_CSV = "tables/collapse.csv", "tables/versions.csv"
SINCE = ("since_best", "since_best_low", "since_best_high", "since_best_p")
OF_STANDING = ("chance_best", *SINCE)  # columns of standing.csv that need the items


def repeated(earlier: Earlier) -> list[str]:
    """The tables that stand as they were computed when the run was played."""
    names = [*AS_PLAYED, *([COLLAPSE] if _lacks(earlier, STEPS_CSV) else [])]  # a collapse is found in the steps, too
    return [name for name in names if not _lacks(earlier, name)]


def stay(earlier: Earlier) -> set[str]:
    """The files that are not written: those that were read, those that are repeated, and those there is nothing for."""
    there = {name for name in (*MEASURED, VERSIONS_CSV) if not _lacks(earlier, name)}
    return there | set(repeated(earlier)) | ({STEPS_CSV} if _lacks(earlier, STEPS_CSV) else set())


def _lacks(earlier: Earlier, name: str) -> bool:
    found = earlier.table(name)
    return found is None or (found.empty and name != COLLAPSE)  # that nothing was found is a finding


def compared_before(earlier: Earlier) -> Frame:
    """The comparisons as they were computed when the run was played; empty where they are not kept."""
    found = earlier.table("tables/comparisons.csv")
    return pd.DataFrame(columns=COMPARISONS) if found is None else as_now(found)


def with_churn(earlier: Earlier, drift: Frame) -> Frame:
    """The measurements with the churn of drift.csv as it stands."""
    before = earlier.table("tables/drift.csv")
    if before is None:
        return drift
    both: Frame = pd.concat([drift, before[before["name"] == "churn"]], ignore_index=True)
    order = {name: i for i, name in enumerate(dict.fromkeys(drift["objective"]))}
    rows = [row for row in both.to_dict("records") if row["objective"] in order]
    rows.sort(key=lambda row: (order[row["objective"]], row["iteration"]))
    return pd.DataFrame(rows, columns=list(drift))


def with_chances(earlier: Earlier, standing: Frame) -> Frame:
    """The standing with what needs the items, such as the chances of being best, as it stands."""
    before = earlier.table("tables/standing.csv")
    if before is None:
        return standing
    order = list(before)
    before = before.fillna({"panel": ""}).set_index(["panel", "objective"])
    for column in (c for c in OF_STANDING if c in before):
        keys = zip(standing["panel"], standing["objective"], strict=True)
        standing[column] = [before[column].get(key) for key in keys]
    return standing[order] if sorted(order) == sorted(standing) else standing


def versions_before(facts: Facts, earlier: Earlier) -> Frame:
    """versions.csv as it stands, else what run.json says of the last time that the run was played."""
    found = earlier.table(VERSIONS_CSV)
    if found is not None:
        return found
    versions = {NUMBERS_KEY: BEFORE_NUMBERS, **facts.record["versions"]}
    return pd.DataFrame([(name, version, None, None, ".", "run.json") for name, version in versions.items()], columns=VERSIONS)


def kept_sentences(facts: Facts) -> list[str]:
    """What a report of such a run is made of, what it repeats and what it lacks; nothing for a run that has its facts."""
    earlier = facts.earlier
    if earlier is None:
        return []
    record = facts.record
    numbers = next(row["version"] for row in versions_before(facts, earlier).to_dict("records") if row["name"] == NUMBERS_KEY)
    by = f"{PROGRAM} {record['created_by_version']}, version {numbers} of its numbers"
    there = [name for name in MEASURED if not _lacks(earlier, name)]
    as_played = repeated(earlier)
    said = [
        f"Of this run the tables alone are kept here, neither its phases nor its small files. Read: {', '.join(there)}; every "
        "mean, interval over seeds, cost and figure is made anew from them."
    ]
    if as_played:
        said.append(
            f"As computed when the run was played (by {by}), because they need what is not kept: {', '.join(as_played)}; in "
            "standing.csv the chance of being best and the gain on the initial policy; in stability.csv and drift.csv the churn."
        )
    compared = earlier.table("tables/comparisons.csv")
    if compared is not None and by_bootstrap(compared):
        said.append(
            "Intervals and p-values of these comparisons and gains, the chances of being best and the intervals of the churn in "
            "drift.csv are from the bootstrap of that version: where seeds differ they are too narrow (simulated, a true null "
            "was rejected in up to 16 % of cases with five seeds, up to 22 % with three), so what they show by a little is "
            "weaker than it looks."
        )
    lacking = [name for name in (*MEASURED, "tables/comparisons.csv") if _lacks(earlier, name)]
    said.append(
        f"Not kept, so not shown: what the players said, the counts of the data{''.join(f', {name}' for name in lacking)}."
    )
    return said
