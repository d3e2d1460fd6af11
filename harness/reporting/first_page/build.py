"""The first page of a run or study, put together: every number comes from its tables."""

from __future__ import annotations

from collections.abc import Callable

from harness.reporting.display_text import display_text
from harness.reporting.figures.study.first import study_figure_caption, study_figure_name
from harness.reporting.first_page.beside import unaveraged_sentences
from harness.reporting.first_page.gains import gain_in_what, task_notes
from harness.reporting.first_page.lasting import collapse, does_it_last
from harness.reporting.first_page.numbers import PanelNumbers, apart, capital, panels_of
from harness.reporting.first_page.page import Answer, FirstPage, Sentence
from harness.reporting.first_page.price import at_what_price
from harness.reporting.first_page.provenance import lead, provenance
from harness.reporting.first_page.question import study_answer
from harness.reporting.first_page.title import finding
from harness.reporting.first_page.who import by_how_much, few_seeds, who_ends_highest, who_wins
from harness.reporting.tables.comparisons import MEAN_TASK
from harness.reporting.tables.earlier import provenance_sentences
from harness.reporting.tables.reading import Tables

FEW_ITEMS = (
    "With fewer than five items (or clusters of items) in a task no interval and no p-value is given for the task and for the "
    "mean it enters."
)


def first_page(tables: Tables) -> FirstPage:
    """The same for the same tables. A panel's sentences begin with its title where there are several."""
    panels = panels_of(tables)
    names = panels[0].names
    comparable = [numbers for numbers in panels if numbers.rows]
    questions = (
        ("What is missing?", missing(tables, panels)),
        ("Who wins?", _titled(comparable, who_wins)),
        ("By how much?", _titled(comparable, by_how_much) + few_items(tables)),
        ("Does it last?", _titled(comparable, does_it_last) + collapse(tables, names)),
        ("Gain in what?", _titled(comparable[:1], gain_in_what) + task_notes(tables, names) + unaveraged_sentences(tables)),
        ("At what price?", _titled(comparable, at_what_price)),
    )
    own = study_answer(tables)
    answers = [Answer(question, tuple(sentences)) for question, sentences in questions if sentences]
    figure = study_figure_name(tables.results) or ""
    return FirstPage(
        title=finding(tables, panels[0]),
        lead=lead(tables),
        answers=(*([own] if own else []), *answers),
        figure=figure,
        caption=study_figure_caption(tables.results, display_text) if figure else "",
        provenance=provenance(tables),
    )


def headlines(tables: Tables) -> list[str]:
    """For the screen: who wins, on every panel; where nothing can be compared, why."""
    panels = panels_of(tables)
    comparable = [numbers for numbers in panels if numbers.rows]
    sentences = _titled(comparable, lambda numbers: [*few_seeds(numbers), *who_ends_highest(numbers)])
    return [sentence.text for sentence in sentences or missing(tables, panels)] or [finding(tables, panels[0])]


def _titled(panels: list[PanelNumbers], sentences_of: Callable[[PanelNumbers], list[Sentence]]) -> list[Sentence]:
    found = []
    for numbers in panels:
        sentences = sentences_of(numbers)
        if sentences and numbers.panel["title"]:
            first = sentences[0]
            sentences = [Sentence(f"{capital(numbers.panel['title'])}: {first.text}", first.alarm, first.strong), *sentences[1:]]
        found += sentences
    return found


def missing(tables: Tables, panels: list[PanelNumbers]) -> list[Sentence]:
    """Failed trials, objectives that are not complete, and what a run of an earlier version lacks."""
    failed = tables.results.failed_trials.items()
    found = [Sentence(f"Failed: {display_text(trial)}: {display_text(error)}", alarm=True) for trial, error in failed]
    if not tables.results.averaged_tasks:
        found.append(Sentence("No row of this suite enters a mean over tasks: every row is shown by itself."))
    else:
        incomplete = list(dict.fromkeys(label for numbers in panels for label in numbers.incomplete))
        if incomplete:
            found.append(Sentence(f"Incomplete, not compared: {panels[0].listed(incomplete)}.", alarm=True))
        rows = {row["objective"]: row for numbers in panels for row in numbers.rows if row["seeds"] < tables.seeds}
        if rows:
            cells = [f"{panels[0].names[label]} {int(row['seeds'])}" for label, row in rows.items()]
            found.append(Sentence(f"Fewer seeds finished than the {tables.seeds} of the others: {apart(cells)}.", alarm=True))
    return [*found, *(Sentence(text) for text in provenance_sentences(tables.results))]


def few_items(tables: Tables) -> list[Sentence]:
    """Why there are no intervals, where one of the tasks has too few items for any."""
    compared = tables.comparisons[tables.comparisons["task"] == MEAN_TASK].dropna(subset="difference")
    return [] if compared.empty or compared["p"].notna().any() else [Sentence(FEW_ITEMS)]
