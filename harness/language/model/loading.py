"""From a recipe's [model] and [lora] to a Policy: device, precision, base, fresh adapter, layout."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch

from harness.config import LoraConfig, ModelConfig
from harness.errors import UserError, error_line, system_error_line
from harness.files import file_digest
from harness.language.model.arithmetic import check_arithmetic, use_bfloat16_products
from harness.language.model.context import find_context_length, reduced_context_note
from harness.language.model.fused_norm import fuse_norms
from harness.language.model.initial_adapter import start_from_adapter
from harness.language.model.local_folder import local_folder, read_object
from harness.language.model.logprobs import LayoutCheck
from harness.language.model.lora import add_adapter
from harness.language.model.memory import check_fits
from harness.language.model.quantization import keep_gradients, quantization_config
from harness.language.model.supported import auto_class
from harness.language.model.targets import placement_notes
from harness.language.model.verify import UnsupportedModel, forward_changes_modules, verify_model
from harness.language.policy import Policy
from harness.language.text.templates import choose_template, end_token_ids, freeze_date, writes_date
from harness.records import digest
from harness.sources.confinement import check_no_foreign_code
from harness.sources.hub import silence_hub
from harness.sources.mirror import recorded_commit, resolve_model
from harness.train.numerics import BFLOAT16_PRODUCTS
from harness.train.thread_pool import OrderedThreadPool


def choose_device(requested: str) -> torch.device:
    """ "auto" is CUDA where there is one, else the CPU. Raises UserError for a device this machine does not have."""
    if requested == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(requested)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise UserError(f"model.device={requested}: not a device of this machine; use cpu, cuda or auto") from error
    return device


def check_device(requested: str) -> None:
    """Raises UserError where the device is not there, or this build of torch has no kernels for it: a tensor can be made there,
    nothing can be computed."""
    device = choose_device(requested)
    if device.type == "cpu":
        return
    try:
        ones = torch.ones(2, 2, device=device)
        (ones @ ones).sum().item()
    except RuntimeError as error:
        raise UserError(
            f"model.device={requested}: {device} is there, and torch {torch.__version__} cannot compute on it "
            f"({error_line(error, 120)}); install a build of torch for it, or use --set model.device=cpu"
        ) from error


def choose_dtype(requested: str, device: torch.device) -> torch.dtype:
    """ "auto" is bfloat16 on a GPU that has it, else float32."""
    if requested == "auto":
        return torch.bfloat16 if device.type == "cuda" and torch.cuda.is_bf16_supported() else torch.float32
    return getattr(torch, requested)


def load_policy(
    model: ModelConfig,
    lora: LoraConfig,
    template: str,
    mirror: Path | None = None,
    commit: str | None = None,
    template_arguments: Mapping[str, Any] = MappingProxyType({}),
    date: datetime | None = None,
) -> Policy:
    """The base at `model.path`, frozen, with a fresh adapter.

    template, template_arguments: the kind of template, and the chat template's arguments. date: the present, for templates.
    mirror: the folder in place of the hub. commit: what a run began with, where no revision is named. Raises UserError when
    there is no such model, its weights are no safetensors, it has code of its own that it is not allowed to run, or
    quantisation is not available.
    """
    import transformers
    from transformers.utils.hub import cached_file

    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    setting = f"model.path={model.path}"
    device = choose_device(model.device)
    pool = OrderedThreadPool()
    if device.type == "cpu":
        torch.set_num_threads(1)
        pool = OrderedThreadPool(model.cores or os.cpu_count() or 1)
    path = resolve_model(model.path, mirror, model.revision)
    silence_hub()
    hub_kwargs: dict[str, Any] = {"trust_remote_code": model.trust_remote_code}
    if mirror is not None and model.trust_remote_code and Path(path).is_dir():
        check_no_foreign_code(path)
    if revision := model.revision or commit:
        hub_kwargs["revision"] = revision
    dtype = choose_dtype(model.dtype, device)
    check_arithmetic(model, device, dtype)
    model_kwargs: dict[str, Any] = {"attn_implementation": model.attention} if model.attention else {}
    if model.quantize is not None:
        model_kwargs |= {"quantization_config": quantization_config(model.quantize, dtype), "device_map": {"": device}}
    # Malformed files make the libraries raise many kinds of exception; each means that this model cannot be loaded.
    try:
        if (model_folder := local_folder(path)) is not None:
            read_object(model_folder / "config.json")
            weights = [model_folder / name for name in weight_files(model_folder)]
            check_fits(weights, dtype, model.quantize, device)
        model_class = auto_class(transformers.AutoConfig.from_pretrained(path, **hub_kwargs))
        base, loading_info = model_class.from_pretrained(
            path, dtype=dtype, use_safetensors=True, output_loading_info=True, **model_kwargs, **hub_kwargs
        )
    except UserError as error:
        raise UserError(f"{setting}: {error}") from error
    except Exception as error:
        raise UserError(f"{setting}: {_load_failure_message(error, path, model)}") from error
    if missing_keys := sorted(loading_info["missing_keys"]):
        raise UserError(
            f"{setting}: its weights lack {len(missing_keys)} tensors that its config.json asks for, {missing_keys[0]} among "
            "them; they would be random numbers"
        )
    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(path, **hub_kwargs)
    except Exception as error:
        problem = f"its tokenizer cannot be loaded ({error_line(error)})"
        raise UserError(f"{setting}: {problem}; give a folder that holds it") from error
    if len(tokenizer) > (vocab_size := base.get_input_embeddings().weight.shape[0]):
        raise UserError(
            f"{setting}: its vocabulary has {vocab_size} tokens and its tokenizer {len(tokenizer)}; give the model the tokenizer "
            "it was trained with"
        )
    if model.quantize is not None:
        keep_gradients(base)
    if date is not None and writes_date(tokenizer, template_arguments):
        freeze_date(tokenizer, date)
    chosen_template = choose_template(tokenizer, template, template_arguments)
    stop_ids = chosen_template.stop_ids | end_token_ids(getattr(base, "generation_config", None))
    chosen_template = replace(chosen_template, stop_ids=stop_ids)
    # the hub's cache on this machine holds what has been loaded
    folder = model_folder or Path(str(cached_file(path, "config.json", revision=hub_kwargs.get("revision")))).parent
    weights_digest = digest(*(file_digest(folder / name) for name in weight_files(folder)))
    weights_digest = digest(weights_digest, model.quantize) if model.quantize else weights_digest
    context_length = find_context_length(base, tokenizer, model.context)
    base = base if model.quantize else base.to(device)
    fuse_norms(base)
    peft_model = add_adapter(base, lora, model.path, model.merge_adapter)
    key = str([weights_digest, base.config, dtype, device, lora, model.merge_adapter])
    if key not in _layout_checks:
        try:
            _layout_checks[key] = verify_model(peft_model)
        except UnsupportedModel as error:
            raise UserError(f"{setting}: {error}") from error
    policy = Policy(peft_model, tokenizer, chosen_template, weights_digest, _layout_checks[key], pool)
    if pool.num_threads > 1 and forward_changes_modules(peft_model):
        policy.pool = OrderedThreadPool()
    policy.context_length = context_length
    if model.arithmetic == BFLOAT16_PRODUCTS:
        use_bfloat16_products(policy)
    policy.notes += model_notes(policy)
    policy.path = path
    policy.commit = folder.name if folder.parent.name == "snapshots" else recorded_commit(mirror, "model", model.path)
    if model.adapter is not None:
        start_from_adapter(policy, model.adapter, lora, mirror)
    return policy


_layout_checks: dict[str, LayoutCheck] = {}  # of this process, by weights and settings


def model_notes(policy: Policy) -> Iterator[str]:
    """One line each for what is unusual: the sampler, the context, layers without an adapter, ids without a token."""
    if not (check := policy.layout_check).uses_own_sampler:
        yield f"sampled through transformers' {check.sampler}, prompts of equal length together, slower: {check.sampler_reason}"
    if note := reduced_context_note(policy.model, policy.context_length):
        yield note
    yield from placement_notes(policy.model)
    if policy.ids_without_token:
        yield (
            f"{len(policy.ids_without_token)} of the model's ids have no token in the tokenizer: never drawn in self-play; "
            "log-probabilities stay the plain model's, over all ids"
        )


def _load_failure_message(error: Exception, path: str, model: ModelConfig) -> str:
    """Why a model cannot be loaded and what to do, in one line."""
    from safetensors import SafetensorError

    message = str(error)
    if (system_message := system_error_line(error)) is not None:
        return system_message
    if "trust_remote_code" in message and not model.trust_remote_code:
        return (
            "its repository holds Python code that it wants to run on this machine, with your rights; if you have read that code "
            "and trust it: --trust-remote-code"
        )
    folder = Path(path)
    if folder.is_dir() and not any(folder.glob("*.safetensors")):
        return "no .safetensors weights there; pickled weights are not read, save it with safe_serialization"
    if isinstance(error, SafetensorError):
        return f"its .safetensors weights, model.safetensors or a part of it, are damaged ({error_line(error)}); copy them again"
    if "ignore_mismatched_sizes" in message:
        return "its weights have other shapes than its config.json asks for; copy both from one place"
    return f"cannot be loaded ({error_line(error)}); give a folder or a hub id"


def weight_files(folder: Path) -> list[str]:
    """Files of a model's weights; other safetensors (an adapter, a second copy) do not count. UserError for a damaged index."""
    index = folder / "model.safetensors.index.json"
    if index.is_file():
        try:
            return sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise UserError(f"{index}: is no index of weights ({error_line(error)}); copy it again") from error
    return ["model.safetensors"]
