"""From a recipe's [model] and [lora] to a Policy: device, precision, base, fresh adapter, layout."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import torch

from harness.config import LoraConfig, ModelConfig
from harness.encoding import choose_template
from harness.errors import UserError
from harness.lanes import Lanes
from harness.mirror import commit_of, resolved_model
from harness.model.logprobs import choose_layout
from harness.model.lora import with_adapter
from harness.model.quantised import keep_gradients, quantisation
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


def load_policy(
    model: ModelConfig, lora: LoraConfig, template: str, mirror: Path | None = None, commit: str | None = None
) -> Policy:
    """The base at `model.path`, frozen, with a fresh adapter.

    mirror: the folder that stands for the hub. commit: what a run began with, where no revision is named. Raises UserError when
    there is no such model, its weights are no safetensors, it wants to run code of its own without being allowed to, or
    quantisation is asked for where it cannot be had.
    """
    import transformers
    from safetensors import SafetensorError

    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    device = choose_device(model.device)
    lanes = Lanes()
    if device.type == "cpu":
        torch.set_num_threads(1)
        lanes = Lanes(model.cores or os.cpu_count() or 1)
    path = resolved_model(model.path, mirror, model.revision)
    options: dict[str, Any] = {"trust_remote_code": model.run_code_from_model_repository}
    if revision := model.revision or commit:
        options["revision"] = revision
    dtype = choose_dtype(model.dtype, device)
    extra: dict[str, Any] = {"attn_implementation": model.attention} if model.attention else {}
    if model.quantize is not None:
        extra |= {"quantization_config": quantisation(model.quantize, dtype), "device_map": {"": device}}
    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(path, **options)
        base: Any = transformers.AutoModelForCausalLM.from_pretrained(path, dtype=dtype, use_safetensors=True, **extra, **options)
    except (OSError, ValueError, ImportError, SafetensorError) as error:
        raise UserError(f"model.path={model.path}: {_why_not(error, path, model)}") from error
    if model.quantize is not None:
        keep_gradients(base)
    chosen = choose_template(tokenizer, template)
    folder = weights_folder(path, options.get("revision"))
    weights = base_digest(folder)
    weights = digest(weights, model.quantize) if model.quantize else weights
    wrapped = with_adapter(base if model.quantize else base.to(device), lora, model.path, model.merge_adapter)
    policy = Policy(wrapped, tokenizer, chosen, weights, choose_layout(wrapped), lanes)
    policy.path = path
    policy.commit = folder.name if folder.parent.name == "snapshots" else commit_of(mirror, "model", model.path)
    if model.adapter is not None:
        start_from(policy, model.adapter, lora, mirror)
    return policy


def _why_not(error: Exception, path: str, model: ModelConfig) -> str:
    """What keeps a model from being loaded and what to do, in one line."""
    said = " ".join(str(error).split())
    if "trust_remote_code" in said and not model.run_code_from_model_repository:
        return (
            "its repository holds Python code that it wants to run on this machine, with your rights; if you have read that code "
            "and trust it: --run-code-from-model-repository"
        )
    folder = Path(path)
    if folder.is_dir() and not any(folder.glob("*.safetensors")):
        return "no .safetensors weights there; pickled weights are not read, save it with safe_serialization"
    return f"cannot be loaded ({said[:200]}); give a folder or a hub id"


def weights_folder(path: str, revision: str | None = None) -> Path:
    """Where the base's files lie: its folder, or in the hub's cache on this machine, once they have been loaded from there."""
    folder = Path(path)
    if folder.is_dir():
        return folder
    from transformers.utils.hub import cached_file

    return Path(str(cached_file(path, "config.json", revision=revision))).parent


def base_digest(folder: Path) -> str:
    """Names the base by its weights' contents, wherever they lie."""
    return digest(*(file_digest(folder / name) for name in weight_files(folder)))


def weight_files(folder: Path) -> list[str]:
    """Names of the files that hold a model's weights; other safetensors files (an adapter, a second copy) do not count."""
    index = folder / "model.safetensors.index.json"
    if index.is_file():
        return sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
    return ["model.safetensors"]
