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

from harness.language.model.generating import generate_with_transformers
from harness.language.model.logprobs import (
    UNSUPPORTED_ERRORS,
    Layout,
    LayoutCheck,
    Sampler,
    bare_model,
    choose_layout,
    collate,
    continuation_logps,
    device_of,
    dtype_name,
    dummy_groups,
    dummy_tokens,
    extra_state,
    first_line,
    text_config,
)
from harness.language.model.sampling import Request, SamplingParams, generate_tokens
from harness.train.numerics import LOOKAHEAD, SAME_WEIGHTS, UNSUPPORTED_MODEL

GENERATE_SAMPLERS: tuple[Sampler, ...] = ("generate", "generate one by one", "generate without cache")
T = TypeVar("T")


class UnsupportedModel(Exception):
    """Why a model cannot be scored or sampled correctly."""


@torch.no_grad()
def verify_model(model: Any) -> LayoutCheck:
    """The layout and the sampler whose log-probabilities are those of a plain forward pass.

    Raises UnsupportedModel where there is none, where the model looks ahead, or where its adapter gets no finite gradient.
    """
    if bare_model(model).get_output_embeddings() is None:
        raise UnsupportedModel("it has no output layer over its vocabulary: no causal language model")
    with _randomized_adapter(model):
        groups = dummy_groups(text_config(model).vocab_size)
        try:
            expected = [plain_logp(model, g.prompt, c) for g in groups for c in g.responses]
        except UNSUPPORTED_ERRORS as error:
            raise UnsupportedModel(f"a plain forward pass fails ({type(error).__name__}: {first_line(error)})") from error
        _check_causal(model)
        lengths = [len(c) for g in groups for c in g.responses]
        adapted_head = any("lora_" in n for n, _ in bare_model(model).get_output_embeddings().named_parameters())
        rows_agree = not adapted_head and _agrees(lambda: _compute_logps(model, groups, "rows"), expected, lengths, model)
        layout_check = choose_layout(model) if rows_agree else None
        if layout_check is None:
            layouts: tuple[Layout, ...] = ("logits",) if adapted_head else ("rows", "logits")
            layout, difference = _closest(
                layouts, lambda option: _compute_logps(model, groups, option), expected, lengths, model, "log-probabilities"
            )
            reason = "the adapter is on the output layer too" if adapted_head else "more than a projection behind the last layer"
            layout_check = LayoutCheck(layout, difference, reason)
        layout_check = _choose_sampler(model, layout_check)
        _check_gradient(model, groups, layout_check.layout)
    return layout_check


@torch.no_grad()
def plain_logp(model: Any, prefix: Sequence[int], continuation: Sequence[int]) -> float:
    """Nats of a continuation, summed: one sequence alone, no padding, no mask, no cache."""
    ids = torch.tensor([[*prefix, *continuation]], device=device_of(model))
    logits = bare_model(model)(input_ids=ids, use_cache=False).logits[0, len(prefix) - 1 : -1]
    logits = logits.double()
    logps = logits.log_softmax(-1).gather(1, torch.tensor(list(continuation), device=ids.device)[:, None])
    return float(logps.sum())


@torch.no_grad()
def forward_changes_modules(model: Any) -> bool:
    """Whether a forward pass changes the model's modules, so that no two may run side by side.

    A few families leave their state there, and peft puts an adapter on a weight that is no layer's for the length of a pass.
    """
    from peft.tuners.lora.layer import ParamWrapper

    if any(isinstance(module, ParamWrapper) for module in model.modules()):
        return True

    def module_tensors() -> set[tuple[str, str, int]]:
        return {
            (name, key, id(value))
            for name, module in bare_model(model).named_modules()
            for key, value in vars(module).items()
            if isinstance(value, torch.Tensor)
        }

    before = module_tensors()
    plain_logp(model, dummy_tokens(5, 3, text_config(model).vocab_size), [1])
    return module_tensors() != before


def _compute_logps(model: Any, groups: Sequence[Any], layout: Layout) -> list[float]:
    return continuation_logps(model, collate(groups, layout), layout).logps.double().tolist()


def _choose_sampler(model: Any, layout_check: LayoutCheck) -> LayoutCheck:
    vocab_size = text_config(model).vocab_size
    requests = [Request(dummy_tokens(n, 17 * n + 1, vocab_size), n, 3 + n % 4) for n in (3, 7, 7, 7, 12, 20)]
    state_description = extra_state(model)
    samplers: tuple[Sampler, ...] = GENERATE_SAMPLERS if state_description else ("own", *GENERATE_SAMPLERS)
    errors = []
    best: tuple[float, Sampler] | None = None
    precision = _precision(model)
    for sampler in samplers:
        try:
            generated_tokens = (
                generate_tokens(model, requests, SamplingParams(), frozenset(), 3, share_prefix=False)
                if sampler == "own"
                else generate_with_transformers(model, requests, SamplingParams(), frozenset(), 3, sampler)
            )
            difference = max(
                abs((tokens.logp or 0.0) - plain_logp(model, r.prompt_ids, tokens.ids)) / len(tokens.ids)
                for r, tokens in zip(requests, generated_tokens, strict=True)
            )
        except UNSUPPORTED_ERRORS as error:
            errors.append(f"{sampler}: {type(error).__name__}: {first_line(error)}")
            continue
        best = min(best or (difference, sampler), (difference, sampler), key=lambda pair: pair[0])
        if difference <= SAME_WEIGHTS[precision]:
            return layout_check._replace(sampler=sampler, sampler_reason=_sampler_reason(sampler, state_description))
    if best is None or not best[0] <= UNSUPPORTED_MODEL[precision]:
        if best is None:
            raise UnsupportedModel(f"no sample can be drawn from it ({'; '.join(errors)})")
        message = f"its samples' log-probabilities differ by {best[0]:.2g} nats per token from those of a plain forward pass"
        raise UnsupportedModel(f"{message}, whatever cache is used")
    return layout_check._replace(sampler=best[1], sampler_reason=_sampler_reason(best[1], state_description))


def _sampler_reason(sampler: Sampler, state_description: str | None) -> str:
    if sampler == "own":
        return "keys and values alone"
    return state_description or "with padding and a cache of our own its samples are not those of a plain forward pass"


def _agrees(compute: Callable[[], list[float]], expected: list[float], lengths: list[int], model: Any) -> bool:
    try:
        difference = _max_difference(compute(), expected, lengths)
    except UNSUPPORTED_ERRORS:
        return False
    return difference <= SAME_WEIGHTS[_precision(model)]


def _max_difference(logps: list[float], expected: list[float], lengths: list[int]) -> float:
    differences = [abs(a - b) / n for a, b, n in zip(logps, expected, lengths, strict=True)]
    return max(difference if difference == difference else float("inf") for difference in differences)


def _closest(
    options: Sequence[T],
    compute: Callable[[T], list[float]],
    expected: list[float],
    lengths: list[int],
    model: Any,
    quantity: str,
) -> tuple[T, float]:
    """The first option within rounding of a plain forward pass, else the nearest that rounding still explains."""
    precision = _precision(model)
    differences: list[tuple[float, T]] = []
    first_error = ""
    for option in options:
        try:
            difference = _max_difference(compute(option), expected, lengths)
        except UNSUPPORTED_ERRORS as error:
            first_error = first_error or f"{type(error).__name__}: {first_line(error)}"
            continue
        if difference <= SAME_WEIGHTS[precision]:
            return option, difference
        differences.append((difference, option))
    if not differences:
        raise UnsupportedModel(f"its {quantity} cannot be computed ({first_error})")
    difference, option = min(differences, key=lambda pair: pair[0])
    if difference > UNSUPPORTED_MODEL[precision]:
        raise UnsupportedModel(f"its {quantity} differ by {difference:.2g} nats per token from those of a plain forward pass")
    return option, difference


def _check_causal(model: Any) -> None:
    """Raises UnsupportedModel where a token's distribution depends on what follows it, as in an encoder.

    Other tokens follow, as many as before: shorter rows take other kernels, whose rounding depends on the processor.
    """
    vocab_size = text_config(model).vocab_size
    tokens, others = dummy_tokens(12, 9, vocab_size), dummy_tokens(12, 10, vocab_size)
    logps, changed_logps = (
        bare_model(model)(input_ids=torch.tensor([row], device=device_of(model)), use_cache=False)
        .logits[0, :6]
        .double()
        .log_softmax(-1)
        for row in (tokens, [*tokens[:6], *others[6:]])
    )
    difference = float((logps - changed_logps).abs().mean())
    if not difference <= LOOKAHEAD[_precision(model)]:
        raise UnsupportedModel(
            f"a token's probabilities change by {difference:.2g} nats with what follows it: it looks ahead, as an encoder does, "
            "and is no causal language model"
        )


def _check_gradient(model: Any, groups: Sequence[Any], layout: Layout) -> None:
    parameters = [p for n, p in model.named_parameters() if "lora_" in n and p.requires_grad]
    if not parameters:
        return
    try:
        with torch.enable_grad():
            total = continuation_logps(model, collate(groups, layout), layout).logps.sum()
            all_grads = torch.autograd.grad(total, parameters, allow_unused=True)
    except UNSUPPORTED_ERRORS as error:
        raise UnsupportedModel(f"no gradient can be computed through it ({type(error).__name__}: {first_line(error)})") from error
    grads = [grad for grad in all_grads if grad is not None]
    if not any(bool(grad.any()) for grad in grads):
        raise UnsupportedModel(
            "the adapter changes nothing: no gradient reaches it; name other layers with --set lora.targets=[...]"
        )
    if not all(bool(grad.isfinite().all()) for grad in grads):
        raise UnsupportedModel("the adapter's gradient is not finite")


@contextlib.contextmanager
def _randomized_adapter(model: Any) -> Iterator[None]:
    """Within, the adapter adds to every layer about as much as the layer itself gives; afterwards it is what it was.

    A random model's own weights may be so small that neither other rows nor padding have a visible effect. A is uniform with a
    variance of a third over the layer's inputs, so B x A of this size gives 0.6 for inputs of 1, whatever the rank and the
    width. In half precision a tenth of that: there rounding hides what is small anyway, and much noise would look like a wrong
    layout.
    """
    lora_parameters = [(n, p) for n, p in model.named_parameters() if "lora_" in n]
    b_parameters = [p for n, p in lora_parameters if "lora_B" in n or "lora_embedding_B" in n]
    # drawn by peft, differently in every process: what is measured would differ too
    a_parameters = [p for n, p in lora_parameters if "lora_A" in n]
    saved_values = [p.detach().clone() for p in (*b_parameters, *a_parameters)]
    settings = next(iter(getattr(model, "peft_config", {}).values()), None)
    rank = settings.r if settings is not None else 1
    scale = settings.lora_alpha / rank if settings is not None else 1.0
    scale *= 10 if _precision(model) in ("bfloat16", "float16") else 1
    generator = torch.Generator().manual_seed(0)
    for parameter in b_parameters:
        size = scale * math.sqrt(parameter.shape[-1] if parameter.dim() == 2 else rank)
        parameter.copy_(torch.randn(parameter.shape, generator=generator) / size)
    for parameter in a_parameters:
        fresh = torch.empty(parameter.shape, dtype=torch.float32)
        parameter.copy_(torch.nn.init.kaiming_uniform_(fresh, a=math.sqrt(5), generator=generator))
    try:
        yield
    finally:
        for parameter, before in zip((*b_parameters, *a_parameters), saved_values, strict=True):
            parameter.copy_(before)


def _precision(model: Any) -> str:
    """The precision whose rounding is to be expected: the base's own, or half precision where it is in 4 or 8 bits."""
    if getattr(bare_model(model).config, "quantization_config", None) is not None:
        return "bfloat16"
    return dtype_name(bare_model(model).get_input_embeddings().weight.dtype)
