"""What a run takes from the hub, in one list: the model, the adapter it starts from, pairs, and what the suite's tasks ask."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from harness.config import RunConfig
from harness.errors import UserError
from harness.language.benchmark.suite_check import RowNeeds
from harness.loop.suite import Suite
from harness.settings.paths import PACKAGE, resolve_path
from harness.sources.mirror import Wanted, found_in, is_hub_id, place, wanted_adapter, wanted_data, wanted_model

# What a task file may name in place of a data set: the loader of a kind of file.
LOADERS = {"arrow", "csv", "json", "pandas", "parquet", "text", "xml", "webdataset"}
PUNKT = "punkt_tab"  # the one resource of NLTK's that lm-eval's tasks read


def wanted_by_run(config: RunConfig, suite: Suite, needs: Sequence[RowNeeds], mirror: Path) -> list[Wanted]:
    """Everything, each thing once. A folder of this machine is no hub id, unless it lies in the mirror itself."""
    model, data = config.model, config.data
    found = [
        wanted_model(model.path, model.revision),
        *([wanted_adapter(model.adapter)] if model.adapter else []),
        wanted_data(data.source, heldout=False),
        *([wanted_data(data.heldout, heldout=True)] if data.heldout else []),
    ]
    found = [w for w in found if is_hub_id(w.id) and not _local(w.id, mirror)]
    return list({(w.kind, w.id): w for w in found + wanted_by_suite(suite, needs)}.values())


def _local(name: str, mirror: Path) -> bool:
    path = resolve_path(name)
    return path.exists() and not path.resolve().is_relative_to(mirror.resolve())


def wanted_by_suite(suite: Suite, needs: Sequence[RowNeeds]) -> list[Wanted]:
    """The data sets of the suite's tasks, or the judge's questions; and NLTK's where a task needs them."""
    file = Path(suite.source, f"{suite.name}.toml")
    options = ("--suite", suite.name if file.parent == PACKAGE / "suites" else str(file))
    asked = {name for row in needs for name in row.data if name not in LOADERS}
    if suite.judge is not None and not resolve_path(suite.judge.questions, Path(suite.source)).exists():
        asked.add(suite.judge.questions)
    data = sorted(filter(is_hub_id, asked))
    nltk = [Wanted("nltk", PUNKT, options)] if any("nltk" in row.packages for row in needs) else []
    return [Wanted("data", name, options) for name in data] + nltk


def lacking(suite: Suite, needs: Sequence[RowNeeds], mirror: Path | None) -> Iterator[str]:
    """What of it the mirror does not have or has damaged, one line each that says what to do. NLTK's may be the machine's own."""
    if mirror is None:
        return
    for wanted in wanted_by_suite(suite, needs):
        if wanted.kind == "nltk" and not (mirror / place(wanted.kind, wanted.id)).is_dir():
            continue
        try:
            found_in(mirror, wanted)
        except UserError as error:
            yield str(error)
