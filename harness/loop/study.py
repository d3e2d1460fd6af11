"""A study: which variants to train, what to choose or compare, how to show it. studies/*.toml -> Study."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError, model_validator

from harness.config import Section
from harness.discovery.spelling import parse_spellings
from harness.errors import UserError
from harness.settings.recipe_files import resolve_recipe_path
from harness.settings.safe_paths import FileName, Label
from harness.settings.toml_files import find_toml, read_toml
from harness.settings.validation import format_error

TIE_TOLERANCE = 1e-9  # scores (0 to 1) that differ by less differ by rounding: one item in a million is more


class Grid(Section):
    """Every objective is trained at each value of `key`, with the same budget; the validation suite alone chooses."""

    key: str
    values: list[float] = Field(min_length=2)
    validation: str
    choose: Literal["last", "best"] = "last"  # the iteration whose validation mean decides


class Arm(Section):
    """One row of the study's table: a variant as on the command line, and what it stands for."""

    variant: str
    note: Label = Field(max_length=2000)


class Contrast(Section):
    """Two checkpoints to compare, `variant@iteration` with a number or `last`: the difference is a minus b."""

    question: Label = Field(max_length=2000)
    a: str = Field(pattern=r".+@(\d+|last)$")
    b: str = Field(pattern=r".+@(\d+|last)$")


class Study(Section):
    """Its paths start at its own folder.

    `iterations_shown` are the columns of the study's table; `published` names a file of results/published beside it.
    `figure` is the study's first figure: rates (score against the grid's values), pairs (arms against annotated pairs and
    compute), tokens (arms against tokens), differences (its contrasts).
    """

    name: str
    folder: str | None = None  # in which paths of its objectives start; None: the working directory
    title: str = Field(max_length=300)
    question: str = Field(max_length=2000)
    recipe: str = "lab"
    objectives: str
    iterations: int = Field(ge=1)
    seeds: list[int] = Field(min_length=1)
    suite: str | None = None
    grid: Grid | None = None
    tuned_by: FileName | None = None
    iterations_shown: tuple[int, ...] = ()
    arm: tuple[Arm, ...] = ()
    contrast: tuple[Contrast, ...] = ()
    published: FileName | None = None
    figure: Literal["rates", "pairs", "tokens", "differences"] | None = None  # its first figure; None: the stability figure

    @model_validator(mode="after")
    def _has_what_its_figure_shows(self) -> Study:
        needed = {"rates": ("grid", self.grid), "pairs": ("arm", self.arm), "tokens": ("arm", self.arm),
                  "differences": ("contrast", self.contrast)}  # fmt: skip
        if self.figure is not None and not needed[self.figure][1]:
            raise ValueError(f"figure {self.figure} shows the study's {needed[self.figure][0]}, of which it has none")
        return self

    def variants(self) -> str:
        """The variants to train, as on the command line; with a grid, every objective at every value."""
        if self.grid is None:
            return self.objectives
        return ",".join(
            spelling.with_setting(self.grid.key, format_value(value))
            for spelling in parse_spellings(self.objectives, f"study {self.name}: objectives")
            for value in self.grid.values
        )


def format_value(value: float) -> str:
    """A number as text: short where that is exactly the number, else in full."""
    if float(f"{value:g}") == value:
        return f"{value:g}"
    return str(int(value)) if value.is_integer() else repr(value)


def load_study(name: str) -> Study:
    """A study by name or path. Raises UserError naming the key that does not fit."""
    path = find_toml("studies", name, "study")
    try:
        study = Study.model_validate({**read_toml(path), "name": path.stem, "folder": str(path.absolute().parent)})
    except ValidationError as error:
        raise UserError(f"{path}: {format_error(error, Study)}") from None
    updates: dict[str, Any] = {"recipe": _resolve(study.recipe, path), "suite": _resolve(study.suite, path)}
    if study.grid is not None:
        updates["grid"] = study.grid.model_copy(update={"validation": _resolve(study.grid.validation, path)})
    return study.model_copy(update=updates)


def _resolve(name: str | None, study: Path) -> str | None:
    """A recipe or a suite of a study: a name as it stands, a path from the root, where it started at the study's folder."""
    return name if name is None else resolve_recipe_path("evaluation.suite", name, study.parent)


def choose(grid: Grid, candidates: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Rows (objective, value, validation_last, validation_best, ...) with `chosen` set on one row per objective, and `at_edge`
    where that is the smallest or largest value tried: a better one may lie outside.

    The highest validation mean at the deciding iteration wins, the smaller value on a tie, whatever the order of summing. A
    candidate without a number (its trial failed) cannot be chosen; an objective without any candidate left has no chosen row.
    """
    best: dict[str, Mapping[str, Any]] = {}
    score_column = f"validation_{grid.choose}"
    for row in sorted(candidates, key=lambda r: r["value"]):
        score = row[score_column]
        if score is not None and (row["objective"] not in best or score - best[row["objective"]][score_column] > TIE_TOLERANCE):
            best[row["objective"]] = row
    rows = []
    for row in candidates:
        tried = [r["value"] for r in candidates if r["objective"] == row["objective"]]
        chosen = best.get(row["objective"]) is row
        rows.append({**row, "chosen": chosen, "at_edge": chosen and row["value"] in (min(tried), max(tried))})
    return rows
