"""Rows of the suite that are not in the mean over tasks, in sentences: each in its own unit and direction."""

from __future__ import annotations

from harness.analysis.frames import select
from harness.analysis.score_scale import describe_unaveraged
from harness.analysis.stats import tied
from harness.reporting.display_text import display_text
from harness.reporting.first_page.page import Sentence
from harness.reporting.tables.formatting import own_unit
from harness.reporting.tables.reading import Tables


def unaveraged_sentences(tables: Tables) -> list[Sentence]:
    """Per row: the best score at the last iteration, in the row's direction, and the start's."""
    sentences = []
    for task in tables.results.unaveraged_tasks:
        scale = tables.results.scales[task["name"]]
        last_rows = select(tables.leaderboard, iteration=tables.last, objective=tables.results.variants)
        last_rows = last_rows.dropna(subset=task["name"])
        if last_rows.empty:
            continue
        values = last_rows[task["name"]]
        best_rows = last_rows[tied(values, values.max() if scale.higher_is_better else values.min())]
        best_word = "highest" if scale.higher_is_better else "lowest"
        text = (
            f"Beside the mean, {display_text(describe_unaveraged(task, scale))}: the {best_word} at the last iteration "
            f"({tables.last}) is {' and '.join(best_rows['objective'])}'s, {own_unit(best_rows[task['name']].iloc[0])}; the "
            f"start's is {own_unit(tables.initial_scores()[task['name']])}."
        )
        sentences.append(Sentence(text))
    return sentences
