"""What must hold for vLLM to draw a run's responses, found out before anything is trained."""

from __future__ import annotations

from importlib.util import find_spec

from harness.config import RunConfig
from harness.errors import UserError
from harness.language.engine.line import Line
from harness.language.model.loading import choose_device, choose_dtype

# What `max_lora_rank` may be in vLLM 0.33 (vllm/config/lora.py).
RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)
TEMPERATURES = 0.01, 2.0  # vLLM raises a lower one without a word, and refuses a higher one
OTHERWISE = "or --set generation.backend=transformers"


def room_for(rank: int) -> int:
    """The smallest rank vLLM can be opened for that holds an adapter of `rank`. Raises UserError above the largest."""
    for room in RANKS:
        if rank <= room:
            return room
    raise UserError(
        f"lora.rank={rank}: generation.backend=vllm takes at most {RANKS[-1]}; use --set lora.rank={RANKS[-1]}, {OTHERWISE}"
    )


def check_backend(config: RunConfig) -> None:
    """Nothing for the house's own sampler. For vLLM its process is started once, which takes as long as importing it.

    Raises UserError when vLLM is not installed or does not start, computes on another device than the run, or cannot hold the
    run's adapters, temperature or precision.
    """
    if config.generation.backend != "vllm":
        return
    room_for(config.lora.rank)
    low, high = TEMPERATURES
    if not low <= config.generation.temperature <= high:
        raise UserError(
            f"generation.temperature={config.generation.temperature}: generation.backend=vllm takes {low} to {high}; "
            f"choose one of these, {OTHERWISE}"
        )
    if config.model.quantize is not None:
        raise UserError(f"model.quantize={config.model.quantize}: generation.backend=vllm takes whole weights; leave one out")
    if find_spec("vllm") is None:
        raise UserError(
            'generation.backend=vllm: vLLM is not installed; install it with: pip install "selfplay-harness[vllm]" '
            f"(written against vLLM 0.33, not yet run on hardware), {OTHERWISE}"
        )
    try:
        with Line(config.generation.vllm_timeout) as line:
            theirs = line.hear("hello")["device"]
    except RuntimeError as error:
        what, *words = str(error).splitlines()
        raise UserError(f"generation.backend=vllm: {what} {''.join(words[-1:])}; mend the installation, {OTHERWISE}") from error
    device = choose_device(config.model.device)
    if device.type != theirs:
        raise UserError(
            f"model.device={config.model.device}: generation.backend=vllm wants a GPU, but the run computes on {device.type} and "
            f"vLLM on {theirs or 'none'}; use a machine with a GPU, {OTHERWISE}"
        )
    precision = str(choose_dtype(config.model.dtype, device)).removeprefix("torch.")
    taken = ("bfloat16", "float16") if device.type == "cuda" else ("bfloat16", "float16", "float32")
    if precision not in taken:
        raise UserError(
            f"model.dtype={config.model.dtype}: vLLM applies adapters in {' or '.join(taken)} only; "
            f"use --set model.dtype={taken[0]}, {OTHERWISE}"
        )
