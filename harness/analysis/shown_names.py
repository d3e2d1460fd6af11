"""The names that a user chose for variants, in place of those of their folders: applied to a record once, before all views."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def shown_names(record: Mapping[str, Any]) -> dict[str, str]:
    """Name of the folder -> name in tables and figures, of every variant of a run's record."""
    return {folder: variant.get("shown_as") or folder for folder, variant in record["variants"].items()}


def with_shown_names(record: dict[str, Any]) -> dict[str, Any]:
    """A run's record with its variants, and what its study says of them, by the names that are shown.

    Every variant then has an entry `folder`; the record of a run folder itself goes by folders.
    """
    names = shown_names(record)
    variants = {names[folder]: {**variant, "folder": folder} for folder, variant in record["variants"].items()}
    study = record.get("study")
    return {**record, "variants": variants, "study": _rename_study(study, names) if study else study}


def _rename_study(study: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    def shown(folder: str) -> str:
        return names.get(folder, folder)

    renamed = dict(study)
    renamed["arms"] = [{**arm, "label": shown(arm["label"])} for arm in study.get("arms") or []]
    renamed["contrasts"] = [
        {**contrast, **{side: [shown(contrast[side][0]), *contrast[side][1:]] for side in "ab"}}
        for contrast in study.get("contrasts") or []
    ]
    renamed["panels"] = [{**panel, "labels": list(map(shown, panel["labels"]))} for panel in study.get("panels") or []]
    if study.get("shown"):
        renamed["shown"] = list(map(shown, study["shown"]))
    if grid := study.get("grid"):
        candidates = {name: [[shown(label), value] for label, value in pairs] for name, pairs in grid["objectives"].items()}
        renamed["grid"] = {**grid, "objectives": candidates}
    return renamed
