"""The study's own question, answered before anything else: the values it chose, or its comparisons one by one."""

from __future__ import annotations

from typing import Any

import pandas as pd

from harness.analysis.frames import Frame, select
from harness.analysis.stats import SIGNIFICANCE_LEVEL
from harness.reporting.display_text import display_text
from harness.reporting.figures.methods import method_names
from harness.reporting.first_page.page import Answer, Sentence
from harness.reporting.tables.comparisons import MEAN_TASK
from harness.reporting.tables.formatting import brackets, p_value, percent, points
from harness.reporting.tables.reading import Tables


def study_answer(tables: Tables) -> Answer | None:
    """None for a run that belongs to no study, and for a study whose question is the first page's own."""
    question = tables.results.study.get("question")
    sentences = [*chosen_sentences(tables), *contrast_sentences(tables)]
    return Answer(display_text(question), tuple(sentences)) if question and sentences else None


def contrasts(tables: Tables) -> list[dict[str, Any]]:
    """The study's own comparisons that have a difference: their rows of comparisons.csv."""
    rows = select(tables.comparisons, panel="study", task=MEAN_TASK).dropna(subset="difference")
    return rows.to_dict("records")


def is_told_apart(row: dict[str, Any]) -> bool:
    return not pd.isna(row["p_holm"]) and row["p_holm"] < SIGNIFICANCE_LEVEL


def contrast_sentences(tables: Tables) -> list[Sentence]:
    """One sentence per comparison: the paired difference, its p, and the ratio of the two sides' tokens."""
    compute = tables.optional("tables/compute.csv")
    found = []
    for row in contrasts(tables):
        p = "no p" if pd.isna(row["p_holm"]) else f"p {p_value(row['p_holm'])}"
        verdict = "" if pd.isna(row["p_holm"]) or is_told_apart(row) else ", not told apart"
        difference = points(row["difference"]) + brackets(row["low"], row["high"], points)
        text = f"{display_text(row['question'])}: {difference}, {p}{verdict}"
        ratio = _token_ratio(compute, row["question"])
        found.append(Sentence(text + (f", at {ratio:.1f} times the tokens." if ratio else "."), strong=is_told_apart(row)))
    planned = tables.results.study.get("contrasts", [])
    missing = len(planned) - len(found)
    if missing:
        found.append(Sentence(f"{missing} of {len(planned)} comparisons have no finished seed yet.", alarm=True))
    elif found:
        over = "items and seeds" if tables.seeds > 2 else "items alone"
        found.append(Sentence(f"Points of the mean over tasks, 95 % interval over {over}; p after Holm's correction for these."))
    return found


def _token_ratio(compute: Frame | None, question: str) -> float | None:
    if compute is None or compute.empty:
        return None
    ratios = select(compute, question=question)["token_passes_ratio"].dropna()
    return float(ratios.iloc[0]) if len(ratios) else None


def chosen_sentences(tables: Tables) -> list[Sentence]:
    """One sentence per objective: the value that was chosen, on what score, and whether it is a tie or at the grid's edge."""
    chosen = tables.optional("tables/chosen.csv")
    if chosen is None:
        return []
    grid = tables.results.study["grid"]
    score = f"validation_{grid['choose']}"
    names = method_names(tables.results.record["variants"])
    found = []
    for objective, rows in chosen.groupby("objective", sort=False):
        name = display_text(names.get(objective, objective))
        known = rows.dropna(subset=score)
        picked = known[known["chosen"].astype(bool)]
        if len(picked) != 1:
            found.append(Sentence(f"{name}: not chosen yet, {len(known)} of {len(rows)} values are finished.", alarm=True))
            continue
        row = picked.iloc[0]
        error = row["item_stderr_last"]
        text = f"{name}: {row['value']:g} ({percent(row[score])} ± {percent(error)} % on {display_text(grid['validation'])})"
        ties = known[(known["value"] != row["value"]) & (known[score] >= row[score] - error)]
        if len(ties):
            values = ", ".join(f"{value:g}" for value in ties["value"])
            text += f"; {values} within its error"
        at_edge = bool(row.get("at_edge"))
        if at_edge:
            text += "; at the edge of the grid, so a better value may lie outside"
        found.append(Sentence(text + ".", alarm=at_edge, strong=not at_edge))
    return found
