"""What a run needs from the hub, in one list: the model, the adapter it starts from, pairs, and the suite's data sets."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from harness.config import RunConfig
from harness.errors import UserError
from harness.language.benchmark.suite_check import TaskRequirements
from harness.language.local_sources import items_of_config
from harness.loop.suite import Suite
from harness.settings.paths import PACKAGE, resolve_path
from harness.sources.mirror import HubItem, is_hub_id, locate_item, relative_dir
from harness.sources.reachable import missing_without_hub

# What a task file may name in place of a data set: the loader of a kind of file.
FILE_LOADERS = {"arrow", "csv", "json", "pandas", "parquet", "text", "xml", "webdataset"}
PUNKT = "punkt_tab"  # the one resource of NLTK's that lm-eval's tasks read


def hub_items_of_run(config: RunConfig, suite: Suite, needs: Sequence[TaskRequirements], mirror: Path) -> list[HubItem]:
    """Every item once. A folder of this machine is no hub id, unless it lies in the mirror itself."""
    items = [item for item in items_of_config(config) if not _is_local(item.id, mirror)]
    return list({(item.kind, item.id): item for item in items + hub_items_of_suite(suite, needs)}.values())


def _is_local(name: str, mirror: Path) -> bool:
    path = resolve_path(name)
    return path.exists() and not path.resolve().is_relative_to(mirror.resolve())


def hub_items_of_suite(suite: Suite, needs: Sequence[TaskRequirements]) -> list[HubItem]:
    """The data sets of the suite's tasks, or the judge's questions; and NLTK's where a task needs them."""
    file = Path(suite.source, f"{suite.name}.toml")
    options = ("--suite", suite.name if file.parent == PACKAGE / "suites" else str(file))
    dataset_names = {name for row in needs for name in row.datasets if name not in FILE_LOADERS}
    if suite.judge is not None and not resolve_path(suite.judge.questions, Path(suite.source)).exists():
        dataset_names.add(suite.judge.questions)
    data = sorted(filter(is_hub_id, dataset_names))
    nltk = [HubItem("nltk", PUNKT, options)] if any("nltk" in row.packages for row in needs) else []
    return [HubItem("data", name, options) for name in data] + nltk


def missing_from_mirror(suite: Suite, needs: Sequence[TaskRequirements], mirror: Path | None) -> Iterator[str]:
    """One line, with what to do, for each item that the mirror lacks or has damaged; without a mirror, for each that this machine
    lacks where the hub cannot be reached. NLTK's may be the machine's own.
    """
    if mirror is None:
        items = hub_items_of_suite(suite, needs)
        for item, problem in missing_without_hub(items):
            yield f"{problem}; {item.advice('DIR')}, then add --mirror DIR"
        return
    for item in hub_items_of_suite(suite, needs):
        if item.kind == "nltk" and not (mirror / relative_dir(item.kind, item.id)).is_dir():
            continue
        try:
            locate_item(mirror, item)
        except UserError as error:
            yield str(error)
