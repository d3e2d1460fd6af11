"""What differs between the settings of two runs, from their records."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from harness.records import INITIAL
from harness.reporting.tables.paired_scores import ModelKey
from harness.settings.renamed_keys import RENAMED_KEYS
from harness.settings.toml_files import flat_items
from harness.store.provenance import NUMBERS_KEY

OTHER_ENTRIES = ("iterations", "seeds", "base_digest", "template")  # of a record, beside its settings


def settings_differences(
    a: Mapping[str, Any], b: Mapping[str, Any], pairs: Sequence[tuple[ModelKey, ModelKey]]
) -> list[tuple[str, Any, Any]]:
    """(key, value in a, value in b) of every setting, or part of the environment, that can change a number; None: not set.

    pairs: the models that are compared, whose objectives' hyper-parameters are looked at. Settings of speed are left out.
    """
    found = list(_differing(run_settings(a), run_settings(b)))
    for label_a, label_b in dict.fromkeys((first.objective, second.objective) for first, second in pairs):
        if label_a != label_b:
            found.append(("objective", label_a, label_b))
        elif label_a != INITIAL:
            found += _differing(variant_settings(a, label_a), variant_settings(b, label_b))
    return found


def _differing(first: Mapping[str, Any], second: Mapping[str, Any]) -> Iterator[tuple[str, Any, Any]]:
    for key in dict.fromkeys([*first, *second]):
        if first.get(key) != second.get(key):
            yield key, first.get(key), second.get(key)


def run_settings(record: Mapping[str, Any]) -> dict[str, Any]:
    """What of a run's settings and environment can change a number, by key."""
    suite = record["suites"][record["suite"]]
    hardware = record["hardware"]
    return {
        **{RENAMED_KEYS.get(key, key): value for key, value in flat_items(record["identity"])},
        **{key: record.get(key) for key in OTHER_ENTRIES},
        "suite": f"{suite['name']} v{suite['version']}",
        "version of the numbers": record["versions"].get(NUMBERS_KEY),
        **{key: hardware.get(key) for key in ("device", "precision")},
    }


def variant_settings(record: Mapping[str, Any], label: str) -> dict[str, Any]:
    """The same of one variant; every key begins with its label."""
    variant = record["variants"][label]
    parameters = variant["resolved"]
    names = dict.fromkeys(name for values in parameters for name in values)
    schedules = {name: [values.get(name) for values in parameters] for name in names}
    return {
        # a schedule that never changes is one number, whatever the number of iterations
        **{f"{label}: {name}": v[0] if all(x == v[0] for x in v) else v for name, v in schedules.items()},
        **{f"{label}: training.{key}": value for key, value in flat_items(variant["training"])},
        f"{label}: data.examples": variant.get("examples"),
        f"{label}: file of the objective": variant["source_digest"],
    }
