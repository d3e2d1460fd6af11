"""The speed table as Markdown, from the rows' files alone; nothing stands in it that was not measured."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.reporting.generated_docs import rewrite
from tests.bench.limits import bound_seconds
from tests.bench.measure import RESULTS, ROOT, median
from tests.bench.registry import rows
from tests.bench.row import Goal, Row
from tests.bench.row_file import read_row

READMES = {"speed": ROOT / "README.md", "speed table": ROOT / "results" / "README.md"}
NOT_MEASURED = "not measured"


@dataclass(frozen=True)
class Line:
    """One contestant of one row against its peer. values: a ratio or seconds per round, as its goal wants it."""

    row: Row
    contestant: str
    goal: Goal
    content: dict[str, Any]
    values: Sequence[float]

    @property
    def measured(self) -> float:
        return median(self.values)

    @property
    def is_met(self) -> bool:
        return self.goal.is_met(self.measured)


def table_lines(row: Row, folder: Path = RESULTS) -> list[Line]:
    """Of a row that was measured, one per contestant with a goal that took part; else none."""
    content = read_row(folder / f"{row.name}.json")
    if content is None or not content["rounds"]:
        return []
    took_part = [name for name in row.goals if name in content["rounds"][0]["contestants"]]
    return [Line(row, name, row.goals[name], content, values(row, content, name)) for name in took_part]


def values(row: Row, content: dict[str, Any], contestant: str) -> list[float]:
    """Per round: peer / harness for a goal in times, harness / peer for a share, of seconds per amount; else seconds."""
    measured = [r["contestants"] for r in content["rounds"]]
    own = [m[contestant]["seconds"] / m[contestant]["amount"] for m in measured]
    if (kind := row.goals[contestant].kind) == "seconds":
        return own
    other = [m[row.peer]["seconds"] / m[row.peer]["amount"] for m in measured]
    return [b / a if kind == "times" else a / b for a, b in zip(own, other, strict=True)]


def full_table(folder: Path = RESULTS) -> str:
    """Every row: both sides, the ratio with its range, the goal, the limit and what takes the time."""
    head = ["work", "harness", "peer", "median (least to largest)", "goal", "met", "limit", "largest operators", "n", "load"]
    body = [cells for row in rows() for cells in _full_rows(row, folder)]
    measured = [line for row in rows() for line in table_lines(row, folder)]
    return "\n\n".join([markdown(head, body), *described(measured)])


def _full_rows(row: Row, folder: Path) -> list[list[str]]:
    lines = table_lines(row, folder)
    if not lines:
        goals = ", ".join(str(goal) for goal in row.goals.values())
        return [[row.title, NOT_MEASURED, row.peer or "", "", goals, "", "", "", "", ""]]
    return [_full_row(line) for line in lines]


def _full_row(line: Line) -> list[str]:
    content, rounds = line.content, line.content["rounds"]
    unit, own = content["unit"], [r["contestants"][line.contestant] for r in rounds]
    other = [r["contestants"][line.row.peer] for r in rounds] if line.row.peer else []
    kind = "" if line.contestant == "harness" else f" ({line.contestant.removeprefix('harness, ')})"
    loads = [load for r in rounds for load in r["load"]]
    return [
        line.row.title + kind,
        amount(own, unit),
        f"{amount(other, unit)}, {line.row.peer}{sizes_chosen(content)}" if other else "",
        spread(line.values),
        str(line.goal),
        "yes" if line.is_met else "no",
        limit(line, own),
        ", ".join(f"{name} {100 * share:.0f} %" for name, share in content.get("profile", [])),
        str(len(rounds)),
        f"{min(loads):.1f} to {max(loads):.1f}",
    ]


def limit(line: Line, own: list[dict[str, Any]]) -> str:
    """The bound in seconds, and the share of the harness's time that it is."""
    bound = bound_seconds(line.content, line.contestant)
    return "" if bound is None else f"{number(bound)} s, {100 * bound / median([m['seconds'] for m in own]):.0f} %"


def amount(measured: list[dict[str, Any]], unit: str) -> str:
    """Median seconds, or median amount per second."""
    if unit == "s":
        return f"{number(median([m['seconds'] for m in measured]))} s"
    return f"{number(median([m['amount'] / m['seconds'] for m in measured]))} {unit}"


def sizes_chosen(content: dict[str, Any]) -> str:
    """The peer's fastest sizes, of those tried."""
    chosen = (f"{what}: {min(tried, key=lambda size: tried[size])}" for what, tried in content["tried"].items() if tried)
    return "".join(f"; {text}" for text in chosen)


def short_table(folder: Path = RESULTS) -> str:
    """One line per group of rows: the least ratio in it (the largest of a share or of seconds), and how many goals are met."""
    groups: dict[str, list[Row]] = {}
    for row in rows():
        groups.setdefault(row.group, []).append(row)
    body = []
    for group, members in groups.items():
        lines = [line for row in members for line in table_lines(row, folder)]
        count = sum(len(row.goals) for row in members)
        if not lines:
            goals = dict.fromkeys(str(goal) for row in members for goal in row.goals.values())
            body.append([group, members[0].peer, NOT_MEASURED, ", ".join(goals), f"0 of {count}"])
            continue
        measured = [line.measured for line in lines]
        unit = " s" if lines[0].goal.kind == "seconds" else ""
        span = number(measured[0]) if len(measured) == 1 else f"{number(min(measured))} to {number(max(measured))}"
        goals = dict.fromkeys(str(line.goal) for line in lines)
        body.append([group, members[0].peer, span + unit, ", ".join(goals), f"{sum(line.is_met for line in lines)} of {count}"])
    return markdown(["work", "beside", "median: times as fast, share or seconds", "goal", "goals met"], body)


def described(lines: Sequence[Line]) -> list[str]:
    """Where the rows were measured: a sentence per processor and version of the code."""
    kinds: dict[str, list[Line]] = {}
    for line in lines:
        identity = line.content["identity"]
        packages = ", ".join(f"{name} {version}" for name, version in identity["packages"].items())
        kinds.setdefault(f"{identity['processor']}, {identity['cores']} cores; {packages}; code {identity['code']}", []).append(
            line
        )
    texts = []
    for kind, members in kinds.items():
        rates = [r["rates"] for line in members for r in line.content["rounds"]]
        products, reads = ([rate[name] / 1e9 for rate in rates] for name in ("float32", "bytes"))
        which = "" if len(kinds) == 1 else f" ({', '.join(dict.fromkeys(line.row.name for line in members))})"
        texts.append(
            f"Measured on {kind}{which}. Over all rounds, products of float32 matrices ran at {median(products):.0f} "
            f"({min(products):.0f} to {max(products):.0f}) GFLOP/s, memory was read at {median(reads):.1f} GB/s."
        )
    return texts


def spread(found: Sequence[float]) -> str:
    return f"{number(median(found))} ({number(min(found))} to {number(max(found))})"


def number(value: float) -> str:
    """Three significant digits at least, thousands with commas."""
    digits = 0 if value == 0 else max(0, 2 - math.floor(math.log10(abs(value))))
    return f"{value:,.{min(digits, 3)}f}"


def markdown(head: Sequence[str], body: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *body]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def blocks(folder: Path = RESULTS) -> dict[str, str]:
    """Markdown by the name of the block that holds it."""
    return {"speed": short_table(folder), "speed table": full_table(folder)}


def write_readmes(folder: Path = RESULTS) -> None:
    for name, block in blocks(folder).items():
        rewrite(READMES[name], name, block)
