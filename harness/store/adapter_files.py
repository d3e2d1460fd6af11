"""A peft adapter on disk: its files, and its weights' names, which contain the adapter's name in memory but not on disk."""

from __future__ import annotations

import json
from pathlib import Path

ADAPTER_FILE, CONFIG_FILE = "adapter_model.safetensors", "adapter_config.json"
ADAPTER_SUFFIX = ".default"
SET_FIELDS = ("target_modules", "exclude_modules")  # peft holds them as sets and writes them in an order that differs by process
LORA_WEIGHTS = ("lora_A", "lora_B", "lora_embedding_A", "lora_embedding_B")


def to_module_name(name: str) -> str:
    """`….lora_A.weight` -> `….lora_A.default.weight`; a name that contains it already stays as it is."""
    for part in LORA_WEIGHTS:
        for suffix in (".weight", ""):
            if name.endswith(f".{part}{suffix}"):
                return name.removesuffix(suffix) + ADAPTER_SUFFIX + suffix
    return name


def to_peft_name(name: str) -> str:
    """The inverse: the name as peft writes it."""
    for part in LORA_WEIGHTS:
        for suffix in (".weight", ""):
            if name.endswith(f".{part}{ADAPTER_SUFFIX}{suffix}"):
                return name.removesuffix(ADAPTER_SUFFIX + suffix) + suffix
    return name


def sort_set_fields(path: Path) -> None:
    """Sort the sets in an adapter_config.json that peft has written, so that equal settings give equal bytes."""
    settings = json.loads(path.read_text(encoding="utf-8"))
    settings |= {name: sorted(settings[name]) for name in SET_FIELDS if isinstance(settings.get(name), list)}
    path.write_text(json.dumps(settings, indent=2, sort_keys=True), encoding="utf-8")
