"""An existing peft adapter as the initial policy: training then starts from it, and never sees the bare base."""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path
from typing import Any

import torch

from harness.config import LoraConfig
from harness.errors import UserError, error_line, system_error_line
from harness.files import file_digest
from harness.language.model.local_folder import local_folder, read_object
from harness.language.policy import Policy
from harness.records import digest
from harness.settings.paths import expand_user
from harness.sources.mirror import adapter_item, locate_item
from harness.store.adapter_files import ADAPTER_FILE, CONFIG_FILE, to_module_name

# Settings of adapter_config.json that do not change what the adapter computes, or that its weights and their names show.
IGNORED_SETTINGS = {
    "peft_type", "task_type", "auto_mapping", "peft_version", "base_model_name_or_path", "revision", "inference_mode",
    "lora_dropout", "eva_config", "fan_in_fan_out", "megatron_core", "qalora_group_size", "r", "lora_alpha", "init_lora_weights",
    "target_modules", "exclude_modules", "layers_to_transform", "layers_pattern",
}  # fmt: skip
BASE_PRESERVING_INITS = (True, False, None, "gaussian", "eva", "orthogonal")  # that leave the base's weights alone


def start_from_adapter(policy: Policy, adapter: str, lora: LoraConfig, mirror: Path | None = None) -> None:
    """Let `policy` start from a saved adapter: its initial policy is that adapter whatever the seed.

    adapter: a folder or a hub id; mirror: the folder in place of the hub. Raises UserError when it is not there, is no plain
    LoRA adapter in safetensors, was made for another base, or its rank, alpha or targets are not those of the run.
    """
    try:
        folder = _adapter_folder(adapter, mirror)
        settings = read_object(folder / CONFIG_FILE)
        _check_plain_lora(settings, policy.model.peft_config["default"].to_dict(), lora)
        weights = _read_weights(folder / ADAPTER_FILE)
        expected_shapes = {name: p.shape for name, p in policy.adapter_parameters()}
        if weights.keys() != expected_shapes.keys() or any(weights[n].shape != shape for n, shape in expected_shapes.items()):
            raise UserError(_layer_mismatch_message(settings, lora))
    except UserError as error:
        raise UserError(f"model.adapter={adapter}: {error}") from error
    policy.initial_adapter = weights
    if (note := _base_mismatch_note(policy, settings)) is not None:
        policy.notes.append(f"adapter {adapter}: {note}")
    policy.base_digest = digest(policy.base_digest, file_digest(folder / ADAPTER_FILE))


def _adapter_folder(adapter: str, mirror: Path | None) -> Path:
    if (folder := local_folder(adapter)) is not None:
        return folder
    if mirror is not None:
        return locate_item(mirror, adapter_item(adapter))
    import huggingface_hub

    try:
        return Path(huggingface_hub.snapshot_download(adapter, allow_patterns=[CONFIG_FILE, ADAPTER_FILE]))
    except Exception as error:  # no network, no such repository, gated: each means that there is no adapter
        raise UserError(f"cannot be fetched ({error_line(error)}); give a folder or a hub id") from error


def _check_plain_lora(settings: dict[str, Any], run_settings: dict[str, Any], lora: LoraConfig) -> None:
    """Raises UserError unless every setting is one that is ignored, peft's default, or this run's own.

    run_settings: of the run's adapter; in families with experts peft gives these ranks of their own.
    A setting that peft does not know today may mean anything: it passes only where its value is empty.
    """
    import peft

    if (kind := settings.get("peft_type")) != "LORA":
        raise UserError(f"a {kind} adapter, expected LORA")
    if (init := settings.get("init_lora_weights", True)) not in BASE_PRESERVING_INITS:
        raise UserError(
            f"init_lora_weights={init!r} goes with changed weights of the base; convert it with peft: save_pretrained(..., "
            "path_initial_model_for_weight_conversion=FOLDER) of the adapter as it was before training"
        )
    if (task := settings.get("task_type")) not in (None, "CAUSAL_LM"):
        raise UserError(f"task_type={task!r}, expected CAUSAL_LM")
    defaults = peft.LoraConfig().to_dict()
    for key, value in settings.items():
        own_values = (defaults.get(key), _sorted_set(run_settings.get(key)))
        if not (key in IGNORED_SETTINGS or value in (None, False, [], {}, "") or _sorted_set(value) in own_values):
            raise UserError(f"{key}={value!r} is not supported; give a plain LoRA adapter")
    for name, run_value, value in (("rank", lora.rank, settings.get("r")), ("alpha", lora.alpha, settings.get("lora_alpha"))):
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise UserError(f"its {name} is {value!r}, expected a number")
        if run_value != value:
            raise UserError(f"its {name} is {value}, the run's {run_value}; use --set lora.{name}={value}")


def _sorted_set(value: Any) -> Any:
    """A set, which adapter_config.json holds as a list in any order, as a sorted list."""
    return sorted(value, key=str) if isinstance(value, set | list) else value


def _read_weights(path: Path) -> dict[str, torch.Tensor]:
    """By the names of the modules in memory: peft's own files leave the slot's name out."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    if not path.is_file():
        raise UserError(f"no {path.name}; pickled weights are not read, save it with safetensors")
    try:
        weights = {to_module_name(name): tensor for name, tensor in load_file(path).items()}
    except SafetensorError as error:
        raise UserError(system_error_line(error, path) or f"{path} is damaged ({error})") from error
    if others := sorted(name for name in weights if "lora_" not in name):
        raise UserError(f"it holds {len(others)} weights beside LoRA's, {others[0]} among them; give a plain LoRA adapter")
    return weights


def _layer_mismatch_message(settings: dict[str, Any], lora: LoraConfig) -> str:
    """Why an adapter's weights are not those of the run's targets, and what to type where that would help."""
    targets = settings.get("target_modules")
    adapter_targets = sorted(targets) if isinstance(targets, list) else targets
    message = f"made for another base model or other layers than lora.targets={lora.targets!r} (its own: {adapter_targets}"
    restrictions = {name: settings[name] for name in ("layers_to_transform", "exclude_modules") if settings.get(name) is not None}
    if restrictions:
        extra = ", ".join(f"{name}={value!r}" for name, value in restrictions.items())
        return f"{message}, {extra}); name exactly its layers in lora.targets, as a regular expression over their full names"
    same_targets = (sorted(lora.targets) if isinstance(lora.targets, list) else lora.targets) == adapter_targets
    return f"{message})" + ("" if same_targets else f"; for these: --set 'lora.targets={json.dumps(adapter_targets)}'")


def _base_mismatch_note(policy: Policy, settings: dict[str, Any]) -> str | None:
    """A line where the adapter names another base than the run's."""
    adapter_base, run_base = settings.get("base_model_name_or_path"), policy.model.peft_config["default"].base_model_name_or_path
    if not adapter_base or adapter_base in (run_base, policy.path):
        return None
    with contextlib.suppress(UserError):  # ~user of an unknown user
        if policy.path and os.path.realpath(expand_user(adapter_base)) == os.path.realpath(policy.path):
            return None
    return f"made for the base {adapter_base}, put on {run_base}: its numbers are right only where the two have the same weights"
