"""An existing peft adapter as the initial policy: the game then starts from it, and never sees the bare base."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

from harness.config import LoraConfig
from harness.errors import UserError
from harness.files import file_digest
from harness.mirror import found_in, wanted_adapter
from harness.model.adapter_files import ADAPTER_FILE, CONFIG_FILE, name_in_slot
from harness.policy import Policy
from harness.records import digest

# Settings of peft's that change what an adapter computes and that a player here has not.
UNSUPPORTED = {
    "use_dora": False, "use_rslora": False, "lora_bias": False, "bias": "none", "modules_to_save": None, "rank_pattern": {},
    "alpha_pattern": {}, "layer_replication": None, "trainable_token_indices": None,
}  # fmt: skip


def start_from(policy: Policy, adapter: str, lora: LoraConfig, mirror: Path | None = None) -> None:
    """Let `policy` begin at a saved adapter: its initial policy is that adapter whatever the seed.

    adapter: a folder or a hub id; mirror: the folder that stands for the hub. Raises UserError when it is not there, is no plain
    LoRA adapter in safetensors, was made for another base, or its rank, alpha or targets are not those of the run.
    """
    folder = _folder(adapter, mirror)
    settings = _settings(adapter, folder)
    for key, plain in UNSUPPORTED.items():
        if settings.get(key, plain) not in (plain, None) and settings.get(key) != plain:
            raise UserError(f"model.adapter={adapter}: {key}={settings[key]!r} is not supported; give a plain LoRA adapter")
    for name, mine, theirs in (("rank", lora.rank, settings.get("r")), ("alpha", lora.alpha, settings.get("lora_alpha"))):
        if mine != theirs:
            raise UserError(f"model.adapter={adapter}: its {name} is {theirs}, the run's {mine}; use --set lora.{name}={theirs}")
    start = _weights(adapter, folder)
    wanted = {name: p.shape for name, p in policy.adapter_parameters()}
    if start.keys() != wanted.keys() or any(start[n].shape != shape for n, shape in wanted.items()):
        targets = settings.get("target_modules")
        raise UserError(
            f"model.adapter={adapter}: made for another base model or other layers than lora.targets={lora.targets!r} "
            f"(its own: {sorted(targets) if isinstance(targets, list) else targets})"
        )
    policy.start = start
    policy.base_digest = digest(policy.base_digest, file_digest(folder / ADAPTER_FILE))


def _folder(adapter: str, mirror: Path | None) -> Path:
    path = Path(adapter).expanduser()
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
    except (OSError, ValueError) as error:
        raise UserError(f"model.adapter={adapter}: {path} is missing or damaged; give the folder of a peft adapter") from error
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
        raise UserError(f"model.adapter={adapter}: {path} is damaged ({error})") from error
    return {name_in_slot(name): tensor for name, tensor in saved.items()}
