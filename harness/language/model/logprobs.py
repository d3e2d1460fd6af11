"""Log-probabilities of continuations given their prefix, with gradients: the one computation behind every phase.

Three layouts give the same numbers. "packed": a prefix computed once for all its continuations, several groups in a row
(`packing`). "rows": one row per continuation, for model families whose attention cannot take a mask of ours, or that have a
state beside it; `verify.choose_layout` compares the two on a small batch and decides. "logits": rows again, and the logits as the
whole model gives them, for families with more than a projection behind the last layer.

Fused linear cross-entropy (as in Liger Kernel, arXiv:2410.10989, and Cut Cross-Entropy, arXiv:2411.09009): the output projection
gets only the positions that predict a continuation's token, a chunk at a time, and keeps (M, H) numbers for the backward pass, so
(rows, tokens, vocabulary) never exists.

Legend: N continuations, M their tokens, R rows, W columns, H hidden size, V vocabulary.
Log-probabilities are in nats, from float32 logits (float64 in a float64 model). A token's value and the sum over a continuation's
tokens are float64: in float32 a sum of 300 nats alone is off by up to 3e-5, and a rounding is added with every token.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple

import torch

from harness.language.model.cache import GrowingCache
from harness.language.model.packing import PackedBatch, pack
from harness.records import PromptGroup

Layout = Literal["packed", "rows", "logits"]
Sampler = Literal["own", "own with padding", "generate", "generate one by one", "generate without cache"]
OWN_SAMPLERS: tuple[Sampler, ...] = ("own", "own with padding")
Project = Callable[[torch.Tensor], torch.Tensor]
LOGITS_CHUNK_SIZE = 1 << 24  # entries of the chunk of logits that exists at a time: 64 MiB in float32
FLOAT32_SUM_LENGTH = 64  # exponentials that are added in float32 before the sum goes on in float64
CACHED_ROW_WIDTH = 256  # columns of a row behind a cache: wide, since every row copies the cache


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
    if layout == "packed":
        return pack(groups, min(CACHED_ROW_WIDTH, sum(g.width for g in groups)) if prefix_length else 0, prefix_length)
    assert not prefix_length, "rows of their own cannot continue a cache"
    return pack([PromptGroup(g.prompt, [c]) for g in groups for c in g.responses], one_per_row=True)


def continuation_logps(
    model: Any, packed: PackedBatch, layout: Layout, cache: Any = None, with_greedy: bool = False
) -> ContinuationLogps:
    """Every continuation of a batch made by `collate`; with gradients where they are on. cache: of `prefill_prefix`."""
    packed = packed.to(device_of(model))
    hidden = _hidden(model, packed, layout, cache)  # (R * W, H)
    chunk = max(1, LOGITS_CHUNK_SIZE // text_config(model).vocab_size)
    project = projection(model) if layout != "logits" else lambda logits: logits
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
    """The mask of `packed` as the model takes it: one tensor, or one per kind of attention layer."""
    kinds = set(getattr(config, "layer_types", None) or ())
    window = getattr(config, "sliding_window", None)
    if "sliding_attention" in kinds:
        return {"full_attention": packed.mask(dtype), "sliding_attention": packed.mask(dtype, window)}
    return packed.mask(dtype, None if kinds else window)


def projection(model: Any) -> Project:
    """Hidden states -> logits, with the scale or cap that some families put behind the output layer."""
    config, head = text_config(model), bare_model(model).get_output_embeddings()
    scale = getattr(config, "logit_scale", None) or 1.0 / (getattr(config, "logits_scaling", None) or 1.0)
    scale *= getattr(config, "lm_head_multiplier", None) or 1.0
    cap = getattr(config, "final_logit_softcapping", None)

    def project(hidden: torch.Tensor) -> torch.Tensor:
        logits = head(hidden)
        if scale != 1.0:
            logits = logits * scale
        return cap * torch.tanh(logits / cap) if cap else logits

    return project


def token_logps(
    hidden: torch.Tensor, target: torch.Tensor, project: Project, chunk: int, with_greedy: bool = False
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """(M, H) hidden states, (M,) tokens -> (M,) log-probabilities, and with `with_greedy` (M,) whether each is the likeliest."""
    if torch.is_grad_enabled() and hidden.requires_grad:
        return FusedLinearCrossEntropy.apply(hidden, target, project, chunk), None  # type: ignore[return-value]
    logp, _, likeliest = _chunked_logps(hidden, target, project, chunk, with_grads=False, with_greedy=with_greedy)
    return logp, likeliest


class FusedLinearCrossEntropy(torch.autograd.Function):
    """(M, H) hidden states -> (M,) log-probabilities, minus the cross-entropy of each token.

    Forward computes each token's own gradient with its value, so that no logits wait for the backward pass.
    """

    @staticmethod
    def forward(ctx: Any, hidden: torch.Tensor, target: torch.Tensor, project: Project, chunk: int) -> torch.Tensor:
        logp, grads, _ = _chunked_logps(hidden, target, project, chunk, with_grads=True, with_greedy=False)
        ctx.save_for_backward(grads)
        return logp

    @staticmethod
    def backward(ctx: Any, *grad_outputs: torch.Tensor) -> tuple[torch.Tensor, None, None, None]:
        (grads,) = ctx.saved_tensors
        return grads * grad_outputs[0][:, None].to(grads.dtype), None, None, None


def _chunked_logps(
    hidden: torch.Tensor, target: torch.Tensor, project: Project, chunk: int, with_grads: bool, with_greedy: bool
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor | None]:
    """(M,) log-probabilities, (M, H) gradient of each with respect to its own hidden state or nothing, (M,) or None."""
    values: list[torch.Tensor] = []
    grads: list[torch.Tensor] = []
    is_likeliest: list[torch.Tensor] = []
    for start in range(0, max(1, len(hidden)), chunk):
        hidden_chunk = hidden[start : start + chunk].detach().requires_grad_(with_grads)
        target_chunk = target[start : start + chunk]
        with torch.set_grad_enabled(with_grads):
            logits = project(hidden_chunk)
            logits = logits if logits.dtype == torch.float64 else logits.float()
        logp, argmax, minus_softmax = _log_softmax_at(logits.detach(), target_chunk, with_grads)
        if minus_softmax is not None:  # tokens are independent, so each has its own gradient: one at the token minus the softmax
            minus_softmax.scatter_add_(1, target_chunk[:, None], torch.ones_like(minus_softmax[:, :1]))
            grads.append(torch.autograd.grad(logits, hidden_chunk, minus_softmax)[0])
        if with_greedy:
            is_likeliest.append(argmax == target_chunk)
        values.append(logp)
    is_greedy = torch.cat(is_likeliest) if with_greedy else None
    return torch.cat(values), torch.cat(grads) if with_grads else hidden.new_empty(0), is_greedy


def _log_softmax_at(
    logits: torch.Tensor, target: torch.Tensor, with_softmax: bool
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor | None]:
    """(M, V) logits, (M,) tokens -> (M,) float64 log-probabilities, (M,) likeliest tokens, (M, V) minus the softmax or None.

    Only the exponentials are float32. What is small beside a large term would be rounded away from their sum, always downwards:
    so the largest, which is 1, is added in float64, and the others in short parts. A value is then right to a few 1e-7 nats and
    unbiased, where a float32 log-softmax rounds one of -20 nats by up to 1e-6.
    """
    largest, argmax = logits.max(-1, keepdim=True)
    exponentials = (logits - largest).exp_().scatter_(-1, argmax, 0.0)
    aligned_length = exponentials.shape[1] // FLOAT32_SUM_LENGTH * FLOAT32_SUM_LENGTH
    parts = exponentials[:, :aligned_length].unflatten(-1, (-1, FLOAT32_SUM_LENGTH)).sum(-1)
    total = parts.sum(-1, keepdim=True, dtype=torch.float64)
    total += exponentials[:, aligned_length:].sum(-1, keepdim=True, dtype=torch.float64) + 1.0
    logp = logits.gather(-1, target[:, None]).double() - largest.double() - total.log()
    minus = exponentials.scatter_(-1, argmax, 1.0).div_(total.to(exponentials.dtype)).neg_() if with_softmax else None
    return logp.squeeze(-1), argmax.squeeze(-1), minus


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
