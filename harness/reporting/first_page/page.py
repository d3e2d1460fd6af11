"""What the first page consists of. The PDF, the explorer and the screen draw the same one."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Sentence:
    """alarm: it tells of a collapse or of a task that measures nothing, and is drawn in red; strong: it carries the answer."""

    text: str
    alarm: bool = False
    strong: bool = False


@dataclass(frozen=True)
class Answer:
    """One question of the reader's with what the tables say."""

    question: str
    sentences: tuple[Sentence, ...]


@dataclass(frozen=True)
class Link:
    """One entry of the line of provenance. target: a path relative to the report, or an address; empty for plain words."""

    text: str
    target: str = ""


@dataclass(frozen=True)
class FirstPage:
    """title: the finding. lead: of what, in one line, with the one caveat that matters most. figure, caption: of the run's plots
    folder, by its stem. provenance: one line."""

    title: str
    lead: str
    answers: tuple[Answer, ...]
    figure: str = ""
    caption: str = ""
    provenance: tuple[Link, ...] = field(default=())
