"""What the explorer shows of one run, ready to be written as JSON. Every number is a table's, or counted from items."""

from __future__ import annotations

from typing import Any

import pandas as pd

from harness.analysis.facts import RunResults
from harness.analysis.frames import select
from harness.records import INITIAL
from harness.reporting.explorer.figure import dark_colour
from harness.reporting.explorer.items import held_out, players, tasks
from harness.reporting.explorer.metrics import metrics, plain
from harness.reporting.figures.methods import baseline, looks
from harness.reporting.tables.formatting import items_note
from harness.reporting.tables.paired_scores import PairedScores
from harness.reporting.tables.reading import Tables
from harness.reporting.tables.settings_differences import run_settings, variant_settings
from harness.security.escaping import escape_invisible
from harness.store.small_files import NUM_SAMPLES

START_COLOUR = "#767676"
COMPARED = ("a", "iteration_a", "b", "iteration_b", "task", "difference", "low", "high", "p", "p_holm", "seeds", "items",
            "clusters", "over")  # fmt: skip


def run_data(results: RunResults) -> dict[str, Any]:
    """Everything that the page shows of a run but its first view. Raises UserError when a table is missing or damaged."""
    tables, record = Tables(results), results.record
    paired_scores = PairedScores(results)
    shown = {label: record["variants"][label] for label in results.variants}
    every_look = looks(record["variants"])
    objectives = [{"label": INITIAL, "name": "start", "colours": [START_COLOUR, dark_colour(START_COLOUR)], "settings": {}}]
    for label, entry in shown.items():
        settings = {key.removeprefix(f"{label}: "): value for key, value in variant_settings(record, label).items()}
        light = every_look[label].colour
        own = {"label": label, "name": every_look[label].name, "colours": [light, dark_colour(light)], "title": entry["title"]}
        objectives.append(own | {"settings": {"objective": entry["name"], **settings}})
    data = {
        "name": record["name"], "objectives": objectives, "seeds": record["seeds"], "iterations": record["iterations"],
        "suite": {"name": results.suite["name"], "version": results.suite["version"], "title": results.suite["title"]},
        "question": results.study.get("question", ""), "commit": (record.get("git_commit") or "")[:10],
        "command": record["command"], "date": record.get("date", ""), "note": items_note(results) + ".",
        "settings": run_settings(record), "baseline": baseline(shown, list(shown)),
        "leader": _leader(tables), "metrics": metrics(tables, paired_scores), "tasks": tasks(results),
        "players": [[player.objective, player.seed, player.iteration] for player in players(results)],
        "samples": held_out(results, NUM_SAMPLES), "comparisons": _comparisons(tables), "findings": _findings(tables),
        "failed": results.failed_trials,
    }  # fmt: skip
    return _printable(data)


def _leader(tables: Tables) -> str | None:
    """The objective with the highest mean at the last iteration; None where none is complete."""
    last = select(tables.leaderboard, iteration=tables.last).dropna(subset="mean")
    return None if last.empty else str(last.loc[last["mean"].idxmax(), "objective"])


def _comparisons(tables: Tables) -> list[list[Any]]:
    """Rows of comparisons.csv, by the names in COMPARED."""
    rows = tables.comparisons.dropna(subset="difference")
    found = []
    for row in rows.reindex(columns=list(COMPARED)).to_dict("records"):
        numbers = {name: plain(row[name]) for name in COMPARED if name not in ("a", "b", "task", "over")}
        found.append([numbers[name] if name in numbers else None if pd.isna(row[name]) else str(row[name]) for name in COMPARED])
    return found


def _findings(tables: Tables) -> list[list[Any]]:
    """[objective, seed, iteration, kind, evidence] of every row of collapse.csv."""
    table = tables.optional("tables/collapse.csv")
    if table is None or table.empty:
        return []
    return [
        [
            row["objective"],
            None if pd.isna(row["seed"]) else int(row["seed"]),
            int(row["iteration"]),
            row["finding"],
            row["evidence"],
        ]
        for row in table.to_dict("records")
    ]


def _printable(value: Any) -> Any:
    """The same with invisible and direction-changing characters of every text escaped, which could make one answer look as
    another."""
    if isinstance(value, str):
        return value if value.isascii() and value.isprintable() else escape_invisible(value, keep="\n")
    if isinstance(value, dict):
        return {_printable(key): _printable(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [_printable(entry) for entry in value]
    return value
