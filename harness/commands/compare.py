"""Command `compare`: two runs side by side, paired over the items that both were evaluated on."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.commands.console import console, echo, make_table, print_json
from harness.store.opening import find_run

if TYPE_CHECKING:
    from harness.reporting.tables.across_runs import RunComparison

MAX_VALUE_CHARS = 40


def compare_command(a: str, b: str, results: Path, as_json: bool) -> None:
    """Print differences of the means, of every task too where one pair of models is compared, and what differs in settings."""
    if find_run(a, results) is None and ":" not in a:
        from harness.store.opening import open_run

        open_run(a, results)  # raises, before pandas is loaded
    from harness.reporting.tables.across_runs import compare_runs

    comparison = compare_runs(a, b, results)
    if as_json:
        print_json(as_record(comparison))
    else:
        _print_comparison(comparison)


def as_record(comparison: RunComparison) -> dict[str, Any]:
    """What --json prints: plain values, None where a number is missing."""
    rows = [{key: _plain(value) for key, value in row.items()} for row in comparison.table.to_dict("records")]
    settings = [{"key": key, "a": value_a, "b": value_b} for key, value_a, value_b in comparison.settings]
    return {
        "a": str(comparison.run_a),
        "b": str(comparison.run_b),
        "tasks": comparison.tasks,
        "averaged_tasks": comparison.averaged,
        "settings": settings,
        "rows": rows,
    }


def _plain(value: Any) -> Any:
    if _missing(value):
        return None
    return value.item() if hasattr(value, "item") else value


def _print_comparison(comparison: RunComparison) -> None:
    from harness.reporting.tables.comparisons import MEAN_TASK

    rows = comparison.table.to_dict("records")
    means = [row for row in rows if row["task"] == MEAN_TASK]
    echo(f"a: {comparison.run_a}\nb: {comparison.run_b}\n")
    averaged = len(comparison.averaged)
    one_pair = len(means) == 1
    shown = rows if one_pair else means
    title = f"a minus b, mean of {averaged} tasks in percent" + (", then every task" if one_pair else "")
    table = make_table(title, ("task" if one_pair else "models", "a", "b", "difference", "95 % interval", "p"), right="ab")
    for row in shown:
        name = row["task"] if one_pair else _models(row)
        in_percent = row["task"] in (MEAN_TASK, *comparison.in_percent)
        table.add_row(name, *_cells(row, 100 if in_percent else 1, means_p=not one_pair))
    if one_pair:
        echo(_models(means[0]))
    console.print(table)
    first = means[0]
    counts = {(row["seeds"], int(row["items"])) for row in means if not _missing(row["items"])}
    seeds, items = min(counts) if counts else (first["seeds"], 0)
    over = first["over"] if not _missing(first["over"]) else "nothing, for item scores are missing"
    echo(
        f"paired over {over}: n = {items} items in {averaged} tasks, {seeds} seed(s)"
        + ("" if len(counts) <= 1 else " at least")
        + ("; p: adjusted over these pairs (Holm)" if not one_pair else "")
    )
    _print_settings(comparison)


def _print_settings(comparison: RunComparison) -> None:
    if not comparison.settings:
        echo("settings: all equal")
        return
    table = make_table("\nwhat differs", ("setting", "a", "b"))
    for key, *values in comparison.settings:
        table.add_row(key, *map(_short, values))
    console.print(table)


def _models(row: dict[str, Any]) -> str:
    sides = [f"{row[side]}@{_iteration(row[f'iteration_{side}'])}" for side in "ab"]
    return sides[0] if sides[0] == sides[1] else " - ".join(sides)


def _iteration(number: int) -> str:
    return "start" if number < 0 else str(number)


def _cells(row: dict[str, Any], factor: float, means_p: bool) -> list[str]:
    from harness.reporting.tables.formatting import p_value

    show = "{:.1f}".format if factor == 100 else "{:.4g}".format
    sign = "{:+.1f}".format if factor == 100 else "{:+.4g}".format
    values = ["–" if _missing(row[key]) else show(factor * row[key]) for key in ("value_a", "value_b")]
    if _missing(row["difference"]):
        return [*values, "–", str(row.get("source") or "not made of items"), "–"]
    bounds = "–" if _missing(row["low"]) else f"{sign(factor * row['low'])} to {sign(factor * row['high'])}"
    p = row["p_holm"] if means_p else row["p"]
    return [*values, sign(factor * row["difference"]), bounds, p_value(p)]


def _missing(value: Any) -> bool:
    import pandas as pd

    return bool(pd.isna(value))


def _short(value: Any) -> str:
    text = "none" if value is None else str(value)
    return text if len(text) <= MAX_VALUE_CHARS else f"{text[: MAX_VALUE_CHARS - 1]}…"
