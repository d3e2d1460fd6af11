"""Log-probabilities of continuations given their prefix, with gradients: the one computation behind every phase.

Three layouts give the same numbers. "packed": a prefix computed once for all its continuations, several groups in a row
(`packing`). "rows": one row per continuation, for model families whose attention cannot take a mask of ours, or that have a
state beside it; `choose_layout` compares the two on a small batch and decides. The output projection sees only the places that
predict a continuation's token, a chunk at a time, and keeps (M, H) numbers for the backward pass, so (rows, tokens, vocabulary)
never exists. "logits": rows again, and the logits as the whole model gives them, for families with more than a projection
behind the last layer.

Legend: N continuations, M their tokens, R rows, W columns, H hidden size, V vocabulary.
Log-probabilities are in nats, from float32 logits (float64 in a float64 model). A token's value and the sum over a continuation's
tokens are float64: in float32 a sum of 300 nats alone is off by up to 3e-5, and a rounding is added with every token.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple

import torch

from harness.language.model.cache import GrowingCache
from harness.language.model.packing import Packed, pack
from harness.records import PromptGroup

Layout = Literal["packed", "rows", "logits"]
Sampler = Literal["own", "generate", "generate one by one", "generate without cache"]
Project = Callable[[torch.Tensor], torch.Tensor]
LOGITS_AT_ONCE = 1 << 24  # entries of the chunk of logits that exists at a time: 64 MiB in float32
SUMMED = 64  # exponentials that are added in float32 before the sum goes on in float64
CACHED_ROW = 256  # columns of a row behind a cache: wide, since every row copies the cache
# Largest difference per token between the two layouts on the start-up batch, by precision of the base.
LAYOUT_TOLERANCE = {torch.float64: 1e-9, torch.float32: 1e-4, torch.bfloat16: 5e-2, torch.float16: 1e-2}


class Scored(NamedTuple):
    """(N,) log-probabilities, and whether each continuation's tokens are all the likeliest ones: (N,) or None if not asked."""

    logps: torch.Tensor
    greedy: torch.Tensor | None


def lay_out(groups: Sequence[PromptGroup], layout: Layout, cached: int = 0) -> Packed:
    """Groups in the rows of a layout, with their continuations numbered as listed."""
    if layout == "packed":
        return pack(groups, min(CACHED_ROW, sum(g.width for g in groups)) if cached else 0, cached)
    assert not cached, "rows of their own cannot continue a cache"
    return pack([PromptGroup(g.prompt, [c]) for g in groups for c in g.responses], alone=True)


def continuation_logps(model: Any, packed: Packed, layout: Layout, cache: Any = None, greedy: bool = False) -> Scored:
    """Every continuation that `lay_out` laid out; with gradients where they are on.

    cache: from `beginning`, the keys and values of the `packed.cached` tokens that all groups continue.
    """
    packed = packed.to(device_of(model))
    hidden = _hidden(model, packed, layout, cache)  # (R * W, H)
    chunk = max(1, LOGITS_AT_ONCE // text_config(model).vocab_size)
    project = projection(model) if layout != "logits" else lambda logits: logits
    logp, likeliest = token_logps(hidden.index_select(0, packed.source), packed.target, project, chunk, greedy)
    total = torch.zeros(packed.count, dtype=logp.dtype, device=logp.device).index_add(0, packed.owner, logp)
    if likeliest is None:
        return Scored(total, None)
    misses = torch.zeros(packed.count, dtype=torch.long, device=logp.device).index_add(0, packed.owner, (~likeliest).long())
    return Scored(total, misses == 0)


def _hidden(model: Any, packed: Packed, layout: Layout, cache: Any) -> torch.Tensor:
    """(R * W, H) outputs of the last layer, before the projection to the vocabulary; for "logits" (R * W, V)."""
    if layout == "logits":
        return bare_model(model)(input_ids=packed.ids, use_cache=False).logits.flatten(0, 1)
    decoder = decoder_of(model)
    if layout == "rows":  # padded on the right: in a causal model no token sees what follows it
        out = decoder(input_ids=packed.ids, use_cache=False)
    else:
        past = GrowingCache.continuing(cache, len(packed.ids)) if packed.cached else None
        mask = _masks(text_config(model), packed, _dtype(model))
        out = decoder(
            input_ids=packed.ids,
            position_ids=packed.positions,
            attention_mask=mask,
            past_key_values=past,
            use_cache=past is not None,
        )
    return out.last_hidden_state.flatten(0, 1)


def _masks(config: Any, packed: Packed, dtype: torch.dtype) -> Any:
    """The mask of `packed` as the model takes it: one tensor, or one per kind of attention layer."""
    kinds = set(getattr(config, "layer_types", None) or ())
    window = getattr(config, "sliding_window", None)
    if "sliding_attention" in kinds:
        return {"full_attention": packed.mask(dtype), "sliding_attention": packed.mask(dtype, window)}
    return packed.mask(dtype, None if kinds else window)


def projection(model: Any) -> Project:
    """Hidden states -> logits, with the scale or cap that some families put behind the output layer."""
    config, head = text_config(model), bare_model(model).get_output_embeddings()
    factor = getattr(config, "logit_scale", None) or 1.0 / (getattr(config, "logits_scaling", None) or 1.0)
    factor *= getattr(config, "lm_head_multiplier", None) or 1.0
    cap = getattr(config, "final_logit_softcapping", None)

    def project(hidden: torch.Tensor) -> torch.Tensor:
        logits = head(hidden)
        if factor != 1.0:
            logits = logits * factor
        return cap * torch.tanh(logits / cap) if cap else logits

    return project


# ---------------------------------------------------------------- projection, a chunk at a time


def token_logps(
    hidden: torch.Tensor, target: torch.Tensor, project: Project, chunk: int, greedy: bool = False
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """(M, H) hidden states, (M,) tokens -> (M,) log-probabilities, and (M,) whether each token is the likeliest, if asked."""
    if torch.is_grad_enabled() and hidden.requires_grad:
        return _TokenLogps.apply(hidden, target, project, chunk), None  # type: ignore[return-value]
    logp, _, likeliest = _chunked(hidden, target, project, chunk, slopes=False, greedy=greedy)
    return logp, likeliest


class _TokenLogps(torch.autograd.Function):
    """Forward computes each token's own gradient with its value, so that no logits wait for the backward pass."""

    @staticmethod
    def forward(ctx: Any, hidden: torch.Tensor, target: torch.Tensor, project: Project, chunk: int) -> torch.Tensor:
        logp, slopes, _ = _chunked(hidden, target, project, chunk, slopes=True, greedy=False)
        ctx.save_for_backward(slopes)
        return logp

    @staticmethod
    def backward(ctx: Any, *incoming: torch.Tensor) -> tuple[torch.Tensor, None, None, None]:
        (slopes,) = ctx.saved_tensors
        return slopes * incoming[0][:, None].to(slopes.dtype), None, None, None


def _chunked(
    hidden: torch.Tensor, target: torch.Tensor, project: Project, chunk: int, slopes: bool, greedy: bool
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor | None]:
    """(M,) log-probabilities, (M, H) gradient of each with respect to its own hidden state or nothing, (M,) or None."""
    values: list[torch.Tensor] = []
    found: list[torch.Tensor] = []
    likeliest: list[torch.Tensor] = []
    for start in range(0, max(1, len(hidden)), chunk):
        part, wanted = hidden[start : start + chunk].detach().requires_grad_(slopes), target[start : start + chunk]
        with torch.set_grad_enabled(slopes):
            logits = project(part)
            logits = logits if logits.dtype == torch.float64 else logits.float()
        logp, at, minus_softmax = _log_softmax_at(logits.detach(), wanted, slopes)
        if minus_softmax is not None:  # tokens are independent, so each has its own gradient: one at the token minus the softmax
            minus_softmax.scatter_add_(1, wanted[:, None], torch.ones_like(minus_softmax[:, :1]))
            found.append(torch.autograd.grad(logits, part, minus_softmax)[0])
        if greedy:
            likeliest.append(at == wanted)
        values.append(logp)
    return torch.cat(values), torch.cat(found) if slopes else hidden.new_empty(0), torch.cat(likeliest) if greedy else None


def _log_softmax_at(
    logits: torch.Tensor, target: torch.Tensor, softmax: bool
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor | None]:
    """(M, V) logits, (M,) tokens -> (M,) float64 log-probabilities, (M,) likeliest tokens, (M, V) minus the softmax if asked.

    Only the exponentials are float32. What is small beside a large term would be rounded away from their sum, always downwards:
    so the largest, which is 1, is added in float64, and the others in short parts. A value is then right to a few 1e-7 nats and
    leans to no side, where a float32 log-softmax rounds one of -20 nats by up to 1e-6.
    """
    largest, at = logits.max(-1, keepdim=True)
    weights = (logits - largest).exp_().scatter_(-1, at, 0.0)
    whole = weights.shape[1] // SUMMED * SUMMED
    total = weights[:, :whole].unflatten(-1, (-1, SUMMED)).sum(-1).sum(-1, keepdim=True, dtype=torch.float64)
    total += weights[:, whole:].sum(-1, keepdim=True, dtype=torch.float64) + 1.0
    logp = logits.gather(-1, target[:, None]).double() - largest.double() - total.log()
    minus = weights.scatter_(-1, at, 1.0).div_(total.to(weights.dtype)).neg_() if softmax else None
    return logp.squeeze(-1), at.squeeze(-1), minus


# ---------------------------------------------------------------- a beginning shared by many groups


@torch.no_grad()
def beginning(model: Any, ids: Sequence[int]) -> GrowingCache:
    """Keys and values of a token sequence that many groups or prompts continue, for one row."""
    cache = GrowingCache()
    rows = torch.tensor([list(ids)], device=device_of(model))
    decoder_of(model)(input_ids=rows, past_key_values=cache, use_cache=True)
    return cache


# ---------------------------------------------------------------- which layout


class Choice(NamedTuple):
    """The layout for a model, with the largest difference per token that was seen, or why there is none, and its sampler.

    sampler: "own" is `sampling.draw`, with a cache of our own; the others are `generating.generated`.
    """

    layout: Layout
    difference: float | None
    reason: str
    sampler: Sampler = "own"
    sampler_reason: str = "keys and values alone"


PLAIN_LAYERS = {"full_attention", "sliding_attention"}  # kinds of layers that keys, values and a mask say all about
# What a model that takes no mask of ours, or no cache, has been seen to raise.
UNFIT = (RuntimeError, TypeError, ValueError, NotImplementedError, AttributeError, KeyError, IndexError, AssertionError)


def beside_attention(model: Any) -> str | None:
    """What the model's state is, beside keys and values under a mask, by its own account; None where it has nothing else."""
    bare = bare_model(model)
    kinds = {str(kind) for kind in getattr(text_config(model), "layer_types", None) or ()} - PLAIN_LAYERS
    if kinds:
        return f"layers of {', '.join(sorted(kinds))}"
    if getattr(bare, "_is_stateful", False):
        return "a state beside keys and values"
    supports = getattr(bare, "_supports_default_dynamic_cache", None)
    return None if supports is None or supports() else "a cache of its own"


def some_groups(words: int) -> list[PromptGroup]:
    """A small batch of made-up ids below `words`: prefixes of unequal lengths with one to three continuations."""
    return [
        PromptGroup(
            some_tokens(length, 2 * length + 1, words), [some_tokens(3 + k, 31 * length + k, words) for k in range(count)]
        )
        for length, count in ((12, 3), (5, 2), (20, 1))
    ]


def some_tokens(count: int, key: int, words: int) -> list[int]:
    return [(7919 * (i + 1) * key + 104729 * i * i) % words for i in range(count)]


@torch.no_grad()
def choose_layout(model: Any) -> Choice:
    """Compare the two layouts on a small batch: "packed" where they agree to the model's precision, else "rows"."""
    words = text_config(model).vocab_size
    groups = some_groups(words)
    lengths = torch.tensor([len(c) for g in groups for c in g.responses])
    if kinds := beside_attention(model):
        return Choice("rows", None, kinds)

    def found(groups: Sequence[PromptGroup], layout: Layout, cache: Any = None, cached: int = 0) -> torch.Tensor:
        return continuation_logps(model, lay_out(groups, layout, cached), layout, cache).logps.cpu()

    plain = found(groups, "rows")
    limit = LAYOUT_TOLERANCE[_dtype(model)]
    try:
        packed = found(groups, "packed")
        start = some_tokens(9, 5, words)
        whole = found([PromptGroup([*start, *g.prompt], g.responses) for g in groups], "rows")
        cached = found(groups, "packed", beginning(model, start), len(start))
    except UNFIT as error:
        return Choice("rows", None, f"this model takes no mask of ours ({type(error).__name__}: {first_line(error)})")
    worst = float(torch.maximum((packed - plain).abs() / lengths, (cached - whole).abs() / lengths).max())
    if worst <= limit:
        return Choice("packed", worst, "both layouts agree")
    return Choice("rows", worst, f"the packed layout differs by {worst:.2g} nats per token, at most {limit:g} expected")


def first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [""])[0]


def bare_model(model: Any) -> Any:
    """The causal language model inside a peft wrapper."""
    return model.get_base_model() if hasattr(model, "get_base_model") else model


def decoder_of(model: Any) -> Any:
    """What lies between ids and the output projection: the language model alone, where there is a vision tower beside it."""
    bare = bare_model(model)
    inner = bare.base_model if bare.base_model is not bare else getattr(bare, "model", bare)
    for name in ("language_model", "text_model"):
        if name in inner._modules:
            return inner._modules[name]
    return inner


def text_config(model: Any) -> Any:
    """The configuration of the language model, also where others stand beside it."""
    return bare_model(model).config.get_text_config(decoder=True)


def device_of(model: Any) -> torch.device:
    return next(model.parameters()).device


def _dtype(model: Any) -> torch.dtype:
    return bare_model(model).get_input_embeddings().weight.dtype
