"""Whether scores and samples are the model's own function: against a plain forward pass, on a few tokens, when it is loaded.

A family may keep a state that padding enters, look ahead, put more than a projection behind its last layer, or use weights past
its adapter. None of these ends in an error; each ends in log-probabilities of something else. So the layout and the sampler are
the first ones that agree with one sequence at a time, alone, without padding, mask or cache, and where none does the model is
refused. The adapter is moved away from zero meanwhile, so that it shows.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

import torch

from harness.language.model.generating import generated
from harness.language.model.logprobs import (
    LAYOUT_TOLERANCE,
    UNFIT,
    Choice,
    Layout,
    Sampler,
    bare_model,
    beside_attention,
    choose_layout,
    continuation_logps,
    device_of,
    first_line,
    lay_out,
    some_groups,
    some_tokens,
    text_config,
)
from harness.language.model.sampling import Draw, Request, draw

# Largest difference, in nats per token of a response, that rounding explains: above it a model is refused. Half precision rounds
# differently for every shape of a batch.
EXPLAINED = {torch.float64: 1e-5, torch.float32: 1e-3, torch.bfloat16: 2e-1, torch.float16: 5e-2}
LOOKS_AHEAD = EXPLAINED | {torch.float32: 1e-4}  # the same passes on the same tokens: rounding has less to explain
GENERATE: tuple[Sampler, ...] = ("generate", "generate one by one", "generate without cache")
T = TypeVar("T")


class Unplayable(Exception):
    """What keeps a model from being scored or sampled rightly."""


@torch.no_grad()
def verified(model: Any) -> Choice:
    """The layout and the sampler whose log-probabilities are those of a plain forward pass.

    Raises Unplayable where there is none, where the model looks ahead, or where its adapter gets no finite gradient.
    """
    if bare_model(model).get_output_embeddings() is None:
        raise Unplayable("it has no output layer over its vocabulary: no causal language model")
    with _moved_adapter(model):
        groups = some_groups(text_config(model).vocab_size)
        try:
            expected = [plain_logp(model, g.prompt, c) for g in groups for c in g.responses]
        except UNFIT as error:
            raise Unplayable(f"a plain forward pass fails ({type(error).__name__}: {first_line(error)})") from error
        _refuse_looking_ahead(model)
        lengths = [len(c) for g in groups for c in g.responses]
        adapted_head = any("lora_" in n for n, _ in bare_model(model).get_output_embeddings().named_parameters())
        plain = not adapted_head and _agrees(lambda: _scores(model, groups, "rows"), expected, lengths, model)
        choice = choose_layout(model) if plain else None
        if choice is None:
            layouts: tuple[Layout, ...] = ("logits",) if adapted_head else ("rows", "logits")
            layout, worst = _best(layouts, lambda one: _scores(model, groups, one), expected, lengths, model, "log-probabilities")
            reason = "the adapter is on the output layer too" if adapted_head else "more than a projection behind the last layer"
            choice = Choice(layout, worst, reason)
        choice = _with_sampler(model, choice)
        _check_gradient(model, groups, choice.layout)
    return choice


@torch.no_grad()
def plain_logp(model: Any, prefix: Sequence[int], continuation: Sequence[int]) -> float:
    """Nats of a continuation, summed: one sequence alone, no padding, no mask, no cache."""
    ids = torch.tensor([[*prefix, *continuation]], device=device_of(model))
    logits = bare_model(model)(input_ids=ids, use_cache=False).logits[0, len(prefix) - 1 : -1]
    logits = logits.double()
    picked = logits.log_softmax(-1).gather(1, torch.tensor(list(continuation), device=ids.device)[:, None])
    return float(picked.sum())


@torch.no_grad()
def one_pass_at_a_time(model: Any) -> bool:
    """Whether a forward pass changes the model's modules, so that no two may run side by side.

    A few families leave their state there, and peft puts an adapter on a weight that is no layer's for the length of a pass.
    """
    from peft.tuners.lora.layer import ParamWrapper

    if any(isinstance(module, ParamWrapper) for module in model.modules()):
        return True

    def held() -> set[tuple[str, str, int]]:
        return {
            (name, key, id(value))
            for name, module in bare_model(model).named_modules()
            for key, value in vars(module).items()
            if isinstance(value, torch.Tensor)
        }

    before = held()
    plain_logp(model, some_tokens(5, 3, text_config(model).vocab_size), [1])
    return held() != before


def _scores(model: Any, groups: Sequence[Any], layout: Layout) -> list[float]:
    return continuation_logps(model, lay_out(groups, layout), layout).logps.double().tolist()


def _with_sampler(model: Any, choice: Choice) -> Choice:
    words = text_config(model).vocab_size
    requests = [Request(some_tokens(n, 17 * n + 1, words), n, 3 + n % 4) for n in (3, 7, 7, 7, 12, 20)]
    beside = beside_attention(model)
    samplers: tuple[Sampler, ...] = GENERATE if beside else ("own", *GENERATE)
    errors = []
    best: tuple[float, Sampler] | None = None
    dtype = _precision(model)
    for sampler in samplers:
        try:
            drawn = (
                draw(model, requests, Draw(), frozenset(), 3, share=False)
                if sampler == "own"
                else generated(model, requests, Draw(), frozenset(), 3, sampler)
            )
            off = max(
                abs((one.logp or 0.0) - plain_logp(model, r.prompt_ids, one.ids)) / len(one.ids)
                for r, one in zip(requests, drawn, strict=True)
            )
        except UNFIT as error:
            errors.append(f"{sampler}: {type(error).__name__}: {first_line(error)}")
            continue
        best = min(best or (off, sampler), (off, sampler), key=lambda one: one[0])
        if off <= LAYOUT_TOLERANCE[dtype]:
            return choice._replace(sampler=sampler, sampler_reason=_why(sampler, beside))
    if best is None or not best[0] <= EXPLAINED[dtype]:
        if best is None:
            raise Unplayable(f"no sample can be drawn from it ({'; '.join(errors)})")
        said = f"its samples' log-probabilities differ by {best[0]:.2g} nats per token from those of a plain forward pass"
        raise Unplayable(f"{said}, whatever cache is used")
    return choice._replace(sampler=best[1], sampler_reason=_why(best[1], beside))


def _why(sampler: Sampler, beside: str | None) -> str:
    if sampler == "own":
        return "keys and values alone"
    return beside or "with padding and a cache of our own its samples are not those of a plain forward pass"


def _agrees(compute: Callable[[], list[float]], expected: list[float], lengths: list[int], model: Any) -> bool:
    try:
        off = _off(compute(), expected, lengths)
    except UNFIT:
        return False
    return off <= LAYOUT_TOLERANCE[_precision(model)]


def _off(found: list[float], expected: list[float], lengths: list[int]) -> float:
    gaps = [abs(a - b) / n for a, b, n in zip(found, expected, lengths, strict=True)]
    return max(g if g == g else float("inf") for g in gaps)


def _best(
    ways: Sequence[T], compute: Callable[[T], list[float]], expected: list[float], lengths: list[int], model: Any, what: str
) -> tuple[T, float]:
    """The first way within rounding of a plain forward pass, else the nearest that rounding still explains."""
    dtype = _precision(model)
    seen: list[tuple[float, T]] = []
    said = ""
    for way in ways:
        try:
            off = _off(compute(way), expected, lengths)
        except UNFIT as error:
            said = said or f"{type(error).__name__}: {first_line(error)}"
            continue
        if off <= LAYOUT_TOLERANCE[dtype]:
            return way, off
        seen.append((off, way))
    if not seen:
        raise Unplayable(f"its {what} cannot be computed ({said})")
    off, way = min(seen, key=lambda one: one[0])
    if off > EXPLAINED[dtype]:
        raise Unplayable(f"its {what} differ by {off:.2g} nats per token from those of a plain forward pass")
    return way, off


def _refuse_looking_ahead(model: Any) -> None:
    """Raises Unplayable where a token's distribution depends on what follows it, as in an encoder."""
    words = text_config(model).vocab_size
    ids = torch.tensor([some_tokens(12, 9, words)], device=device_of(model))
    whole, part = (
        bare_model(model)(input_ids=one, use_cache=False).logits[0, :6].double().log_softmax(-1) for one in (ids, ids[:, :6])
    )
    off = float((whole - part).abs().mean())
    if not off <= LOOKS_AHEAD[_precision(model)]:
        raise Unplayable(
            f"a token's probabilities change by {off:.2g} nats with what follows it: it looks ahead, as an encoder does, and "
            "is no causal language model"
        )


def _check_gradient(model: Any, groups: Sequence[Any], layout: Layout) -> None:
    parameters = [p for n, p in model.named_parameters() if "lora_" in n and p.requires_grad]
    if not parameters:
        return
    try:
        with torch.enable_grad():
            total = continuation_logps(model, lay_out(groups, layout), layout).logps.sum()
            found = torch.autograd.grad(total, parameters, allow_unused=True)
    except UNFIT as error:
        raise Unplayable(f"no gradient can be computed through it ({type(error).__name__}: {first_line(error)})") from error
    given = [slope for slope in found if slope is not None]
    if not any(bool(slope.any()) for slope in given):
        raise Unplayable("the adapter changes nothing: no gradient reaches it; name other layers with --set lora.targets=[...]")
    if not all(bool(slope.isfinite().all()) for slope in given):
        raise Unplayable("the adapter's gradient is not finite")


@contextlib.contextmanager
def _moved_adapter(model: Any) -> Iterator[None]:
    """Within, the adapter adds to every layer about as much as the layer itself gives; afterwards it is what it was.

    A random model's own weights may be so small that nothing shows, neither a neighbour nor padding. A is uniform with a variance
    of a third over the layer's inputs, so B x A of this size gives 0.6 for inputs of 1, whatever the rank and the width. In half
    precision a tenth of that: there rounding hides what is small anyway, and much noise would look like a wrong layout.
    """
    found = [(n, p) for n, p in model.named_parameters() if "lora_" in n]
    moved = [p for n, p in found if "lora_B" in n or "lora_embedding_B" in n]
    drawn = [p for n, p in found if "lora_A" in n]  # by peft, otherwise in every process: what is measured would differ too
    kept = [p.detach().clone() for p in (*moved, *drawn)]
    settings = next(iter(getattr(model, "peft_config", {}).values()), None)
    rank = settings.r if settings is not None else 1
    scale = settings.lora_alpha / rank if settings is not None else 1.0
    scale *= 10 if _precision(model) in (torch.bfloat16, torch.float16) else 1
    generator = torch.Generator().manual_seed(0)
    for parameter in moved:
        size = scale * math.sqrt(parameter.shape[-1] if parameter.dim() == 2 else rank)
        parameter.copy_(torch.randn(parameter.shape, generator=generator) / size)
    for parameter in drawn:
        fresh = torch.empty(parameter.shape, dtype=torch.float32)
        parameter.copy_(torch.nn.init.kaiming_uniform_(fresh, a=math.sqrt(5), generator=generator))
    try:
        yield
    finally:
        for parameter, before in zip((*moved, *drawn), kept, strict=True):
            parameter.copy_(before)


def _precision(model: Any) -> torch.dtype:
    """What rounding is to be expected: of the base's own dtype, or of half precision where it is in 4 or 8 bits."""
    if getattr(bare_model(model).config, "quantization_config", None) is not None:
        return torch.bfloat16
    return bare_model(model).get_input_embeddings().weight.dtype
