"""Whether the base's products can be made in bfloat16 (`model.arithmetic`): it needs instructions for them and a float32 base."""

from __future__ import annotations

from functools import partial

import torch

from harness.config import ModelConfig
from harness.errors import UserError
from harness.language.model.lora import bfloat16_products, fused_layers
from harness.language.policy import Policy
from harness.train.machine import instruction_sets
from harness.train.numerics import BFLOAT16_PRODUCTS

BFLOAT16_INSTRUCTIONS = {"AVX-512 BF16", "AMX"}  # that oneDNN multiplies bfloat16 matrices with; without them it is no faster


def check_arithmetic(model: ModelConfig, device: torch.device, dtype: torch.dtype) -> None:
    """Raises UserError where the base is not in float32 or the device has no instructions for products in bfloat16."""
    if model.arithmetic != BFLOAT16_PRODUCTS:
        return
    if dtype != torch.float32 or model.quantize is not None:
        base = f"quantized ({model.quantize})" if model.quantize is not None else f"in {str(dtype).removeprefix('torch.')}"
        raise _unusable(f"the base is {base}, and it is for bases in float32")
    if not multiplies_bfloat16(device):
        raise _unusable(f"this {'GPU' if device.type == 'cuda' else 'processor'} has no instructions for it")


def use_bfloat16_products(policy: Policy) -> None:
    """Let a policy score and train so; samples and comparisons of checkpoints stay in the base's precision.

    Raises UserError where none of the layers with an adapter is a plain linear layer.
    """
    if not fused_layers(policy.model):
        raise _unusable("no layer of this model that has an adapter is a plain linear layer")
    policy.training_precision = BFLOAT16_PRODUCTS
    policy.training_arithmetic = partial(bfloat16_products, policy.model)


def multiplies_bfloat16(device: torch.device) -> bool:
    """Whether the device has matrix instructions for bfloat16."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return not BFLOAT16_INSTRUCTIONS.isdisjoint(instruction_sets()["processor"])


def _unusable(reason: str) -> UserError:
    return UserError(f"model.arithmetic={BFLOAT16_PRODUCTS}: {reason}; use --set model.arithmetic=dtype")
