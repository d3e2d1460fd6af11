"""RMSNorm of large inputs in half the time on a CPU: the model's own values to the bit, gradients to rounding.

Written in torch, the layer reads and writes its whole input at every operation, at the speed of memory. Here a piece that stays
in a core's cache goes through all operations before the next one. For small inputs, in another precision than float32 and on a
GPU the model's own forward pass runs.

Legend: T tokens (all leading axes flattened), H size of a token's vector.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch

PIECE_SIZE = 1 << 16  # entries of each tensor in a piece: 256 KiB
MIN_SIZE = 1 << 17  # entries of an input from which pieces gain


class RMSNormInPieces(torch.autograd.Function):
    """(T, H), (H,), epsilon -> (T, H): x / sqrt(mean(x^2) + epsilon) * weight (arXiv:1910.07467); a gradient for x alone."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, weight: torch.Tensor, epsilon: float) -> torch.Tensor:
        output, inverse_norms = torch.empty_like(x), []
        for x_piece, output_piece in _pieces(x, output):
            inverse_norm = torch.rsqrt(x_piece.pow(2).mean(-1, keepdim=True) + epsilon)
            torch.mul(x_piece, inverse_norm, out=output_piece).mul_(weight)
            inverse_norms.append(inverse_norm)
        ctx.save_for_backward(x, weight, torch.cat(inverse_norms))
        return output

    @staticmethod
    def backward(ctx: Any, *grad_outputs: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        """With s = 1 / sqrt(mean(x^2) + epsilon) and g = weight * gradient: s g - s^3 x sum(g x) / H."""
        x, weight, inverse_norms = ctx.saved_tensors
        grad_x = torch.empty_like(x)
        for x_piece, grad_output, grad_piece, inverse_norm in _pieces(x, grad_outputs[0], grad_x, inverse_norms):
            torch.mul(grad_output, weight, out=grad_piece)
            projection = (grad_piece * x_piece).sum(-1, keepdim=True)
            grad_piece.mul_(inverse_norm).addcmul_(x_piece, projection.mul_(inverse_norm.pow(3)).div_(-x.shape[1]))
        return grad_x, None, None


def _pieces(*tensors: torch.Tensor) -> Iterator[tuple[torch.Tensor, ...]]:
    """Rows of tensors of which the first is (T, H), as many at a time as a core's cache holds."""
    num_rows = max(1, PIECE_SIZE // tensors[0].shape[1])
    return zip(*(tensor.split(num_rows) for tensor in tensors), strict=True)


class FusedRMSNorm(torch.nn.Module):
    """What `fuse_norms` puts before a model's own class, whose parameters and names stay."""

    weight: torch.Tensor
    variance_epsilon: float

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        if hidden_states.numel() < MIN_SIZE or not _is_float32_on_cpu(hidden_states, self.weight) or self.weight.requires_grad:
            return super().forward(hidden_states)
        flat = hidden_states.reshape(-1, hidden_states.shape[-1])
        output: Any = RMSNormInPieces.apply(flat, self.weight, self.variance_epsilon)
        return output.view(hidden_states.shape)


@torch.no_grad()
def fuse_norms(model: torch.nn.Module) -> int:
    """Fuse every module that is called an RMSNorm and gives the numbers of one; returns how many. Weights are frozen already."""
    num_fused = 0
    for module in list(model.modules()):
        own_class, weight = type(module), getattr(module, "weight", None)
        if not own_class.__name__.endswith("RMSNorm") or not hasattr(module, "variance_epsilon"):
            continue
        if not isinstance(weight, torch.Tensor) or weight.dim() != 1 or not _is_float32_on_cpu(weight):
            continue
        x = torch.linspace(-3, 2, 4 * len(weight)).view(4, -1).sin() + 0.1
        if torch.equal(RMSNormInPieces.apply(x, weight, module.variance_epsilon), module(x)):  # type: ignore[arg-type]
            module.__class__ = type(own_class.__name__, (FusedRMSNorm, own_class), {})
            num_fused += 1
    return num_fused


def _is_float32_on_cpu(*tensors: torch.Tensor) -> bool:
    return all(tensor.dtype == torch.float32 and tensor.device.type == "cpu" for tensor in tensors)
