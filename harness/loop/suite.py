"""A leaderboard as data: suite TOML -> Suite. Rows of task, shots, metric, filter, chance level, direction and range.

The filter is not optional, because a task may report several and papers differ in which they quote; shots differ per row.
A changed suite is a new version: scores of two versions never enter one average.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError, ValidationInfo, field_validator, model_validator
from pydantic_core import PydanticCustomError

from harness.analysis.score_scale import describe_unaveraged, infer_scale
from harness.config import Section
from harness.errors import UserError
from harness.loop.judge_settings import LOCATION_KEYS, MAX_RATING, MIN_RATING, JudgeSettings
from harness.settings.paths import resolve_path
from harness.settings.safe_paths import NAME_RULE, FileName, Label, is_safe_name
from harness.settings.toml_files import find_toml, read_toml
from harness.settings.validation import format_error

RESERVED_COLUMNS = {
    "objective", "iteration", "seeds", "mean", "item_stderr", "seed_sd", "mean_low", "mean_high", "normalised_mean",
    "interquartile_mean", "best", "source",
}  # fmt: skip
QUESTION_FIELD = "doc_to_text"  # lm-eval's name for the text of a question, without shots
KEYS_ADDED_LATER = ("range", "cluster")  # keys of a row that the first runs did not have


class SuiteTask(Section):
    """One row of the leaderboard. `limit` restricts the row to its first items, to try it out.

    A row enters the mean over tasks when its number rises from 0 to 1, or when it has a `range` (worst and best value, in either
    direction, as [low, high]); any other row stands beside the mean: see analysis/score_scale.py. `chance` is in the row's own
    unit.

    `cluster` is what dependent items share: a column of the task's documents (a passage, a
    subject, an id), or "doc_to_text", the question's own text. Items that are equal in it are one cluster, in all the tasks of a
    group; standard errors and tests then count clusters. n stays the number of items.
    """

    name: FileName
    label: Label = Field(min_length=1, max_length=24)
    shots: int = Field(ge=0)
    metric: Label = Field(min_length=1, max_length=200)
    filter: Label = Field(default="none", max_length=200)
    range: tuple[float, float] | None = None
    chance: float
    higher_is_better: bool = True
    stands_for: str | None = None
    limit: int | None = Field(default=None, ge=1)
    cluster: str | None = Field(default=None, min_length=1)

    def num_items(self, available: int, limit: int | None) -> int:
        """How many of its items are evaluated, under the row's own limit and the run's."""
        return min([available, *(bound for bound in (self.limit, limit) if bound is not None)])

    @field_validator("range")
    @classmethod
    def _check_range(cls, value: tuple[float, float] | None) -> tuple[float, float] | None:
        if value is not None and not (math.isfinite(value[0]) and math.isfinite(value[1]) and value[0] < value[1]):
            raise PydanticCustomError("range", "expected [low, high], two numbers of which the first is smaller")
        return value

    @field_validator("chance")
    @classmethod
    def _check_chance(cls, value: float, info: ValidationInfo) -> float:
        low, high = info.data.get("range") or (0.0, 1.0)
        if not low <= value <= high:
            raise PydanticCustomError(
                "chance", "expected a number from {low} to {high}", {"low": f"{low:g}", "high": f"{high:g}"}
            )
        return value

    @model_validator(mode="after")
    def _check_chance_below_best(self) -> SuiteTask:
        best = (self.range or (0.0, 1.0))[1 if self.higher_is_better else 0]
        if self.chance == best and (self.range or self.higher_is_better):
            raise ValueError(f"chance={self.chance:g} is the best value there is; nothing could be better than chance")
        return self


class Suite(Section):
    """A leaderboard: `name` is the file's stem, `source` its folder (relative include paths start there)."""

    name: str
    source: str
    title: str = Field(max_length=300)
    version: Label = Field(max_length=100)
    lm_eval: str | None = None
    include_defaults: bool = False
    include_paths: tuple[str, ...] = ()
    apply_chat_template: bool = False
    fewshot_as_multiturn: bool = True
    published: tuple[FileName, ...] = Field(
        default=(), strict=False
    )  # files of results/published with papers' numbers on this suite
    task: list[SuiteTask] = Field(min_length=1, max_length=1000)
    judge: JudgeSettings | None = None  # a suite has lm-eval's tasks or a judge, whose rows are categories of questions

    @field_validator("task")
    @classmethod
    def _check_unique_names(cls, value: list[SuiteTask]) -> list[SuiteTask]:
        if reserved := sorted({row.name for row in value} & RESERVED_COLUMNS):
            raise ValueError(f"a task has the name {reserved[0]!r}, which is another column of the leaderboard")
        for attribute in ("name", "label"):
            names = [getattr(row, attribute) for row in value]
            repeated = sorted({n for n in names if names.count(n) > 1})
            if repeated:
                raise ValueError(f"two tasks have the {attribute} {repeated[0]!r}")
        return value

    def identity(self) -> str:
        """What of a suite changes numbers, as text; for a suite without a judge the text is as before suites could have one."""
        excluded: dict[str, Any] = {"source": True, "published": True, "judge": set(LOCATION_KEYS) if self.judge else True}
        unset = {n: {key for key in KEYS_ADDED_LATER if getattr(row, key) is None} for n, row in enumerate(self.task)}
        excluded["task"] = {n: keys for n, keys in unset.items() if keys}
        return self.model_dump_json(exclude=excluded)  # type: ignore[arg-type]

    def unaveraged_tasks(self) -> dict[str, str]:
        """The rows that cannot enter the mean over tasks, by name, with the reason; the numbers of a run may exclude more."""
        scales = {row.name: (row, infer_scale(row.model_dump())) for row in self.task}
        return {name: describe_unaveraged(row.model_dump(), scale) for name, (row, scale) in scales.items() if not scale.in_mean}

    def include_folders(self) -> list[Path]:
        """Absolute folders of task files to scan."""
        return [resolve_path(p, Path(self.source)).resolve() for p in self.include_paths]


def load_suite(name: str, source: str = "") -> Suite:
    """A suite by name or path. source: the option or file that names it. Raises UserError naming the key that does not fit."""
    path = find_toml("suites", name, source)
    if not is_safe_name(path.stem):
        raise UserError(f"{path}: a suite's name is its file's stem, {NAME_RULE}; rename the file")
    tree = {**read_toml(path), "name": path.stem, "source": str(path.resolve().parent)}
    try:
        suite = Suite.model_validate(tree)
    except ValidationError as error:
        raise UserError(f"{path}: {_format_error(error)}") from None
    if (problem := _find_kind_error(suite)) is not None:
        raise UserError(f"{path}: {problem}")
    if not all(text.removeprefix("builtin:").strip() for text in suite.include_paths):
        raise UserError(f"{path}: include_paths has an empty path; name a folder (the suite's own is .)")
    for folder in suite.include_folders():
        if not folder.is_dir():
            raise UserError(f"{path}: include_paths names {folder}, which is no folder")
    return suite


def _format_error(error: ValidationError) -> str:
    """The first error as one clause. A missing key is named without its section's values: an address may hold a password."""
    first = error.errors()[0]
    key = ".".join(str(part) for part in first["loc"])
    if first["type"] == "missing":
        return f'has no "{key}"'
    if first["type"] == "extra_forbidden" and len(first["loc"]) > 1:
        kind, known = ("a judge", JudgeSettings) if first["loc"][0] == "judge" else ("a task", SuiteTask)
        return f'unknown key "{key}"; {kind} has {", ".join(known.model_fields)}'
    return format_error(error, Suite)


def _find_kind_error(suite: Suite) -> str | None:
    """A key that a suite with a judge, or one without, must not have or lacks, as a message; None when there is none."""
    if suite.judge is None:
        return None if suite.lm_eval else 'has neither "lm_eval", the version its tasks are of, nor a [judge]'
    for key in ("lm_eval", "include_defaults", "include_paths", "apply_chat_template"):
        if getattr(suite, key):
            return f"has a [judge] and {key}; a suite is lm-eval's tasks or judged, not both"
    for row in suite.task:
        if (row.metric, row.filter, row.shots, row.chance) != ("rating", "none", 0, MIN_RATING / MAX_RATING):
            return (
                f'task {row.name}: a judged row has metric = "rating", filter = "none", shots = 0 and '
                f"chance = {MIN_RATING / MAX_RATING} (the lowest rating is {MIN_RATING} of {MAX_RATING})"
            )
        if row.range is not None or not row.higher_is_better:
            return (
                f"task {row.name}: a judged row has no range and no higher_is_better; ratings rise from "
                f"{MIN_RATING} to {MAX_RATING}"
            )
        if row.cluster == QUESTION_FIELD:
            return f"task {row.name}: a judged row's cluster is a column of its questions, not {QUESTION_FIELD}"
        if row.name not in suite.judge.temperatures:
            return f"task {row.name}: judge.temperatures has no such category"
    return None
