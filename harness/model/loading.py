"""From a recipe's [model] and [lora] to a Policy: device, precision, base, fresh adapter, layout."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch

from harness.config import LoraConfig, ModelConfig, resolve_path
from harness.encoding import choose_template
from harness.errors import UserError
from harness.lanes import Lanes
from harness.model.logprobs import choose_layout
from harness.model.lora import with_adapter
from harness.model.start import start_from
from harness.policy import Policy
from harness.records import digest
from harness.store import file_digest


def choose_device(asked: str) -> torch.device:
    """ "auto" is CUDA where there is one, else the CPU. Raises UserError for a device this machine does not have."""
    if asked == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(asked)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise UserError(f"model.device={asked}: not a device of this machine; use cpu, cuda or auto") from error
    return device


def choose_dtype(asked: str, device: torch.device) -> torch.dtype:
    """ "auto" is bfloat16 on a GPU that has it, else float32."""
    if asked == "auto":
        return torch.bfloat16 if device.type == "cuda" and torch.cuda.is_bf16_supported() else torch.float32
    return getattr(torch, asked)


def base_path(model: ModelConfig) -> str:
    """Where the base lies: a folder, or a hub id."""
    return str(resolve_path(model.path)) if model.path.startswith("builtin:") else model.path


def load_policy(model: ModelConfig, lora: LoraConfig, template: str) -> Policy:
    """The base at `model.path`, frozen, with a fresh adapter. Raises UserError when there is no such model."""
    import transformers

    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    device = choose_device(model.device)
    lanes = Lanes()
    if device.type == "cpu":
        torch.set_num_threads(1)
        lanes = Lanes(model.cores or os.cpu_count() or 1)
    path = base_path(model)
    options = {"revision": model.revision} if model.revision else {}
    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(path, **options)
        base: Any = transformers.AutoModelForCausalLM.from_pretrained(
            path,
            dtype=choose_dtype(model.dtype, device),
            use_safetensors=True,
            **({"attn_implementation": model.attention} if model.attention else {}),
            **options,
        )
    except (OSError, ValueError) as error:
        first = str(error).strip().splitlines()[0]
        raise UserError(f"model.path={model.path}: cannot be loaded ({first}); give a folder or a hub id") from error
    chosen = choose_template(tokenizer, template)
    wrapped = with_adapter(base.to(device), lora, model.path, model.merge_adapter)
    policy = Policy(wrapped, tokenizer, chosen, base_digest(path, base), choose_layout(wrapped), lanes)
    if model.adapter is not None:
        start_from(policy, model.adapter, lora)
    return policy


def base_digest(path: str, base: Any) -> str:
    """Digest of the base's weight files where they are local, else the hub's commit."""
    folder = Path(path)
    if folder.is_dir():
        return digest(*(file_digest(p) for p in sorted(folder.glob("*.safetensors"))))
    return str(getattr(base.config, "_commit_hash", None))
