"""The data dictionary: what every column of every csv file of a run means, its unit, its interval, its direction.

Written once, here: which columns are read as text follows from it, and harness/docs/columns.md is generated from it. A test holds
it against the files that a run writes, in both directions.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property

TEXT = "text"  # the unit of columns of words
PLACEHOLDER = re.compile(r"<(\w+)>")
HIGHER, LOWER = "higher is better", "lower is better"
AS_SUITE = "as the task: `higher_is_better` of the suite"


@dataclass(frozen=True)
class Column:
    """One column. name: as in the file; `<...>` stands for a name, as of a task. unit: TEXT, or of a number. interval: of the
    columns `NAME_low` and `NAME_high` beside it, or of `low` and `high`, what it is over; direction: which way is better."""

    name: str
    meaning: str
    unit: str
    interval: str = ""
    direction: str = ""

    @cached_property
    def pattern(self) -> re.Pattern[str]:
        """The names in a file that this column stands for."""
        literal = (re.escape(part) for part in PLACEHOLDER.split(self.name)[::2])
        return re.compile(".+".join(literal))

    @property
    def has_placeholder(self) -> bool:
        return PLACEHOLDER.search(self.name) is not None


@dataclass(frozen=True)
class Measurement:
    """One value of the column `name` of a long table, which has a row per number: what `value` is in that row."""

    name: str
    meaning: str
    unit: str
    direction: str = ""


@dataclass(frozen=True)
class TableFile:
    """One csv file. path: in the run folder. when: in which runs it is. names: values of its column `name`, where it is long."""

    path: str
    meaning: str
    columns: tuple[Column, ...]
    when: str = ""
    names: tuple[Measurement, ...] = ()

    @property
    def file(self) -> str:
        return self.path.rpartition("/")[2]

    @property
    def text_columns(self) -> tuple[str, ...]:
        """The columns of words with a fixed name."""
        return tuple(column.name for column in self.columns if column.unit == TEXT)

    def column(self, name: str) -> Column | None:
        """The definition of a column of the file: the one of that name, else the one whose pattern fits; None without one."""
        exact = next((column for column in self.columns if column.name == name), None)
        fitting = (column for column in self.columns if column.has_placeholder and column.pattern.fullmatch(name))
        return exact or next(fitting, None)


def with_bounds(*columns: Column) -> tuple[Column, ...]:
    """Each column, and the two ends of its interval where it has one."""
    found: list[Column] = []
    for column in columns:
        found.append(column)
        if column.interval:
            for end, word in (("low", "lower"), ("high", "upper")):
                found.append(Column(f"{column.name}_{end}", f"{word} end of the 95 % interval of `{column.name}`", column.unit))
    return tuple(found)


def suffixed(columns: Iterable[Column], suffix: str, whose: str) -> tuple[Column, ...]:
    """The columns once more for one side or iteration: `NAME_SUFFIX`."""
    return tuple(replace(column, name=f"{column.name}_{suffix}", meaning=f"{column.meaning}{whose}") for column in columns)
