"""Task by task: the start and every objective's last iteration; and the findings of the collapse detector, counted."""

from __future__ import annotations

from typing import Any

import pandas as pd

from harness.analysis.frames import select
from harness.analysis.stats import MIN_SEEDS_FOR_INTERVAL
from harness.records import INITIAL
from harness.reporting.figures.scores import MAX_VARIANTS_WITH_ERRORS
from harness.reporting.first_page.numbers import PanelNumbers, panels_of
from harness.reporting.report.blocks import Block, in_panel, section, table
from harness.reporting.report.content.figures import figure_block
from harness.reporting.tables.formatting import footnote, leaderboard_rows
from harness.reporting.tables.reading import Tables


def tasks_section(tables: Tables) -> Block:
    numbers = PanelNumbers(tables, tables.panels[0])
    errors = _task_errors_note(tables, tables.panels[0])
    note = f"(dotted: chance; means over seeds{errors}). Numbers: leaderboard.csv, scores.csv."
    caption = f"Each task against iteration{in_panel(tables.panels[0])} {note}"
    return section("Task by task", last_scores(tables, numbers), figure_block(tables, "tasks", 1, caption))


def last_scores(tables: Tables, numbers: PanelNumbers) -> Block | None:
    """The leaderboard's rows of the start and of the last iterations, the mean first."""
    board = tables.leaderboard
    labels = list(dict.fromkeys(label for panel in panels_of(tables) for label in [*panel.labels, *panel.incomplete]))
    shown = pd.concat([select(board, objective=INITIAL), *(select(board, objective=o, iteration=tables.last) for o in labels)])
    header, rows = leaderboard_rows(tables.results, shown)
    num_tasks = len(tables.results.averaged_tasks)
    order = [0, 2 + num_tasks, *range(2, 2 + num_tasks), *range(5 + num_tasks, len(header))]
    cells = [[_name(numbers, row["objective"]), *(printed[i].removesuffix(" *") for i in order[1:])]
             for row, printed in zip(shown.to_dict("records"), rows, strict=True)]  # fmt: skip
    grow = "00" + "1" * (len(order) - 2)
    caption = f"The start, and every objective at the last iteration ({tables.last}). {footnote(tables.results)}"
    return table([header[i] for i in order], cells, caption, "l" + "r" * (len(order) - 1), grow, 6.8)


def _task_errors_note(tables: Tables, panel: dict[str, Any]) -> str:
    """What the errors of the tasks' curves are, where they are drawn."""
    if len(panel["labels"]) > MAX_VARIANTS_WITH_ERRORS:
        return ""
    if tables.seeds >= MIN_SEEDS_FOR_INTERVAL:
        return "; bands: 95 % intervals over seeds, on these items"
    return "; bars: standard error of sampling items, of one seed"


def _name(numbers: PanelNumbers, label: str) -> str:
    return "start" if label == INITIAL else numbers.names[label]


def collapse_section(tables: Tables) -> Block | None:
    """Findings as a table of kinds and objectives; None without any: page 1 says so."""
    findings = select(tables.read("tables/collapse.csv"), objective=tables.results.variants)
    if findings.empty:
        return None
    numbers = PanelNumbers(tables, tables.panels[0])
    kinds, labels = list(dict.fromkeys(findings["finding"])), [o for o in numbers.names if o in set(findings["objective"])]
    rows = [[numbers.names[o], *(_count(select(findings, finding=kind, objective=o)) for kind in kinds)] for o in labels]
    caption = (
        "Findings of the collapse detector; in brackets the seeds they are of. Each with its evidence and bound: collapse.csv; "
        "the rules: harness/analysis/collapse.py."
    )
    return section("Collapse", table(["objective", *kinds], rows, caption, grow="1" + "0" * len(kinds), size=7.6))


def _count(rows: Any) -> str:
    return f"{len(rows)} ({rows['seed'].nunique()})" if len(rows) else ""
