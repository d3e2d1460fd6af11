"""A leaderboard as data: suite TOML -> Suite. Ten rows of task, shots, metric, filter, chance level and direction.

The filter is not optional, because a task may report several and papers differ in which they quote; shots differ per row.
A changed suite is a new version: scores of two versions never enter one average.
"""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, ValidationError, field_validator

from harness.config import Part, explain, find_toml, read_toml, resolve_path
from harness.errors import UserError


class SuiteTask(Part):
    """One row of the leaderboard. `limit` restricts the row to its first items, for trials."""

    name: str = Field(min_length=1)
    label: str = Field(min_length=1, max_length=24)
    shots: int = Field(ge=0)
    metric: str = Field(min_length=1)
    filter: str = "none"
    chance: float = Field(ge=0, lt=1)
    higher_is_better: bool = True
    stands_for: str | None = None
    limit: int | None = Field(default=None, ge=1)


class Suite(Part):
    """A leaderboard: `name` is the file's stem, `source` its folder (relative include paths start there)."""

    name: str
    source: str
    title: str
    version: str
    lm_eval: str
    include_defaults: bool = False
    include_paths: tuple[str, ...] = ()
    apply_chat_template: bool = False
    fewshot_as_multiturn: bool = True
    published: tuple[str, ...] = ()  # files of results/published that show this suite's numbers in papers
    task: list[SuiteTask] = Field(min_length=1)

    @field_validator("task")
    @classmethod
    def _distinct(cls, value: list[SuiteTask]) -> list[SuiteTask]:
        for attribute in ("name", "label"):
            names = [getattr(row, attribute) for row in value]
            repeated = sorted({n for n in names if names.count(n) > 1})
            if repeated:
                raise ValueError(f"two tasks have the {attribute} {repeated[0]!r}")
        return value

    def folders(self) -> list[Path]:
        """Absolute folders of task files to scan."""
        return [resolve_path(p, Path(self.source)).resolve() for p in self.include_paths]


def load_suite(name: str) -> Suite:
    """A suite by name or path. Raises UserError naming the key that does not fit."""
    path = find_toml("suites", name)
    tree = {**read_toml(path), "name": path.stem, "source": str(path.resolve().parent)}
    try:
        suite = Suite.model_validate(tree)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        if first["type"] == "extra_forbidden" and len(first["loc"]) > 1:
            raise UserError(f'{path}: unknown key "{where}"; a task has {", ".join(SuiteTask.model_fields)}') from None
        raise UserError(f"{path}: {explain(error, Suite)}") from None
    for folder in suite.folders():
        if not folder.is_dir():
            raise UserError(f"{path}: include_paths names {folder}, which is no folder")
    return suite
