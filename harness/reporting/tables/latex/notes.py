"""The notes below printed tables, as LaTeX: n, what each error is over, what bold and underlined say."""

from __future__ import annotations

import pandas as pd

from harness.analysis.frames import select
from harness.analysis.stats import SIGNIFICANCE_LEVEL
from harness.records import INITIAL
from harness.reporting.tables.comparisons import MEAN_TASK
from harness.reporting.tables.formatting import items_note, ranges_note, unaveraged_note
from harness.reporting.tables.latex.last_scores import LastScores
from harness.security.escaping import escape_latex

ONE_SEED = "One seed: how another training would end is in no error."


def suite_words(scores: LastScores) -> str:
    """The 10 tasks of suite lab-ten v4, for a caption."""
    suite = scores.tables.results.suite
    count = len(scores.tables.results.averaged_tasks)
    tasks = f"{count} tasks" if count != 1 else "one task"
    return f"{tasks} of suite {escape_latex(suite['name'])} v{escape_latex(suite['version'])}"


def scale_words(scores: LastScores) -> str:
    """Percent, and of what."""
    judge = scores.tables.results.judge_name
    return f"percent of the highest rating by {escape_latex(judge)}" if judge else "percent"


def counts(scores: LastScores) -> str:
    """n = 400 items per task in 39 to 126 clusters, 5 seeds."""
    seeds = "one seed" if scores.seeds == 1 else f"{scores.seeds} seeds"
    return f"{items_note(scores.tables.results, escape_latex, brief=True)}, {seeds}."


def task_words(scores: LastScores) -> str:
    """What is not a plain share: rows with a range of their own, rows beside the mean; empty where there are none."""
    results = scores.tables.results
    notes = [
        note.removeprefix("; ") for note in (ranges_note(results, escape_latex), unaveraged_note(results, escape_latex)) if note
    ]
    return " ".join(f"{note[:1].upper()}{note[1:]}." for note in notes)


def mean_errors(has_interval: bool, has_item_error: bool) -> str:
    """What stands behind a mean in this table."""
    sentences = []
    if has_interval:
        sentences.append("In brackets: 95~\\% interval (t) over items and seeds.")
    if has_item_error:
        sentences.append("$\\pm$: standard error of sampling test items alone.")
    return " ".join(sentences)


def gain_words(scores: LastScores) -> str:
    """What the gain and its interval are."""
    compared = select(scores.tables.comparisons, task=MEAN_TASK, b=INITIAL).dropna(subset="low")
    over = sorted({str(over) for over in compared["over"] if not pd.isna(over)})
    interval = f", 95~\\% interval over {escape_latex(' or '.join(over))}" if over else ""
    return f"Gain: the mean minus the start's in points, paired by item{interval}."


def mark_words(with_tasks: bool) -> str:
    tasks = " for the mean, and over the tasks of a pair for a task" if with_tasks else ""
    return (
        rf"\textbf{{Bold}}: the best; \underline{{underlined}}: not told apart from it (paired test, "
        rf"$p \geq {SIGNIFICANCE_LEVEL:g}$ after Holm's correction over all pairs, those with the start too{tasks})."
    )


def seeds_words(scores: LastScores) -> str:
    """What is not known of seeds; empty from three on."""
    if scores.seeds == 1:
        return ONE_SEED
    return "Two seeds: no interval over seeds is given below three." if scores.seeds == 2 else ""


def joined(*sentences: str) -> str:
    return " ".join(sentence for sentence in sentences if sentence)
