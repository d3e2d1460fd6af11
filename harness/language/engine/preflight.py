"""What must hold for vLLM to draw a run's responses, checked before anything is trained."""

from __future__ import annotations

from importlib.util import find_spec

from harness.config import RunConfig
from harness.errors import UserError
from harness.language.engine.vllm_process import VllmProcess
from harness.language.model.loading import choose_device, choose_dtype

# What `max_lora_rank` may be in vLLM 0.33 (vllm/config/lora.py).
SUPPORTED_RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)
TEMPERATURE_RANGE = 0.01, 2.0  # vLLM silently raises a lower one, and refuses a higher one
TRANSFORMERS_HINT = "or --set generation.backend=transformers"


def supported_rank(rank: int) -> int:
    """The smallest rank vLLM can be opened for that holds an adapter of `rank`. Raises UserError above the largest."""
    for max_rank in SUPPORTED_RANKS:
        if rank <= max_rank:
            return max_rank
    raise UserError(
        f"lora.rank={rank}: generation.backend=vllm takes at most {SUPPORTED_RANKS[-1]}; use --set "
        f"lora.rank={SUPPORTED_RANKS[-1]}, {TRANSFORMERS_HINT}"
    )


def check_backend(config: RunConfig) -> None:
    """Start vLLM's process once, which takes as long as importing it.

    Raises UserError when vLLM is not installed or does not start, computes on another device than the run, or cannot hold the
    run's adapters, temperature or precision.
    """
    supported_rank(config.lora.rank)
    low, high = TEMPERATURE_RANGE
    if not low <= config.generation.temperature <= high:
        raise UserError(
            f"generation.temperature={config.generation.temperature}: generation.backend=vllm takes {low} to {high}; "
            f"choose one of these, {TRANSFORMERS_HINT}"
        )
    if config.model.quantize is not None:
        raise UserError(f"model.quantize={config.model.quantize}: not with generation.backend=vllm; leave one of the two out")
    if find_spec("vllm") is None:
        raise UserError(
            'generation.backend=vllm: vLLM is not installed; install it with: pip install "selfplay-harness[vllm]" '
            f"(written against vLLM 0.33, not yet run on hardware), {TRANSFORMERS_HINT}"
        )
    try:
        with VllmProcess(config.generation.vllm_timeout) as process:
            vllm_device = process.receive("hello")["device"]
    except RuntimeError as error:
        message, *error_lines = str(error).splitlines()
        raise UserError(
            f"generation.backend=vllm: {message} {''.join(error_lines[-1:])}; mend the installation, {TRANSFORMERS_HINT}"
        ) from error
    device = choose_device(config.model.device)
    if device.type != vllm_device:
        raise UserError(
            f"model.device={config.model.device}: generation.backend=vllm needs a GPU, but the run computes on {device.type} and "
            f"vLLM on {vllm_device or 'none'}; use a machine with a GPU, {TRANSFORMERS_HINT}"
        )
    precision = str(choose_dtype(config.model.dtype, device)).removeprefix("torch.")
    supported_dtypes = ("bfloat16", "float16") if device.type == "cuda" else ("bfloat16", "float16", "float32")
    if precision not in supported_dtypes:
        raise UserError(
            f"model.dtype={config.model.dtype}: vLLM applies adapters in {' or '.join(supported_dtypes)} only; "
            f"use --set model.dtype={supported_dtypes[0]}, {TRANSFORMERS_HINT}"
        )
