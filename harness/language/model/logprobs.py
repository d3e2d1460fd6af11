"""Log-probabilities of continuations given their prefix, with gradients: the one computation behind every phase.

Four layouts give the same numbers. "packed": a prefix computed once for all its continuations, several groups in a row, under
one mask (`packing`). "blocks": the same in one row, with attention in blocks of columns (`block_attention`), where that costs
less. "rows": one row per continuation, for model families whose attention cannot take a mask of ours, or that have a state beside
it; `verify.choose_layout` compares these on a small batch and decides. "logits": rows again, and the logits as the whole model
gives them, for families with more than a projection behind the last layer.

The output layer gets only the positions that predict a continuation's token (`linear_cross_entropy`).

Legend: N continuations, M their tokens, R rows, W columns, H hidden size, V vocabulary.
Log-probabilities are in nats. A token's value and the sum over a continuation's tokens are float64: in float32 a sum of 300 nats
alone is off by up to 3e-5, and a rounding is added with every token.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import torch

from harness.language.model.attention_blocks import cut_where_cheaper, make_blocks
from harness.language.model.block_attention import block_mask
from harness.language.model.cache import GrowingCache
from harness.language.model.linear_cross_entropy import OutputLayer, Project, chunk_rows, token_logps
from harness.language.model.packing import CACHED_ROW_WIDTH, PackedBatch, pack
from harness.records import PromptGroup

Layout = Literal["blocks", "packed", "rows", "logits"]
PACKED_LAYOUTS: tuple[Layout, ...] = ("blocks", "packed")  # those that compute a prefix once, and continue a cache
Sampler = Literal["own", "own with padding", "generate", "generate one by one", "generate without cache"]
OWN_SAMPLERS: tuple[Sampler, ...] = ("own", "own with padding")


class LayoutCheck(NamedTuple):
    """The layout for a model, with the largest difference per token that was seen, or why there is none, and its sampler.

    sampler: "own" is `sampling.generate_tokens`, with a cache of our own, "own with padding" the same with one segment
    (`decode_cache`); the others are `generate_with_transformers`.
    """

    layout: Layout
    difference: float | None
    reason: str
    sampler: Sampler = "own"
    sampler_reason: str = "keys and values alone"

    @property
    def uses_own_sampler(self) -> bool:
        return self.sampler in OWN_SAMPLERS


class ContinuationLogps(NamedTuple):
    """(N,) log-probabilities, and whether each continuation is greedy decoding's: (N,), None without `with_greedy`."""

    logps: torch.Tensor
    is_greedy: torch.Tensor | None


def collate(groups: Sequence[PromptGroup], layout: Layout, prefix_length: int = 0) -> PackedBatch:
    """Groups in the rows of a layout, with their continuations numbered as listed."""
    if layout in PACKED_LAYOUTS:
        return pack(groups, min(CACHED_ROW_WIDTH, sum(g.width for g in groups)) if prefix_length else 0, prefix_length)
    assert not prefix_length, "rows of their own cannot continue a cache"
    return pack([PromptGroup(g.prompt, [c]) for g in groups for c in g.responses], one_per_row=True)


def continuation_logps(
    model: Any, packed: PackedBatch, layout: Layout, cache: Any = None, with_greedy: bool = False
) -> ContinuationLogps:
    """Every continuation of a batch made by `collate`; with gradients where they are on. cache: of `prefill_prefix`."""
    if layout == "blocks" and not packed.cuts:
        packed = cut_where_cheaper(packed, device_of(model).type)
    packed = packed.to(device_of(model))
    hidden = _hidden(model, packed, layout, cache)  # (R * W, H)
    project = projection(model) if layout != "logits" else lambda logits: logits
    chunk = chunk_rows(text_config(model).vocab_size)
    logp, is_likeliest = token_logps(hidden.index_select(0, packed.source), packed.target, project, chunk, with_greedy)
    total = torch.zeros(packed.count, dtype=logp.dtype, device=logp.device).index_add(0, packed.owner, logp)
    if is_likeliest is None:
        return ContinuationLogps(total, None)
    misses = torch.zeros(packed.count, dtype=torch.long, device=logp.device).index_add(0, packed.owner, (~is_likeliest).long())
    return ContinuationLogps(total, misses == 0)


def _hidden(model: Any, packed: PackedBatch, layout: Layout, cache: Any) -> torch.Tensor:
    """(R * W, H) outputs of the last layer, before the projection to the vocabulary; for "logits" (R * W, V)."""
    if layout == "logits":
        return bare_model(model)(input_ids=packed.ids, use_cache=False).logits.flatten(0, 1)
    decoder = decoder_of(model)
    if layout == "rows":  # padded on the right: in a causal model no token sees what follows it
        out = decoder(input_ids=packed.ids, use_cache=False)
    else:
        past_key_values = GrowingCache.from_prefix(cache, len(packed.ids)) if packed.prefix_length else None
        dtype = bare_model(model).get_input_embeddings().weight.dtype
        mask = _attention_mask(text_config(model), packed, dtype)
        inputs = {"position_ids": packed.positions, "attention_mask": mask, "past_key_values": past_key_values}
        out = decoder(input_ids=packed.ids, **inputs, use_cache=past_key_values is not None)
    return out.last_hidden_state.flatten(0, 1)


def _attention_mask(config: Any, packed: PackedBatch, dtype: torch.dtype) -> Any:
    """The mask of `packed`, or its blocks, as the model takes it: one tensor, or one per kind of attention layer."""
    kinds = set(getattr(config, "layer_types", None) or ())
    window = getattr(config, "sliding_window", None)

    def mask(window: int | None) -> torch.Tensor:
        return block_mask(make_blocks(packed, window), dtype, packed.ids.device) if packed.cuts else packed.mask(dtype, window)

    if "sliding_attention" in kinds:
        return {"full_attention": mask(None), "sliding_attention": mask(window)}
    return mask(None if kinds else window)


def projection(model: Any) -> Project:
    """Hidden states -> logits, with the scale or cap that some families put behind the output layer."""
    config, head = text_config(model), bare_model(model).get_output_embeddings()
    scale = getattr(config, "logit_scale", None) or 1.0 / (getattr(config, "logits_scaling", None) or 1.0)
    scale *= getattr(config, "lm_head_multiplier", None) or 1.0
    cap = getattr(config, "final_logit_softcapping", None)

    if not cap and type(head) is torch.nn.Linear and not _is_hooked(head):
        return OutputLayer(head.weight.detach(), None if head.bias is None else head.bias.detach(), scale)

    def project(hidden: torch.Tensor) -> torch.Tensor:
        logits = head(hidden)
        if scale != 1.0:
            logits = logits * scale
        return cap * torch.tanh(logits / cap) if cap else logits

    return project


def _is_hooked(module: torch.nn.Module) -> bool:
    """Whether calling it does more than its class: hooks, or a `forward` of its own as accelerate puts on what it offloads."""
    return bool(module._forward_hooks or module._forward_pre_hooks or "forward" in vars(module))


@torch.no_grad()
def prefill_prefix(model: Any, ids: Sequence[int]) -> GrowingCache:
    """Keys and values of a token sequence that many groups or prompts continue, for one row."""
    cache = GrowingCache()
    rows = torch.tensor([list(ids)], device=device_of(model))
    decoder_of(model)(input_ids=rows, past_key_values=cache, use_cache=True)
    return cache


def bare_model(model: Any) -> Any:
    """The causal language model inside a peft wrapper."""
    return model.get_base_model() if hasattr(model, "get_base_model") else model


def decoder_of(model: Any) -> Any:
    """What lies between ids and the output projection: the language model alone, where there is a vision tower beside it."""
    causal_lm = bare_model(model)
    inner = causal_lm.base_model if causal_lm.base_model is not causal_lm else getattr(causal_lm, "model", causal_lm)
    for name in ("language_model", "text_model"):
        if name in inner._modules:
            return inner._modules[name]
    return inner


def text_config(model: Any) -> Any:
    """The configuration of the language model, also of one with a vision tower beside it."""
    return bare_model(model).config.get_text_config(decoder=True)


def device_of(model: Any) -> torch.device:
    return next(model.parameters()).device
