"""What a panel has in its tables, for the sentences of the first page: complete objectives, their pairs and names."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pandas as pd

from harness.analysis.frames import select
from harness.analysis.stats import MIN_SEEDS_FOR_INTERVAL, SIGNIFICANCE_LEVEL
from harness.records import INITIAL
from harness.reporting.figures.methods import baseline, display_names
from harness.reporting.tables.reading import Tables

START = "the start"
MAX_LISTED = 8  # names in a sentence


@dataclass(frozen=True)
class PanelNumbers:
    """panel: {title, labels}. All means are shares of 1."""

    tables: Tables
    panel: Mapping[str, Any]

    @cached_property
    def names(self) -> dict[str, str]:
        """Label -> the name that a reader knows, "S-SimPO"."""
        return {INITIAL: START, **display_names(self.tables.results.record["variants"])}

    @cached_property
    def rows(self) -> list[dict[str, Any]]:
        """The complete objectives' rows of standing.csv, the highest last mean first. Where the others have seeds enough for an
        interval over seeds, one that has not is not complete: one seed is no result."""
        ranking = select(self.tables.ranking, panel=self.panel["title"])
        if "last" not in ranking or pd.isna(self.tables.initial_scores()["mean"]):
            return []
        ranking = ranking.dropna(subset="last").sort_values("last", ascending=False, kind="stable")
        enough = min(MIN_SEEDS_FOR_INTERVAL, ranking["seeds"].astype(int).max()) if len(ranking) else 0
        return ranking[ranking["seeds"].astype(int) >= enough].to_dict("records")

    @cached_property
    def labels(self) -> list[str]:
        return [row["objective"] for row in self.rows]

    @property
    def incomplete(self) -> list[str]:
        return [label for label in self.panel["labels"] if label not in self.labels]

    @cached_property
    def baseline(self) -> str | None:
        """Supervised fine-tuning among the complete ones, or None."""
        return baseline(
            self.tables.results.record["variants"], [str(label) for label in self.panel["labels"] if label in self.labels]
        )

    @cached_property
    def leaders(self) -> list[str]:
        """Those with the highest last mean; several where they are equal."""
        return [row["objective"] for row in self.rows if row["leader"]] or self.labels[:1]

    @property
    def reference(self) -> str:
        """What the others are held against: the baseline, else the leader."""
        return self.baseline or self.leaders[0]

    @property
    def has_few_seeds(self) -> bool:
        return self.tables.seeds < MIN_SEEDS_FOR_INTERVAL

    def pair(self, a: str, b: str) -> dict[str, Any] | None:
        """a minus b in the mean over tasks at the last iteration, paired; None where the two were not compared."""
        return self.tables.pair(self.panel["title"], a, b)

    def is_different(self, a: str, b: str) -> bool | None:
        """Whether Holm's p is below SIGNIFICANCE_LEVEL; None without a p."""
        pair = self.pair(a, b)
        return None if pair is None or pd.isna(pair["p_holm"]) else bool(pair["p_holm"] < SIGNIFICANCE_LEVEL)

    def above(self, b: str) -> list[str]:
        """The complete objectives that are above b, told apart from it."""
        return [a for a in self.labels if a != b and self.is_different(a, b) and (self.pair(a, b) or {})["difference"] > 0]

    def below(self, b: str) -> list[str]:
        return [a for a in self.labels if a != b and self.is_different(a, b) and (self.pair(a, b) or {})["difference"] < 0]

    def collapsed(self) -> list[str]:
        """The objectives with a finding of the collapse detector, in the order of the rows, incomplete ones last."""
        found = set(self.tables.read("tables/collapse.csv")["objective"])
        return [label for label in [*self.labels, *self.incomplete] if label in found]

    def kind_of(self, labels: Iterable[str]) -> str:
        """self-play objective, where all of them learn from generated responses; else objective."""
        variants = self.tables.results.record["variants"]
        needs = [variants[label]["needs"] for label in labels]
        is_self_play = needs and all(any(part["synthetic"] or part["proto"] for part in of_label) for of_label in needs)
        return "self-play objective" if is_self_play else "objective"

    def listed(self, labels: Iterable[str]) -> str:
        """Their names; of more than MAX_LISTED the first, and how many more there are."""
        names = [self.names[label] for label in labels]
        more = len(names) - MAX_LISTED
        return listing([*names[:MAX_LISTED], f"{more} more"] if more > 1 else names)


def panels_of(tables: Tables) -> list[PanelNumbers]:
    return [PanelNumbers(tables, panel) for panel in tables.panels]


def listing(words: list[str]) -> str:
    """SPACE, SPIN and T-SPIN; SPACE; SPACE, mu 7 and SPIN."""
    return words[0] if len(words) == 1 else f"{apart(words[:-1])} and {words[-1]}" if words else ""


def apart(words: list[str]) -> str:
    """SPACE, SPIN; of names with commas SPACE; SPACE, mu 7."""
    return ("; " if any("," in word for word in words) else ", ").join(words)


NUMBER_WORDS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")


def counted(count: int, singular: str, plural: str = "") -> str:
    """six objectives, one seed, 40 iterations."""
    return f"{in_words(count)} {singular if count == 1 else plural or singular + 's'}"


def in_words(count: int) -> str:
    return NUMBER_WORDS[count] if count < len(NUMBER_WORDS) else f"{count:,}"


def capital(words: str) -> str:
    return words[:1].upper() + words[1:]
