"""lm-eval's task files as its index has them: tasks, groups and tags, and the tasks behind each of them. Nothing is loaded."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

# A group's own keys; any other key of its file is a setting of all its tasks.
GROUP_KEYS = {"group", "group_alias", "task", "aggregate_metric_list", "metadata", "tag"}
MAKES_A_TASK = {"dataset_path", "custom_dataset", "class"}


@dataclass(frozen=True)
class TaskFile:
    """One of lm-eval's tasks, groups or tags. members: what a group or tag names; settings: its own, as its file has them."""

    name: str
    settings: Mapping[str, Any]
    members: tuple[Any, ...] = ()

    @property
    def is_group(self) -> bool:
        return "group" in self.settings and "class" not in self.settings

    @property
    def is_tag(self) -> bool:
        return not self.settings


def leaves(name: str, files: Mapping[str, TaskFile]) -> Iterator[TaskFile | str]:
    """The tasks behind a name, groups and tags opened; a name that leads nowhere comes back as text.

    A group's settings are those of its tasks unless a member has its own, as in lm-eval's factory.
    """
    if name in files:
        yield from _opened(files[name], {}, files, ())
    else:
        yield name


def _opened(
    here: TaskFile, overrides: Mapping[str, Any], files: Mapping[str, TaskFile], inside: tuple[str, ...]
) -> Iterator[TaskFile | str]:
    if here.name in inside:
        yield f"{here.name}, which contains itself,"
    elif here.is_tag or here.is_group:
        own = {key: value for key, value in here.settings.items() if key not in GROUP_KEYS}
        for member in here.members:
            yield from _member(member, here.name, {**own, **overrides}, files, (*inside, here.name))
    else:
        yield TaskFile(here.name, {**here.settings, **overrides})


def _member(
    member: Any, group: str, overrides: Mapping[str, Any], files: Mapping[str, TaskFile], inside: tuple[str, ...]
) -> Iterator[TaskFile | str]:
    """A name, a task with settings of its own, or a group: one that there is, or one written out in place."""
    own = member if isinstance(member, Mapping) else {}
    if "group" in own:
        name = str(own["group"])
        if name in files:
            settings = {key: value for key, value in own.items() if key != "group"}
            yield from _opened(files[name], {**overrides, **settings}, files, inside)
        else:
            tasks = own.get("task")
            inline = TaskFile(f"{group}::{name}", own, tuple(tasks) if isinstance(tasks, list) else ())
            yield from _opened(inline, overrides, files, inside)
        return
    name = str(own.get("task") if own else member)
    settings = {**overrides, **own}
    if name in files:
        yield from _opened(files[name], settings, files, inside)
    elif MAKES_A_TASK & settings.keys():
        yield TaskFile(f"{group}::{name}", settings)
    else:
        yield name
