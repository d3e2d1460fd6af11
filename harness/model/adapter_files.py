"""A peft adapter on disk: its files, and its weights' names, which hold the slot's name in memory and not on disk."""

from __future__ import annotations

ADAPTER_FILE, CONFIG_FILE = "adapter_model.safetensors", "adapter_config.json"
SLOT = ".default"
PARTS = ("lora_A", "lora_B", "lora_embedding_A", "lora_embedding_B")


def name_in_slot(name: str) -> str:
    """`….lora_A.weight` -> `….lora_A.default.weight`; a name that holds the slot already stays as it is."""
    for part in PARTS:
        for ending in (".weight", ""):
            if name.endswith(f".{part}{ending}"):
                return name.removesuffix(ending) + SLOT + ending
    return name


def name_in_file(name: str) -> str:
    """The same the other way: as peft writes it."""
    for part in PARTS:
        for ending in (".weight", ""):
            if name.endswith(f".{part}{SLOT}{ending}"):
                return name.removesuffix(SLOT + ending) + ending
    return name
