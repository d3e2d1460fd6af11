"""peft's LoRA layer with its sums fused into its products: the same function, parameters and files, fewer passes over memory.

y = x W' + b + s (x A') B'. peft computes the second product, a scaled copy of it and the sum one after the other; here the second
product is added while it is made, forward and backward. The base weight gets no gradient: it is frozen.

Legend: T tokens (all leading axes flattened), I and O inputs and outputs of the layer, r rank.
"""

from __future__ import annotations

from typing import Any

import torch
from peft.tuners.lora import Linear as PeftLinear


class _FusedLora(torch.autograd.Function):
    """(T, I), (O, I), (O,) or None, (r, I), (O, r), scale -> (T, O); gradients for x, A and B."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, weight: torch.Tensor, bias: Any, a: torch.Tensor, b: torch.Tensor, scale: float):
        low = x @ a.t()  # (T, r)
        ctx.save_for_backward(x, low, weight, a, b)
        ctx.scale = scale
        return torch.nn.functional.linear(x, weight, bias).addmm_(low, b.t(), alpha=scale)

    @staticmethod
    def backward(ctx: Any, *slopes: torch.Tensor):
        (slope,) = slopes
        x, low, weight, a, b = ctx.saved_tensors
        back = (slope @ b).mul_(ctx.scale)  # (T, r)
        to_x = torch.mm(slope, weight).addmm_(back, a) if ctx.needs_input_grad[0] else None
        return to_x, None, None, back.t() @ x, (slope.t() @ low).mul_(ctx.scale), None


class FusedLinear(PeftLinear):
    """A peft LoRA layer over a plain linear layer, with one unmerged adapter in the base's own precision."""

    def forward(self, x: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
        name = self.active_adapters[0]
        a, b = self.lora_A[name].weight, self.lora_B[name].weight
        if self.disable_adapters or self.merged or a.dtype != x.dtype:
            return super().forward(x, *args, **kwargs)
        base: Any = self.base_layer
        flat = x.reshape(-1, x.shape[-1])
        out = _FusedLora.apply(flat, base.weight, base.bias, a, b, self.scaling[name])
        return out.view(*x.shape[:-1], out.shape[-1])  # type: ignore[union-attr]


def fuse(model: Any) -> None:
    """Let every plain LoRA layer of `model` compute its sums while it computes its products.

    Layers over anything but `torch.nn.Linear` (quantised, convolutions) and adapters kept in another precision than their
    input (float32 beside a bfloat16 base) stay as peft made them.
    """
    for module in model.modules():
        if type(module) is PeftLinear and type(module.base_layer) is torch.nn.Linear:
            module.__class__ = FusedLinear
