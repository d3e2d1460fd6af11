"""The file of one row in results/bench: every round as soon as it is measured; of one machine and one version of the code."""

import json
import os
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from harness.files import file_digest, write_json
from harness.records import digest
from tests.bench.measure import ROOT, processor_name

PACKAGES = ("torch", "transformers", "peft", "lm_eval", "trl", "datasets")
CODE_FOLDERS = ("harness", "objectives")
CODE_SUFFIXES = (".py", ".toml", ".yaml")


def code_digest(root: Path = ROOT, folders: Iterable[str] = CODE_FOLDERS) -> str:
    """Digest of the contents of the measured code, committed or not."""
    paths = (path for folder in folders for path in sorted((root / folder).rglob("*")) if path.suffix in CODE_SUFFIXES)
    return digest(*(f"{path.relative_to(root)} {file_digest(path)}" for path in paths))


def current_identity() -> dict[str, Any]:
    """What numbers must share to stand in one row, but for the sizes of the work."""
    return {"processor": processor_name(), "cores": os.cpu_count(), "code": code_digest(), "packages": installed(PACKAGES)}


def installed(names: Iterable[str]) -> dict[str, str]:
    versions = {}
    for name in names:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    return versions


class RowFile:
    """`content` is what the file holds: identity, sizes, tried, rounds, bound, unit, profile.

    note: why what the file held before is not gone on with; None where it is, or where there was none.
    """

    def __init__(self, path: Path, identity: dict[str, Any]) -> None:
        self.path, self.identity = path, identity
        self.note: str | None = None
        self.content = read_row(path) or self._empty()
        if difference := first_difference(self.content["identity"], identity):
            self.start_anew(f"was measured with {difference}")

    def _empty(self) -> dict[str, Any]:
        return {"row": self.path.stem, "identity": self.identity, "sizes": None, "tried": {}, "rounds": []}

    def start_anew(self, note: str | None) -> None:
        """Forget what was measured; the file itself is replaced at the next `save`."""
        self.note, self.content = note, self._empty()

    def set_sizes(self, sizes: dict[str, Any]) -> None:
        """Sizes of the work; rounds of other sizes are forgotten, sizes that were tried are kept."""
        sizes = json.loads(json.dumps(sizes))
        if self.content["rounds"] and (difference := first_difference(self.content["sizes"], sizes)):
            tried = self.content["tried"]
            self.start_anew(f"was measured with {difference}")
            self.content["tried"] = tried
        self.content["sizes"] = sizes

    def is_finished(self, repeats: int) -> bool:
        return len(self.content["rounds"]) >= repeats and "profile" in self.content

    def add_round(self, measured: dict[str, Any]) -> None:
        self.content["rounds"].append(measured)
        self.save()

    def save(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        write_json(self.path, self.content)


def read_row(path: Path) -> dict[str, Any] | None:
    """A row's file; None where there is none."""
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None


def first_difference(before: Any, now: Any, name: str = "") -> str | None:
    """ "NAME A, now B" of the first entry that is not equal, None where all are."""
    if before == now:
        return None
    if isinstance(before, dict) and isinstance(now, dict):
        keys = [*before, *(key for key in now if key not in before)]
        return next(filter(None, (first_difference(before.get(key), now.get(key), str(key)) for key in keys)))
    return f"{name} {before}, now {now}"
