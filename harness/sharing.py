"""Finished phases of the runs beside this one, found by what they were made from: equal inputs need no second making.

Two phases are the same when their kind, inputs (digests of weights, examples, samples and task documents), settings, base model
and library versions are. A phase taken over is checked against its recorded digests and says where it came from.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from harness.files import MANIFEST, folder_digests, read_json
from harness.names import TAKEN
from harness.provenance import NUMBERS_KEY, PROGRAM, package_versions
from harness.records import digest
from harness.store import FORMAT_VERSION, Finished, RunFolder

# A new version may compute anew; of another version of this program's numbers nothing is taken over.
COUNTED = ("torch", "transformers", "peft", "lm_eval", "tokenizers", PROGRAM, NUMBERS_KEY, "vllm")


class Neighbours:
    """The runs beside `run` that were made with the same base model; read once, when the first phase is looked for."""

    def __init__(self, run: RunFolder) -> None:
        self.run = run

    def find(self, relative: str, inputs: Mapping[str, str], settings: Mapping[str, Any]) -> Finished | None:
        """A finished phase of another run made from exactly this, its files unharmed; None when there is none."""
        path = self._known.get(_key(Path(relative).name, inputs, settings, package_versions()))
        if path is None:
            return None
        done = RunFolder(path.parent).finished(path.name)
        if done is None or folder_digests(done.path) != done.manifest.outputs:
            return None
        return done

    @cached_property
    def _known(self) -> dict[str, Path]:
        mine = self.run.record() or {}
        found: dict[str, Path] = {}
        for record_path in sorted(self.run.root.parent.glob("*/run.json")):
            root = record_path.parent
            record = read_json(record_path)
            if root == self.run.root or any(_of(record, key) != _of(mine, key) for key in ("base_digest", "model", "format")):
                continue
            for manifest_path in sorted(root.rglob(MANIFEST)):
                manifest = read_json(manifest_path)
                folder = manifest_path.parent
                if folder.suffix in TAKEN or manifest.get("format_version") != FORMAT_VERSION:
                    continue
                key = _key(folder.name, manifest["inputs"], manifest["settings"], manifest["versions"])
                found.setdefault(key, folder)
        return found


def _of(record: Mapping[str, Any], key: str) -> Any:
    if key == "model":
        return record.get("identity", {}).get("model")
    return record.get("format_version" if key == "format" else key)


def _key(kind: str, inputs: Mapping[str, str], settings: Mapping[str, Any], versions: Mapping[str, str]) -> str:
    counted = {name: versions.get(name) for name in COUNTED}
    return digest(json.dumps([kind, dict(inputs), _plain(settings), counted], sort_keys=True))


def _plain(settings: Mapping[str, Any]) -> Any:
    """Settings as they read back from a file: tuples are lists there."""
    return json.loads(json.dumps(dict(settings)))
