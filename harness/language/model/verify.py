"""Whether scores and samples are the model's own: compared with a plain forward pass, on a few tokens, when it is loaded.

A family may keep a state that padding enters, look ahead, put more than a projection behind its last layer, or use weights past
its adapter. None of these ends in an error; each ends in log-probabilities of something else. So the layout and the sampler are
the first ones that agree with one sequence at a time, alone, without padding, mask or cache, and where none does the model is
refused. The adapter is set to random weights meanwhile, so that its effect is visible.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

import torch

from harness.errors import error_line
from harness.language.model.attention_blocks import cut_everywhere
from harness.language.model.choosing import SamplingParams
from harness.language.model.generating import generate_with_transformers
from harness.language.model.logprobs import (
    OWN_SAMPLERS,
    Layout,
    LayoutCheck,
    Sampler,
    bare_model,
    collate,
    continuation_logps,
    device_of,
    prefill_prefix,
    text_config,
)
from harness.language.model.packing import PackedBatch
from harness.language.model.sampling import Request, generate_tokens
from harness.records import PromptGroup
from harness.train.numerics import LOOKAHEAD, SAME_WEIGHTS, UNSUPPORTED_MODEL

GENERATE_SAMPLERS: tuple[Sampler, ...] = ("generate", "generate one by one", "generate without cache")
ATTENTION_LAYERS = {"full_attention", "sliding_attention"}  # kinds of layers whose state is keys and values alone
# What a model that takes no mask of ours, or no cache, has been seen to raise.
UNSUPPORTED_ERRORS = (RuntimeError, TypeError, ValueError, AttributeError, LookupError, AssertionError)
T = TypeVar("T")


class UnsupportedModel(Exception):
    """Why a model cannot be scored or sampled correctly."""


@torch.no_grad()
def verify_model(model: Any) -> LayoutCheck:
    """Layout and sampler that agree with a plain forward pass. UnsupportedModel: none, it looks ahead, no finite gradient."""
    head = bare_model(model).get_output_embeddings()
    if head is None:
        raise UnsupportedModel("it has no output layer over its vocabulary: no causal language model")
    groups = dummy_groups(text_config(model).vocab_size)
    lengths = torch.tensor([len(c) for g in groups for c in g.responses])
    with _randomized_adapter(model):
        try:
            expected = torch.tensor([plain_logp(model, g.prompt, c) for g in groups for c in g.responses], dtype=torch.float64)
        except UNSUPPORTED_ERRORS as error:
            raise UnsupportedModel(f"a plain forward pass fails ({type(error).__name__}: {error_line(error)})") from error
        _check_causal(model)

        def difference(layout: Layout) -> float:
            return _per_token(_logps(model, groups, layout), expected, lengths)

        layouts: tuple[Layout, ...] = ("rows", "logits")
        reason = "more than a projection behind the last layer"
        if any("lora_" in name for name, _ in head.named_parameters()):
            layouts = ("logits",)
            reason = "the adapter is on the output layer too"
        layout, largest = _closest(layouts, difference, model, "log-probabilities")
        layout_check = LayoutCheck(layout, largest, reason)
        if layout == "rows" and largest <= SAME_WEIGHTS[_precision(model)]:
            layout_check = choose_layout(model)
        layout_check = _choose_sampler(model, layout_check)
        _check_gradient(model, groups, layout_check.layout)
    return layout_check


@torch.no_grad()
def plain_logp(model: Any, prefix: Sequence[int], continuation: Sequence[int]) -> float:
    """Nats of a continuation, summed: one sequence alone, no padding, no mask, no cache."""
    ids = torch.tensor([[*prefix, *continuation]], device=device_of(model))
    logits = bare_model(model)(input_ids=ids, use_cache=False).logits[0, len(prefix) - 1 : -1].double()
    return float(logits.log_softmax(-1).gather(1, ids[0, len(prefix) :, None]).sum())


@torch.no_grad()
def choose_layout(model: Any) -> LayoutCheck:
    """The best of "blocks", "packed" and "rows" that agree on a small batch to the model's precision."""
    if state_description := extra_state(model):
        return LayoutCheck("rows", None, state_description)
    vocab_size = text_config(model).vocab_size
    groups, prefix = dummy_groups(vocab_size), dummy_tokens(9, 5, vocab_size)
    lengths = torch.tensor([len(c) for g in groups for c in g.responses])
    tolerance = SAME_WEIGHTS[_dtype_name(model)]
    row_logps = _logps(model, groups, "rows")
    full_row_logps = _logps(model, [PromptGroup([*prefix, *g.prompt], g.responses) for g in groups], "rows")

    def difference(layout: Layout) -> float:
        cached_logps = _logps(model, groups, layout, prefill_prefix(model, prefix), len(prefix))
        pairs = ((_logps(model, groups, layout), row_logps), (cached_logps, full_row_logps))
        return max(_per_token(logps, expected, lengths) for logps, expected in pairs)

    try:
        packed_difference = difference("packed")
    except UNSUPPORTED_ERRORS as error:
        return LayoutCheck("rows", None, f"this model takes no mask of ours ({type(error).__name__}: {error_line(error)})")
    if packed_difference > tolerance:
        reason = f"the packed layout differs by {packed_difference:.2g} nats per token, at most {tolerance:g} expected"
        return LayoutCheck("rows", packed_difference, reason)
    try:
        largest = max(packed_difference, difference("blocks"))
    except UNSUPPORTED_ERRORS as error:
        reason = f"its attention is not computed in blocks ({type(error).__name__}: {error_line(error)})"
        return LayoutCheck("packed", packed_difference, reason)
    if largest <= tolerance:
        return LayoutCheck("blocks", largest, "all layouts agree")
    outcome = f"differs by {largest:.2g} nats per token" if math.isfinite(largest) else "gives no finite number"
    return LayoutCheck("packed", packed_difference, f"in blocks its attention {outcome}")


@torch.no_grad()
def forward_changes_modules(model: Any) -> bool:
    """Whether a forward pass changes the model's modules, so that no two may run side by side.

    A few families leave their state there, and peft puts an adapter on a weight that is no layer's for the length of a pass.
    """
    from peft.tuners.lora.layer import ParamWrapper

    if any(isinstance(module, ParamWrapper) for module in model.modules()):
        return True

    def module_tensors() -> set[tuple[str, str, int]]:
        modules = bare_model(model).named_modules()
        attributes = ((name, key, value) for name, module in modules for key, value in vars(module).items())
        return {(name, key, id(value)) for name, key, value in attributes if isinstance(value, torch.Tensor)}

    before = module_tensors()
    plain_logp(model, dummy_tokens(5, 3, text_config(model).vocab_size), [1])
    return module_tensors() != before


def extra_state(model: Any) -> str | None:
    """The model's state beside keys and values, as transformers declares it; None where it has no other."""
    causal_lm = bare_model(model)
    kinds = {str(kind) for kind in getattr(text_config(model), "layer_types", None) or ()} - ATTENTION_LAYERS
    if kinds:
        return f"layers of {', '.join(sorted(kinds))}"
    if getattr(causal_lm, "_is_stateful", False):
        return "a state beside keys and values"
    supports = getattr(causal_lm, "_supports_default_dynamic_cache", None)
    return None if supports is None or supports() else "a cache of its own"


def _choose_sampler(model: Any, layout_check: LayoutCheck) -> LayoutCheck:
    vocab_size = text_config(model).vocab_size
    requests = [Request(dummy_tokens(n, 17 * n + 1, vocab_size), n, 3 + n % 4) for n in (3, 7, 7, 7, 12, 20)]
    state_description = extra_state(model)
    samplers: tuple[Sampler, ...] = GENERATE_SAMPLERS if state_description else (*OWN_SAMPLERS, *GENERATE_SAMPLERS)

    def difference(sampler: Sampler) -> float:
        common = (model, requests, SamplingParams(), frozenset(), 3)
        if sampler in OWN_SAMPLERS:
            generated = generate_tokens(*common, layout_check._replace(sampler=sampler))
        else:
            generated = generate_with_transformers(*common, sampler)
        return max(
            abs((tokens.logp or 0.0) - plain_logp(model, r.prompt_ids, tokens.ids)) / len(tokens.ids)
            for r, tokens in zip(requests, generated, strict=True)
        )

    sampler, _ = _closest(samplers, difference, model, "samples' log-probabilities")
    reason = state_description or "with padding and a cache of our own its samples are not those of a plain forward pass"
    if sampler in OWN_SAMPLERS:
        reason = "keys and values alone" + (", attention not through SDPA alone" if sampler == "own with padding" else "")
    return layout_check._replace(sampler=sampler, sampler_reason=reason)


def _closest(options: Sequence[T], difference: Callable[[T], float], model: Any, quantity: str) -> tuple[T, float]:
    """The first option within rounding of a plain forward pass, else the nearest that rounding still explains."""
    precision = _precision(model)
    best: tuple[float, T] | None = None
    errors = []
    for option in options:
        try:
            value = difference(option)
        except UNSUPPORTED_ERRORS as error:
            errors.append(f"{option}: {type(error).__name__}: {error_line(error)}")
            continue
        if value <= SAME_WEIGHTS[precision]:
            return option, value
        if best is None or value < best[0]:
            best = value, option
    if best is None:
        raise UnsupportedModel(f"its {quantity} cannot be computed ({'; '.join(errors)})")
    if not best[0] <= UNSUPPORTED_MODEL[precision]:
        raise UnsupportedModel(f"its {quantity} differ by {best[0]:.2g} nats per token from those of a plain forward pass")
    return best[1], best[0]


def _logps(model: Any, groups: Sequence[PromptGroup], layout: Layout, cache: Any = None, prefix_length: int = 0) -> torch.Tensor:
    return continuation_logps(model, _small_batch(groups, layout, prefix_length), layout, cache).logps.double().cpu()


def _small_batch(groups: Sequence[PromptGroup], layout: Layout, prefix_length: int = 0) -> PackedBatch:
    """As `collate`, but in blocks although so few columns do without."""
    packed = collate(groups, layout, prefix_length)
    return cut_everywhere(packed) if layout == "blocks" else packed


def _per_token(logps: torch.Tensor, expected: torch.Tensor, lengths: torch.Tensor) -> float:
    """Largest difference per token; infinite where one is not a number."""
    return float(((logps - expected).abs() / lengths).nan_to_num(nan=math.inf).max())


def _check_causal(model: Any) -> None:
    """Raises UnsupportedModel where a token's distribution depends on what follows it, as in an encoder.

    Other tokens follow, as many as before: shorter rows take other kernels, whose rounding depends on the processor.
    """
    vocab_size = text_config(model).vocab_size
    tokens, others = dummy_tokens(12, 9, vocab_size), dummy_tokens(12, 10, vocab_size)
    rows = (torch.tensor([row], device=device_of(model)) for row in (tokens, [*tokens[:6], *others[6:]]))
    logits, changed_logits = (bare_model(model)(input_ids=row, use_cache=False).logits[0, :6].double() for row in rows)
    difference = float((logits.log_softmax(-1) - changed_logits.log_softmax(-1)).abs().mean())
    if not difference <= LOOKAHEAD[_precision(model)]:
        raise UnsupportedModel(
            f"a token's probabilities change by {difference:.2g} nats with what follows it: it looks ahead, as an encoder does, "
            "and is no causal language model"
        )


def _check_gradient(model: Any, groups: Sequence[PromptGroup], layout: Layout) -> None:
    parameters = [p for n, p in model.named_parameters() if "lora_" in n and p.requires_grad]
    if not parameters:
        return
    try:
        with torch.enable_grad():
            total = continuation_logps(model, _small_batch(groups, layout), layout).logps.sum()
            grads = torch.autograd.grad(total, parameters, allow_unused=True, materialize_grads=True)
    except UNSUPPORTED_ERRORS as error:
        raise UnsupportedModel(f"no gradient can be computed through it ({type(error).__name__}: {error_line(error)})") from error
    if not any(bool(grad.any()) for grad in grads):
        raise UnsupportedModel("the adapter changes nothing: no gradient reaches it; name others with --set lora.targets=[...]")
    if not all(bool(grad.isfinite().all()) for grad in grads):
        raise UnsupportedModel("the adapter's gradient is not finite")


@contextlib.contextmanager
def _randomized_adapter(model: Any) -> Iterator[None]:
    """Within, the adapter adds to every layer about as much as the layer itself gives; afterwards it is what it was.

    A random model's own weights may be so small that neither other rows nor padding have a visible effect. A is uniform with a
    variance of a third over the layer's inputs, so B x A of this size gives 0.6 for inputs of 1, whatever the rank and the
    width. In half precision a tenth of that: there rounding hides what is small anyway, and much noise would look like a wrong
    layout. Both come from a seed, so that what is measured is the same in every process.
    """
    lora_parameters = [(n, p) for n, p in model.named_parameters() if "lora_" in n]
    saved_values = [(p, p.detach().clone()) for _, p in lora_parameters]
    settings = next(iter(getattr(model, "peft_config", {}).values()), None)
    rank = settings.r if settings is not None else 1
    scale = settings.lora_alpha / rank if settings is not None else 1.0
    scale *= 10 if _precision(model) in ("bfloat16", "float16") else 1
    generator = torch.Generator().manual_seed(0)
    for parameter in (p for n, p in lora_parameters if "lora_B" in n or "lora_embedding_B" in n):
        size = scale * math.sqrt(parameter.shape[-1] if parameter.dim() == 2 else rank)
        parameter.copy_(torch.randn(parameter.shape, generator=generator) / size)
    for parameter in (p for n, p in lora_parameters if "lora_A" in n):
        fresh = torch.empty(parameter.shape, dtype=torch.float32)
        parameter.copy_(torch.nn.init.kaiming_uniform_(fresh, a=math.sqrt(5), generator=generator))
    try:
        yield
    finally:
        for parameter, before in saved_values:
            parameter.copy_(before)


def dummy_groups(vocab_size: int) -> list[PromptGroup]:
    """A small batch of made-up ids below `vocab_size`: prefixes of unequal lengths with one to three continuations."""
    return [
        PromptGroup(dummy_tokens(n, 2 * n + 1, vocab_size), [dummy_tokens(3 + k, 31 * n + k, vocab_size) for k in range(count)])
        for n, count in ((12, 3), (5, 2), (20, 1))
    ]


def dummy_tokens(count: int, key: int, vocab_size: int) -> list[int]:
    return [(7919 * (i + 1) * key + 104729 * i * i) % vocab_size for i in range(count)]


def _precision(model: Any) -> str:
    """The precision whose rounding is to be expected: the base's own, or half precision where it is in 4 or 8 bits."""
    quantized = getattr(bare_model(model).config, "quantization_config", None) is not None
    return "bfloat16" if quantized else _dtype_name(model)


def _dtype_name(model: Any) -> str:
    return str(bare_model(model).get_input_embeddings().weight.dtype).removeprefix("torch.")
