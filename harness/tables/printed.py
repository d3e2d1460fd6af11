"""The leaderboard in print: percent with its error, as cells, Markdown and LaTeX."""

from __future__ import annotations

import pandas as pd

from harness.facts import Facts, Frame
from harness.records import INITIAL

MISSING = "–"


def percent(value: float) -> str:
    """A share as percent with one decimal; a dash where there is none."""
    return MISSING if pd.isna(value) else f"{100 * value:.1f}"


def printed_rows(facts: Facts, board: Frame) -> tuple[list[str], list[list[str]]]:
    """Header and cells of the leaderboard in print: percent, mean with its item error, the best iteration starred."""
    tasks = facts.suite["task"]
    header = ["objective", "iter", *(row["label"] for row in tasks), "mean ± item s.e.", "seeds"]
    rows = []
    for row in board.to_dict("records"):
        error = f" ± {100 * row['item_stderr']:.1f}" if not pd.isna(row["item_stderr"]) else ""
        rows.append(
            [
                row["objective"],
                "initial" if row["objective"] == INITIAL else str(row["iteration"]),
                *(percent(row[task["name"]]) for task in tasks),
                (percent(row["mean"]) + error if not pd.isna(row["mean"]) else MISSING) + (" *" if row["best"] else ""),
                MISSING if pd.isna(row["seeds"]) else str(row["seeds"]),
            ]
        )
    return header, rows


def footnote(facts: Facts) -> str:
    """What the numbers of a leaderboard are: suite, items per task, the star, the errors."""
    suite = facts.suite
    counts = sorted({int(n) for n in facts.scores["n"]})
    items = f"{counts[0]}" if len(counts) == 1 else f"{counts[0]} to {counts[-1]}" if counts else "no"
    return (
        f"Percent; suite {suite['name']} v{suite['version']}, {items} items per task; mean: plain mean of the "
        f"{len(suite['task'])} tasks; ±: standard error of sampling items, not the spread over seeds; *: best iteration. "
        "Numbers in full: tables/leaderboard.csv, their origin: scores.csv."
    )


def as_markdown(facts: Facts, board: Frame) -> str:
    header, rows = printed_rows(facts, board)
    lines = ["| " + " | ".join(cells) + " |" for cells in (header, ["---"] * len(header), *rows)]
    return "\n".join(lines) + "\n\n" + footnote(facts) + "\n"


def as_latex(facts: Facts, board: Frame) -> str:
    """A booktabs table to paste into a paper."""
    header, rows = printed_rows(facts, board)
    body = [" & ".join(_tex(cell) for cell in cells) + r" \\" for cells in rows]
    return "\n".join(
        [
            "% needs \\usepackage{booktabs}",
            rf"\begin{{tabular}}{{ll{'r' * (len(header) - 2)}}}",
            r"\toprule",
            " & ".join(_tex(cell) for cell in header) + r" \\",
            r"\midrule",
            *body,
            r"\bottomrule",
            r"\end{tabular}",
            "% " + footnote(facts),
            "",
        ]
    )


def _tex(text: str) -> str:
    special = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "±": r"$\pm$", "–": "--"}
    return "".join(special.get(c, "\\" + c if c in "&%$#_{}" else c) for c in text)
