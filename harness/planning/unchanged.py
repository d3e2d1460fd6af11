"""Whether a run folder may be continued: what was asked for then, and now. Needs run.json alone, so it is known at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from harness.config import RunConfig
from harness.discovery.variants import Variant
from harness.errors import UserError
from harness.planning.source_digests import source_digest
from harness.settings.paths import resolve_path
from harness.settings.recipe_files import PLACE_KEYS
from harness.settings.renamed_keys import recorded_default
from harness.settings.toml_files import format_setting
from harness.store.run_folder import RunFolder
from harness.store.versions import check_numbers_version


def check_unchanged(run: RunFolder, config: RunConfig, variants: Sequence[Variant]) -> None:
    """Raises UserError when the run folder was made with other shared settings, or a variant's objective has changed.

    The record has been validated (`store.untrusted.validate_run_folder`). More iterations, seeds, objectives or suites extend a
    run; anything that would change its numbers is an error. A setting that an older run does not record had its default.
    """
    check_numbers_version(run)
    record = run.record()
    if record is None:
        return
    old_identity, new_identity = record["identity"], config.identity()
    new_identity.pop("world", None)
    if (world := old_identity.get("world", {}).get("name", "language")) != config.world:
        raise UserError(f'{run.root}: was made in the world "{world}", now asked for "{config.world}"; use --name OTHER')
    for section, new_values in new_identity.items():
        section_type = type(getattr(config, section))
        old_values = old_identity.get(section, {})
        if unknown := sorted(old_values.keys() - new_values.keys() - section_type.model_fields.keys()):
            setting = f"{section}.{unknown[0]}={old_values[unknown[0]]!r}"
            raise UserError(f"{run.root}: was made with {setting}, a setting that this version does not have; use --name OTHER")
        for key in dict.fromkeys([*new_values, *(k for k in old_values if k in section_type.model_fields)]):
            default = recorded_default(section_type, key)
            old_value, value = old_values.get(key, default), new_values.get(key, default)
            if old_value != value and not _lies_elsewhere(f"{section}.{key}", config, record):
                raise UserError(
                    f"{run.root}: was made with {section}.{key}={old_value!r}, now asked for {value!r}; "
                    f"use --name OTHER for a run of its own, or {format_setting(f'{section}.{key}', old_value)}"
                )
    labels = {variant.label for variant in variants}
    label_by_name = {variant.shown_as or variant.label: variant.label for variant in variants}
    for folder, recorded in record["variants"].items():
        shown = recorded.get("shown_as") or folder
        if folder not in labels and (other := label_by_name.get(shown)) is not None:
            raise UserError(f'{run.root}: {other} would be shown as "{shown}", as {folder} of this run is; give it another label')
    for variant in variants:
        variant_record = record["variants"].get(variant.label)
        if variant_record is None:
            continue
        for key in ("source_digest", "params", "training", "examples"):
            if variant_record[key] != (value := getattr(variant, key)):
                raise UserError(
                    f"{run.root}: {variant.label} was run with {key}={variant_record[key]!r}, now {value!r}; use --name OTHER"
                )


def _lies_elsewhere(key: str, config: RunConfig, record: Mapping[str, Any]) -> bool:
    """Whether a path that reads otherwise names what the run was begun with: pairs by the digest of their files.

    A model's weights are compared when they are read (`check_same_base`): here any folder of this machine will do.
    """
    if key not in PLACE_KEYS:
        return False
    section, name = key.split(".")
    text = getattr(getattr(config, section), name)
    if text is None or text.startswith("builtin:"):
        return False
    if section == "data":
        recorded = (record.get("source_digests") or {}).get(key)
        return recorded is not None and source_digest(text) == recorded
    return (record["identity"].get(section) or {}).get(name) is not None and resolve_path(text).is_dir()


def check_same_base(run: RunFolder, config: RunConfig, base_digest: str) -> None:
    """Raises UserError where the run was made with other weights than those that were loaded."""
    record = run.record()
    if record is None or record.get("base_digest") in (None, base_digest):
        return
    names = [f"model.{key}={value}" for key in ("path", "adapter") if (value := getattr(config.model, key)) is not None]
    raise UserError(
        f"{run.root}: was made with other weights (digest {record['base_digest']}) than those of {' and '.join(names)} "
        f"({base_digest}); use --name OTHER for a run of its own"
    )
