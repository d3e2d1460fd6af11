"""The frozen base in 4 or 8 bits, by bitsandbytes: QLoRA (arXiv:2305.14314).

bitsandbytes repacks 4-bit weights for a processor as soon as a layer in evaluation mode is used without gradients, and from then
on no gradient passes through that layer, without an error. Policies are always in evaluation mode (dropout must stay off), so the
quantised layers alone are held in training mode; they have no dropout.
"""

from __future__ import annotations

import importlib.util
from typing import Any

import torch

from harness.errors import UserError


def quantization_config(kind: str, dtype: torch.dtype) -> Any:
    """transformers' settings for a base in 4 bits (NF4, scales quantised too) or 8. Raises UserError without bitsandbytes."""
    import transformers

    if importlib.util.find_spec("bitsandbytes") is None:
        raise UserError(f'model.quantize={kind}: needs bitsandbytes; install it with: pip install "selfplay-harness[qlora]"')
    if kind == "int8":
        return transformers.BitsAndBytesConfig(load_in_8bit=True)
    return transformers.BitsAndBytesConfig(
        load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True, bnb_4bit_compute_dtype=dtype
    )


def keep_gradients(base: Any) -> None:
    """Hold every 4-bit layer of `base` in training mode, whatever mode the model around it is put into."""
    from bitsandbytes.nn.modules import Linear4bit

    for layer in base.modules():
        if isinstance(layer, Linear4bit):
            layer.train(True)
            layer.train = lambda mode=True, layer=layer: layer  # type: ignore[method-assign]
