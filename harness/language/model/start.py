"""An existing peft adapter as the initial policy: the game then starts from it, and never sees the bare base."""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path
from typing import Any

import torch

from harness.config import LoraConfig
from harness.errors import UserError, system_line
from harness.files import file_digest
from harness.language.policy import Policy
from harness.records import digest
from harness.settings.paths import opened
from harness.sources.mirror import found_in, wanted_adapter
from harness.store.adapter_files import ADAPTER_FILE, CONFIG_FILE, name_in_slot

# Settings of adapter_config.json that do not change what the adapter computes, or that its weights and their names show.
TOLD_BY_THE_WEIGHTS = {"target_modules", "exclude_modules", "layers_to_transform", "layers_pattern"}
WITHOUT_EFFECT = {
    "peft_type", "task_type", "auto_mapping", "peft_version", "base_model_name_or_path", "revision", "inference_mode",
    "lora_dropout", "eva_config", "fan_in_fan_out", "megatron_core", "qalora_group_size", "r", "lora_alpha", "init_lora_weights",
    *TOLD_BY_THE_WEIGHTS,
}  # fmt: skip
BASE_UNCHANGED = (True, False, None, "gaussian", "eva", "orthogonal")  # beginnings that leave the base's weights alone


def start_from(policy: Policy, adapter: str, lora: LoraConfig, mirror: Path | None = None) -> None:
    """Let `policy` begin at a saved adapter: its initial policy is that adapter whatever the seed.

    adapter: a folder or a hub id; mirror: the folder that stands for the hub. Raises UserError when it is not there, is no plain
    LoRA adapter in safetensors, was made for another base, or its rank, alpha or targets are not those of the run.
    """
    folder = _folder(adapter, mirror)
    settings = _settings(adapter, folder)
    _refuse_other_kinds(adapter, settings, policy.model.peft_config["default"].to_dict())
    for name, mine, theirs in (("rank", lora.rank, settings.get("r")), ("alpha", lora.alpha, settings.get("lora_alpha"))):
        if isinstance(theirs, bool) or not isinstance(theirs, int | float):
            raise UserError(f"model.adapter={adapter}: its {name} is {theirs!r}, expected a number")
        if mine != theirs:
            raise UserError(f"model.adapter={adapter}: its {name} is {theirs}, the run's {mine}; use --set lora.{name}={theirs}")
    start = _weights(adapter, folder)
    if whole := sorted(name for name in start if "lora_" not in name):
        raise UserError(
            f"model.adapter={adapter}: it holds {len(whole)} weights beside LoRA's, {whole[0]} among them; "
            "give a plain LoRA adapter"
        )
    wanted = {name: p.shape for name, p in policy.adapter_parameters()}
    if start.keys() != wanted.keys() or any(start[n].shape != shape for n, shape in wanted.items()):
        raise UserError(f"model.adapter={adapter}: {_other_layers(settings, lora)}")
    policy.start = start
    if (line := _other_base(policy, settings)) is not None:
        policy.notes.append(f"adapter {adapter}: {line}")
    policy.base_digest = digest(policy.base_digest, file_digest(folder / ADAPTER_FILE))


def _other_layers(settings: dict[str, Any], lora: LoraConfig) -> str:
    """Why an adapter's weights are not those of the run's targets, and what to type where that would help."""
    targets = settings.get("target_modules")
    own = sorted(targets) if isinstance(targets, list) else targets
    said = f"made for another base model or other layers than lora.targets={lora.targets!r} (its own: {own}"
    narrowed = {name: settings[name] for name in ("layers_to_transform", "exclude_modules") if settings.get(name) is not None}
    if narrowed:
        less = ", ".join(f"{name}={value!r}" for name, value in narrowed.items())
        return f"{said}, {less}); name exactly its layers in lora.targets, as a regular expression over their full names"
    same = (sorted(lora.targets) if isinstance(lora.targets, list) else lora.targets) == own
    return f"{said})" + ("" if same else f"; for these: --set 'lora.targets={json.dumps(own)}'")


def _listed(value: Any) -> Any:
    """A set, which adapter_config.json holds as a list in any order, as a sorted list."""
    return sorted(value, key=str) if isinstance(value, set | list) else value


def _refuse_other_kinds(adapter: str, settings: dict[str, Any], own: dict[str, Any]) -> None:
    """Raises UserError unless every setting is understood, what peft takes where nothing is said, or this run's own.

    own: settings of the run's adapter; in families with experts peft gives these ranks of their own.
    A setting that peft does not know today may be anything: it passes only where it says nothing.
    """
    import peft

    begun = settings.get("init_lora_weights", True)
    if begun not in BASE_UNCHANGED:
        raise UserError(
            f"model.adapter={adapter}: init_lora_weights={begun!r} goes with changed weights of the base; convert it with peft: "
            "save_pretrained(..., path_initial_model_for_weight_conversion=FOLDER) of the adapter as it was before training"
        )
    if settings.get("task_type") not in (None, "CAUSAL_LM"):
        raise UserError(f"model.adapter={adapter}: task_type={settings['task_type']!r}, expected CAUSAL_LM")
    plain = peft.LoraConfig().to_dict()
    for key, value in settings.items():
        if (
            key in WITHOUT_EFFECT
            or value in (None, False, [], {}, "")
            or _listed(value) in (plain.get(key), _listed(own.get(key)))
        ):
            continue
        raise UserError(f"model.adapter={adapter}: {key}={value!r} is not supported; give a plain LoRA adapter")


def _other_base(policy: Policy, settings: dict[str, Any]) -> str | None:
    """A line where the adapter names another base than the run's."""
    named, mine = settings.get("base_model_name_or_path"), policy.model.peft_config["default"].base_model_name_or_path
    if not named or named in (mine, policy.path):
        return None
    with contextlib.suppress(UserError):  # the home of somebody who is not known here
        if policy.path and os.path.realpath(opened(named)) == os.path.realpath(policy.path):
            return None
    return f"made for the base {named}, put on {mine}: its numbers are right only where the two have the same weights"


def _folder(adapter: str, mirror: Path | None) -> Path:
    path = opened(adapter)
    if path.is_dir():
        return path
    if adapter.startswith((".", "/", "~")):
        raise UserError(f"model.adapter={adapter}: no such folder")
    if mirror is not None:
        return found_in(mirror, wanted_adapter(adapter))
    import huggingface_hub

    try:
        return Path(huggingface_hub.snapshot_download(adapter, allow_patterns=[CONFIG_FILE, ADAPTER_FILE]))
    except Exception as error:  # no network, no such repository, gated: each means that the adapter is not to be had
        reason = " ".join(str(error).split())[:160]
        raise UserError(f"model.adapter={adapter}: cannot be fetched ({reason}); give a folder or a hub id") from error


def _settings(adapter: str, folder: Path) -> dict[str, Any]:
    path = folder / CONFIG_FILE
    try:
        settings = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise UserError(f"model.adapter={adapter}: {path} is missing; give the folder of a peft adapter") from error
    except OSError as error:
        raise UserError(f"model.adapter={adapter}: {path} cannot be read ({error.strerror}); see to it, or copy it") from error
    except (ValueError, RecursionError) as error:
        raise UserError(f"model.adapter={adapter}: {path} is damaged; give the folder of a peft adapter") from error
    if not isinstance(settings, dict) or settings.get("peft_type") != "LORA":
        kind = settings.get("peft_type") if isinstance(settings, dict) else type(settings).__name__
        raise UserError(f"model.adapter={adapter}: a {kind} adapter, expected LORA")
    return settings


def _weights(adapter: str, folder: Path) -> dict[str, torch.Tensor]:
    """By the names of this house: peft's own files leave the slot's name out."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    path = folder / ADAPTER_FILE
    if not path.is_file():
        raise UserError(f"model.adapter={adapter}: no {ADAPTER_FILE}; pickled weights are not read, save it with safetensors")
    try:
        saved = load_file(path)
    except SafetensorError as error:
        if (line := system_line(error, path)) is not None:
            raise UserError(f"model.adapter={adapter}: {line}") from error
        raise UserError(f"model.adapter={adapter}: {path} is damaged ({error})") from error
    return {name_in_slot(name): tensor for name, tensor in saved.items()}
