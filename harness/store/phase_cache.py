"""Finished phases of the runs beside this one, found by what they were made from: equal inputs need no second making.

Two phases are the same when their kind, inputs (digests of weights, examples, samples and task documents), settings, base model
and library versions are. A phase taken over is checked against its recorded digests and says where it came from.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from harness.errors import UserError, system_line
from harness.files import MANIFEST, folder_digests, read_back, read_json, walk
from harness.records import digest
from harness.settings.safe_paths import TAKEN
from harness.store.provenance import NUMBERS_KEY, PROGRAM, package_versions
from harness.store.run_folder import FORMAT_VERSION, Finished, RunFolder
from harness.store.verification import harm

# A new version may compute anew; of another version of this program's numbers nothing is taken over.
COUNTED = ("torch", "transformers", "peft", "lm_eval", "tokenizers", PROGRAM, NUMBERS_KEY, "vllm")


class Neighbours:
    """The runs beside `run` that were made with the same base model; read once, when the first phase is looked for.

    Nothing of theirs is needed: what is damaged, foreign, changing or cannot be read is passed over, which the journal says.
    """

    def __init__(self, run: RunFolder) -> None:
        self.run = run

    def find(self, relative: str, inputs: Mapping[str, str], settings: Mapping[str, Any]) -> Finished | None:
        """A finished phase of another run made from exactly this, its files unharmed; None when there is none."""
        for path in self._known.get(_key(Path(relative).name, inputs, settings, package_versions()), ()):
            with self._passing_over(path):
                done = RunFolder(path.parent).finished(path.name)
                if done is None:
                    raise UserError(f"{path}: gone")
                if harmed := harm(path, done.manifest):
                    raise UserError(harmed)
                if odd := next((one for one in walk(path) if one.is_symlink() or not (one.is_file() or one.is_dir())), None):
                    raise UserError(
                        f"{odd}: neither a file nor a folder"
                    )  # a FIFO that is linked keeps whoever flushes it waiting
                if unexpected := sorted(folder_digests(path).keys() - done.manifest.outputs.keys()):
                    raise UserError(f"{path / unexpected[0]}: not among what was committed")
                return done
        return None

    def take_over(self, relative: str, inputs: Mapping[str, str], settings: Mapping[str, Any]) -> bool:
        """Commit what `find` finds as the run's own phase. False when there is none, or it went away meanwhile."""
        self.run.check_held()
        done = self.find(relative, inputs, settings)
        if done is None:
            return False
        try:
            self.run.take_over(relative, done)
            return True
        except OSError as error:
            self.run.check_held()
            if (line := system_line(error, self.run.root / relative)) is not None and not _below(error.filename, done.path):
                raise UserError(line) from error
            self._say(done.path, error)
        return False

    @cached_property
    def _known(self) -> dict[str, list[Path]]:
        mine = self.run.record() or {}
        found: dict[str, list[Path]] = {}
        for root in self._beside():
            with self._passing_over(root):
                record = read_json(regular(root / "run.json"))
                if any(_of(record, key) != _of(mine, key) for key in ("base_digest", "model", "format")):
                    continue
                for path in sorted(path for path in walk(root) if path.name == MANIFEST):
                    if path.parent.suffix not in TAKEN:
                        with self._passing_over(path):
                            manifest = read_json(regular(path))
                            if manifest["format_version"] == FORMAT_VERSION:
                                made_from = (manifest[part] for part in ("inputs", "settings", "versions"))
                                found.setdefault(_key(path.parent.name, *made_from), []).append(path.parent)
        return found

    def _beside(self) -> list[Path]:
        """The folders beside the run's that may hold a run."""
        with self._passing_over(self.run.root.parent):
            folders = [self.run.root.with_name(name) for name in sorted(os.listdir(self.run.root.parent))]
            return [folder for folder in folders if folder != self.run.root and os.path.lexists(folder / "run.json")]
        return []

    @contextlib.contextmanager
    def _passing_over(self, place: Path) -> Iterator[None]:
        """Whatever is wrong with a neighbour's file is written down and costs no more than that file."""
        try:
            yield
        except (UserError, OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError, MemoryError) as error:
            self._say(place, error)

    def _say(self, place: Path, error: BaseException) -> None:
        reason = str(UserError(f"{type(error).__name__}: {error}"))
        self.run.journal("neighbour passed over", where=os.path.relpath(place, self.run.root), reason=reason)


def regular(path: Path) -> Path:
    """The path of a file. Raises UserError for anything else, which reading might wait for without end."""
    if not path.is_file():
        raise UserError(f"{path}: no regular file")
    return path


def _below(name: Any, folder: Path) -> bool:
    return isinstance(name, str) and Path(name).is_relative_to(folder)


def _of(record: Mapping[str, Any], key: str) -> Any:
    if key == "model":
        return record.get("identity", {}).get("model")
    return record.get("format_version" if key == "format" else key)


def _key(kind: str, inputs: Mapping[str, str], settings: Mapping[str, Any], versions: Mapping[str, str]) -> str:
    counted = {name: versions.get(name) for name in COUNTED}
    return digest(json.dumps([kind, dict(inputs), read_back(dict(settings)), counted], sort_keys=True))
