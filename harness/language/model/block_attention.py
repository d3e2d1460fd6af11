"""Attention over the blocks of `attention_blocks` inside any model whose attention goes through transformers' interface.

The blocks travel as the attention mask: a model hands a mask of four dimensions to its attention function as it is, also in the
second forward pass of gradient checkpointing. The function registered here takes it from there; to anything else that stand-in
is one number, not a number, so a family that uses the mask in another way gets no finite result and `verify` refuses it.

Legend: H heads of queries, A heads of keys and values (H is a multiple), W columns, C columns of a cache, D size of a head.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward

from harness.language.model.attention_blocks import Block

# What a family may ask of its attention that blocks do not give.
UNSUPPORTED_ARGUMENTS = ("position_bias", "softcap", "s_aux", "cache", "output_attentions")
GROUPED_HEADS_SINCE = (2, 9)  # version of torch whose operators for the CPU take fewer heads of keys than of queries


class MaskedBlock(NamedTuple):
    """Columns start..end and the key columns they attend to, of cache + row, under a mask to add to the scores."""

    start: int
    end: int
    keys: slice | torch.Tensor  # where they lie side by side, else their indices
    mask: torch.Tensor | None  # (1, 1, end - start, keys)

    def take(self, tensor: torch.Tensor) -> torch.Tensor:
        """(1, A, C + W, D) -> (1, A, keys, D): a view where keys lie side by side."""
        return tensor[:, :, self.keys] if isinstance(self.keys, slice) else tensor.index_select(2, self.keys)

    def add(self, total: torch.Tensor, part: torch.Tensor) -> None:
        """Add (1, A, keys, D) to the block's keys in (1, A, C + W, D)."""
        if isinstance(self.keys, slice):
            total[:, :, self.keys] += part
        else:
            total.index_add_(2, self.keys, part)


class BlockMask(torch.Tensor):
    """(1, 1, 1, 1), not a number; what counts is `blocks`. Operations on it give plain tensors."""

    blocks: list[MaskedBlock]
    __torch_function__ = torch._C._disabled_torch_function_impl  # type: ignore[assignment]


def block_mask(blocks: Sequence[Block], dtype: torch.dtype, device: torch.device) -> BlockMask:
    """The stand-in for a mask by which blocks reach `attention_forward`."""
    stand_in = torch.full((1, 1, 1, 1), math.nan, dtype=dtype, device=device).as_subclass(BlockMask)
    stand_in.blocks = [_masked_block(block, dtype, device) for block in blocks]
    return stand_in


def _masked_block(block: Block, dtype: torch.dtype, device: torch.device) -> MaskedBlock:
    if len(block.ranges) == 1:
        keys: slice | torch.Tensor = slice(*block.ranges[0])
    else:
        keys = torch.cat([torch.arange(*key_range) for key_range in block.ranges]).to(device)
    mask = None
    if block.visible is not None:
        hidden = torch.from_numpy(~block.visible)
        mask = torch.zeros(hidden.shape, dtype=dtype).masked_fill_(hidden, -torch.inf)[None, None].to(device)
    return MaskedBlock(block.start, block.end, keys, mask)


def attention_forward(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    **kwargs: Any,
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """transformers' "sdpa", and attention in blocks where the mask holds some: (1, W, H, D), and no weights.

    Raises ValueError for what blocks do not compute.
    """
    if not isinstance(attention_mask, BlockMask):
        return sdpa_attention_forward(module, query, key, value, attention_mask, dropout, scaling, **kwargs)
    unsupported = [name for name in UNSUPPORTED_ARGUMENTS if kwargs.get(name) not in (None, False)] + ["dropout"] * bool(dropout)
    if unsupported:
        raise ValueError(f"attention in blocks has no {', '.join(unsupported)}")
    scale = query.shape[-1] ** -0.5 if scaling is None else float(scaling)
    return attend_in_blocks(query, key, value, attention_mask.blocks, scale).transpose(1, 2), None


# Under the name of the function that it extends: under one of its own, models would need another `attn_implementation`, which
# some families compare with "sdpa", and which sampling and saved configurations would see too.
AttentionInterface.register("sdpa", attention_forward)


def attend_in_blocks(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, blocks: Sequence[MaskedBlock], scale: float
) -> torch.Tensor:
    """(1, H, W, D), (1, A, C + W, D) twice -> (1, H, W, D), with gradients. Raises ValueError for other shapes."""
    same_size = query.shape[3] == key.shape[3] == value.shape[3] and key.shape == value.shape
    if not same_size or query.shape[1] % key.shape[1] or query.shape[2] != blocks[-1].end:
        raise ValueError(
            f"queries {tuple(query.shape)}, keys {tuple(key.shape)} and values {tuple(value.shape)} are not of one row"
        )
    if query.device.type == "cpu":
        if tuple(map(int, torch.__version__.split(".")[:2])) < GROUPED_HEADS_SINCE:
            key, value = (tensor.repeat_interleave(query.shape[1] // tensor.shape[1], dim=1) for tensor in (key, value))
        query, key, value = (tensor if tensor.stride(-1) == 1 else tensor.contiguous() for tensor in (query, key, value))
        return CpuBlockAttention.apply(query, key, value, blocks, scale)  # type: ignore[return-value]
    return attend_block_by_block(query, key, value, blocks, scale)


def attend_block_by_block(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, blocks: Sequence[MaskedBlock], scale: float
) -> torch.Tensor:
    """`attend_in_blocks` by torch's own attention and gradients, on any device: every block gets gradients of all keys, mostly 0,
    which costs little where blocks are as large as on a GPU.
    """
    outputs = [
        scaled_dot_product_attention(
            query_block, block.take(key), block.take(value), attn_mask=block.mask, scale=scale, enable_gqa=True
        )
        for block, query_block in zip(blocks, query.split([block.end - block.start for block in blocks], dim=2), strict=True)
    ]
    return torch.cat(outputs, dim=2)


class CpuBlockAttention(torch.autograd.Function):
    """`attend_in_blocks` by FlashAttention (arXiv:2205.14135, 2307.08691) as torch has it for the CPU.

    The operators behind `scaled_dot_product_attention` are called themselves: they give the logarithms of the softmax's sums,
    with which the backward pass goes block by block into one gradient of the keys.
    """

    @staticmethod
    def forward(
        ctx: Any, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, blocks: Sequence[MaskedBlock], scale: float
    ) -> torch.Tensor:
        batch, num_heads, width, size = query.shape
        output = query.new_empty(batch, width, num_heads, size).transpose(1, 2)
        log_sums = []
        for block in blocks:
            rows = slice(block.start, block.end)
            output[:, :, rows], log_sum = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(
                query[:, :, rows], block.take(key), block.take(value), attn_mask=block.mask, scale=scale
            )
            log_sums.append(log_sum)
        ctx.save_for_backward(query, key, value, output, *log_sums)
        ctx.blocks, ctx.scale = blocks, scale
        return output

    @staticmethod
    def backward(ctx: Any, *grad_outputs: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, None, None]:
        query, key, value, output, *log_sums = ctx.saved_tensors
        grad_output = grad_outputs[0]
        grad_query, grad_key, grad_value = torch.empty_like(query), torch.zeros_like(key), torch.zeros_like(value)
        for block, log_sum in zip(ctx.blocks, log_sums, strict=True):
            rows = slice(block.start, block.end)
            tensors = (grad_output[:, :, rows], query[:, :, rows], block.take(key), block.take(value), output[:, :, rows])
            grad_query[:, :, rows], block_grad_key, block_grad_value = (
                torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward(
                    *tensors, log_sum, 0.0, False, attn_mask=block.mask, scale=ctx.scale
                )
            )
            block.add(grad_key, block_grad_key)
            block.add(grad_value, block_grad_value)
        return grad_query, grad_key, grad_value, None, None
