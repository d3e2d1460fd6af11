"""Tables of a run as LaTeX, to put into a paper as they are. Start with `leaderboard.py`."""

from __future__ import annotations

from collections.abc import Callable

from harness.reporting.tables.latex.comparisons import comparisons_table
from harness.reporting.tables.latex.last_scores import LastScores
from harness.reporting.tables.latex.leaderboard import full_table, leaderboard_table
from harness.reporting.tables.latex.paper_table import PaperTable
from harness.reporting.tables.latex.stability import stability_table
from harness.reporting.tables.latex.standing import standing_table
from harness.reporting.tables.run_tables import RunTables

MAX_FLOAT_ROWS = 45  # more do not fit a page
TABLES: dict[str, Callable[[LastScores], PaperTable | None]] = {
    "leaderboard": leaderboard_table, "leaderboard_full": full_table, "standing": standing_table,
    "comparisons": comparisons_table, "stability": stability_table,
}  # fmt: skip


def latex_table(tables: RunTables, name: str) -> str | None:
    """One of TABLES; None where the run has nothing to put into it."""
    table = TABLES[name](LastScores(tables))
    if table is None:
        return None
    if name == "leaderboard_full":
        return table.as_long_table(landscape=True)
    return table.as_long_table() if len(table.names.cells) > MAX_FLOAT_ROWS else table.as_float()
