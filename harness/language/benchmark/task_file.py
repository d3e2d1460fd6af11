"""lm-eval's task files as its index lists them: tasks, groups and tags, and the tasks behind each. Nothing is loaded."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

# A group's own keys; any other key of its file is a setting of all its tasks.
GROUP_KEYS = {"group", "group_alias", "task", "aggregate_metric_list", "metadata", "tag"}
TASK_DEFINING_KEYS = {"dataset_path", "custom_dataset", "class"}


@dataclass(frozen=True)
class TaskFile:
    """One of lm-eval's tasks, groups or tags. members: what a group or tag lists; settings: those of its own file."""

    name: str
    settings: Mapping[str, Any]
    members: tuple[Any, ...] = ()

    @property
    def is_group(self) -> bool:
        return "group" in self.settings and "class" not in self.settings

    @property
    def is_tag(self) -> bool:
        return not self.settings


def subtasks(name: str, files: Mapping[str, TaskFile]) -> Iterator[TaskFile | str]:
    """The tasks behind a name, groups and tags expanded; an unknown name is returned as text.

    A group's settings are those of its tasks unless a member has its own, as in lm-eval's factory.
    """
    return _expand(files[name], {}, files, ()) if name in files else iter([name])


def _expand(
    entry: TaskFile, overrides: Mapping[str, Any], files: Mapping[str, TaskFile], ancestors: tuple[str, ...]
) -> Iterator[TaskFile | str]:
    if entry.name in ancestors:
        yield f"{entry.name}, which contains itself,"
    elif entry.is_tag or entry.is_group:
        group_settings = {key: value for key, value in entry.settings.items() if key not in GROUP_KEYS}
        for member in entry.members:
            yield from _expand_member(member, entry.name, {**group_settings, **overrides}, files, (*ancestors, entry.name))
    else:
        yield TaskFile(entry.name, {**entry.settings, **overrides})


def _expand_member(
    member: Any, group: str, overrides: Mapping[str, Any], files: Mapping[str, TaskFile], ancestors: tuple[str, ...]
) -> Iterator[TaskFile | str]:
    """member: a name, a task with settings of its own, or a group: an existing one, or one defined in place."""
    own = member if isinstance(member, Mapping) else {"task": member}
    name = str(own["group"] if "group" in own else own.get("task"))
    if "group" in own and name not in files:
        tasks = own.get("task")
        inline = TaskFile(f"{group}::{name}", own, tuple(tasks) if isinstance(tasks, list) else ())
        yield from _expand(inline, overrides, files, ancestors)
    elif name in files:
        settings = {key: value for key, value in own.items() if key != "group"} if isinstance(member, Mapping) else {}
        yield from _expand(files[name], {**overrides, **settings}, files, ancestors)
    elif TASK_DEFINING_KEYS & {*overrides, *own}:
        yield TaskFile(f"{group}::{name}", {**overrides, **own})
    else:
        yield name
