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
from harness.errors import UserError, system_line
from harness.files import file_digest
from harness.language.model.context import context_of, lowered
from harness.language.model.logprobs import Choice
from harness.language.model.lora import with_adapter
from harness.language.model.quantised import keep_gradients, quantisation
from harness.language.model.start import start_from
from harness.language.model.supported import auto_class
from harness.language.model.targets import described
from harness.language.model.verify import Unplayable, one_pass_at_a_time, verified
from harness.language.policy import Policy
from harness.language.text.templates import choose_template, ending_ids, freeze_date, reads_the_date
from harness.records import digest
from harness.settings.paths import opened
from harness.sources.confinement import refuse_foreign_code
from harness.sources.mirror import commit_of, resolved_model
from harness.train.thread_pool import OrderedThreadPool


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
    model: ModelConfig,
    lora: LoraConfig,
    template: str,
    mirror: Path | None = None,
    commit: str | None = None,
    arguments: Mapping[str, Any] = MappingProxyType({}),
    date: datetime | None = None,
) -> Policy:
    """The base at `model.path`, frozen, with a fresh adapter.

    template, arguments: the kind of template, and what the chat template is given. date: what templates take for the present.
    mirror: the folder that stands for the hub. commit: what a run began with, where no revision is named. Raises UserError when
    there is no such model, its weights are no safetensors, it wants to run code of its own without being allowed to, or
    quantisation is asked for where it cannot be had.
    """
    import transformers

    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    device = choose_device(model.device)
    lanes = OrderedThreadPool()
    if device.type == "cpu":
        torch.set_num_threads(1)
        lanes = OrderedThreadPool(model.cores or os.cpu_count() or 1)
    path = resolved_model(model.path, mirror, model.revision)
    options: dict[str, Any] = {"trust_remote_code": model.run_code_from_model_repository}
    if mirror is not None and model.run_code_from_model_repository and Path(path).is_dir():
        refuse_foreign_code(path)
    if revision := model.revision or commit:
        options["revision"] = revision
    dtype = choose_dtype(model.dtype, device)
    extra: dict[str, Any] = {"attn_implementation": model.attention} if model.attention else {}
    if model.quantize is not None:
        extra |= {"quantization_config": quantisation(model.quantize, dtype), "device_map": {"": device}}
    _check_folder(path, model)
    # A stranger's files make the libraries raise dozens of unrelated kinds; each means: this model is not to be had.
    try:
        read = auto_class(transformers.AutoConfig.from_pretrained(path, **options), model.path)
        loaded: Any = read.from_pretrained(path, dtype=dtype, use_safetensors=True, output_loading_info=True, **extra, **options)
    except UserError:
        raise
    except Exception as error:
        raise UserError(f"model.path={model.path}: {_why_not(error, path, model)}") from error
    base, found = loaded
    if missing := sorted(found["missing_keys"]):
        raise UserError(
            f"model.path={model.path}: its weights lack {len(missing)} tensors that its config.json asks for, {missing[0]} among "
            "them; they would be random numbers"
        )
    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(path, **options)
    except Exception as error:
        said = f"its tokenizer cannot be loaded ({_line(error)}); the folder or repository of a model holds its tokenizer's files"
        raise UserError(f"model.path={model.path}: {said}") from error
    if len(tokenizer) > (words := base.get_input_embeddings().weight.shape[0]):
        raise UserError(
            f"model.path={model.path}: its vocabulary has {words} tokens and its tokenizer {len(tokenizer)}; give the model the "
            "tokenizer it was trained with"
        )
    if model.quantize is not None:
        keep_gradients(base)
    if date is not None and reads_the_date(tokenizer, arguments):
        freeze_date(tokenizer, date)
    chosen = choose_template(tokenizer, template, arguments)
    chosen = replace(chosen, stop_ids=chosen.stop_ids | ending_ids(getattr(base, "generation_config", None)))
    folder = weights_folder(path, options.get("revision"))
    weights = base_digest(folder)
    weights = digest(weights, model.quantize) if model.quantize else weights
    context_of(base, tokenizer, model.context)
    wrapped = with_adapter(base if model.quantize else base.to(device), lora, model.path, model.merge_adapter)
    key = str([weights, base.config, dtype, device, lora, model.merge_adapter])
    choice = _verified_once(wrapped, model, key)
    policy = Policy(wrapped, tokenizer, chosen, weights, choice, lanes)
    if lanes.count > 1 and one_pass_at_a_time(wrapped):
        policy.pool = OrderedThreadPool()
    policy.context = context_of(base, tokenizer, model.context)
    policy.notes += notes_on(policy)
    policy.path = path
    policy.commit = folder.name if folder.parent.name == "snapshots" else commit_of(mirror, "model", model.path)
    if model.adapter is not None:
        start_from(policy, model.adapter, lora, mirror)
    return policy


_verified: dict[str, Choice] = {}


def _verified_once(wrapped: Any, model: ModelConfig, key: str) -> Choice:
    """What `verified` finds, once per process for the same weights and settings. Raises UserError where the model is unfit."""
    if key not in _verified:
        try:
            _verified[key] = verified(wrapped)
        except Unplayable as error:
            raise UserError(f"model.path={model.path}: {error}") from error
    return _verified[key]


def notes_on(policy: Policy) -> Iterator[str]:
    """What is not as for most models: the sampler, the context, layers without an adapter, ids without a token."""
    choice = policy.choice
    if choice.sampler != "own":
        yield f"sampled through transformers' {choice.sampler}, prompts of equal length together, slower: {choice.sampler_reason}"
    if line := lowered(policy.model, policy.context):
        yield line
    yield from described(policy.model)
    if policy.nameless:
        yield (
            f"{len(policy.nameless)} of the model's ids have no token in the tokenizer: never drawn in self-play; "
            "log-probabilities stay the plain model's, over all ids"
        )


def _check_folder(path: str, model: ModelConfig) -> None:
    """Raises UserError where a folder is meant and there is none, or none with a readable config.json."""
    folder = opened(path)
    if not folder.is_dir():
        if folder.exists():
            raise UserError(f"model.path={model.path}: is a file, expected a folder or a hub id")
        if path.startswith((".", "/", "~")):
            raise UserError(f"model.path={model.path}: no such folder; give a folder or a hub id")
        return
    file = folder / "config.json"
    try:
        said = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise UserError(f"model.path={model.path}: there is no config.json, so it holds no model") from error
    except OSError as error:
        raise UserError(f"model.path={model.path}: {file} cannot be read ({error.strerror}); see to it, or copy it") from error
    except (ValueError, RecursionError) as error:
        raise UserError(f"model.path={model.path}: {file} cannot be read as JSON ({_line(error)}); copy it again") from error
    if not isinstance(said, dict):
        raise UserError(f"model.path={model.path}: {file} holds a {type(said).__name__}, expected an object; copy it again")


def _line(error: BaseException) -> str:
    return (" ".join(str(error).split()) or type(error).__name__)[:200]


def _why_not(error: Exception, path: str, model: ModelConfig) -> str:
    """What keeps a model from being loaded and what to do, in one line."""
    from safetensors import SafetensorError

    said = " ".join(str(error).split())
    if (line := system_line(error)) is not None:
        return line
    if "trust_remote_code" in said and not model.run_code_from_model_repository:
        return (
            "its repository holds Python code that it wants to run on this machine, with your rights; if you have read that code "
            "and trust it: --run-code-from-model-repository"
        )
    folder = Path(path)
    if folder.is_dir() and not any(folder.glob("*.safetensors")):
        return "no .safetensors weights there; pickled weights are not read, save it with safe_serialization"
    if isinstance(error, SafetensorError):
        return f"its .safetensors weights, model.safetensors or a part of it, are damaged ({_line(error)}); copy them again"
    if "ignore_mismatched_sizes" in said:
        return "its weights have other shapes than its config.json asks for; copy both from one place"
    return f"cannot be loaded ({_line(error)}); give a folder or a hub id"


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
    """Names of the files that hold a model's weights; other safetensors files (an adapter, a second copy) do not count.

    Raises UserError when the index of a model in several files cannot be read.
    """
    index = folder / "model.safetensors.index.json"
    if index.is_file():
        try:
            return sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise UserError(f"{index}: is no index of weights ({_line(error)}); copy it again") from error
    return ["model.safetensors"]
