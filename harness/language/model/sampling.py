"""Responses drawn from a model: prompts computed once, rows that finish make room for those that wait.

A draw is the inverse of the cumulative distribution at one uniform per row and step, and a row's uniforms come from its own
seed: what a row draws does not depend on its neighbours, so rows may come and go. The log-probability of every drawn token is
kept, at temperature 1 and without truncation, whatever the draw itself used.

Legend: B rows of a batch, T columns so far, V vocabulary.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import torch

from harness.language.model.beginnings import common_length
from harness.language.model.cache import GrowingCache
from harness.language.model.logprobs import bare_model, beginning, device_of
from harness.train.nonfinite import BadNumbers, Spoken, Suspect

SHARE_FROM = 16  # tokens all prompts must begin with before they are computed apart
REFILL_AT = 0.75  # share of the batch still drawing below which finished rows are replaced, or the rest moved together


@dataclass(frozen=True)
class Draw:
    """How a token is chosen. Temperature 0 takes the likeliest. The others in the order in which transformers applies them.

    top_k: the so many likeliest (0: all). top_p: the likeliest that reach this share of what is left. min_p: those with at least
    this share of the likeliest one's probability. never: ids that are not drawn, such as those of a padded vocabulary that the
    tokenizer has no token for. The others' share is scaled up; the log-probability that is kept stays the plain policy's, over
    all ids, which is what scoring computes.
    """

    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    min_p: float = 0.0
    never: tuple[int, ...] = ()


@dataclass(frozen=True)
class Request:
    """One response to draw: its prompt, the seed of its uniforms, how many tokens it may have, and what else may end it."""

    prompt_ids: Sequence[int]
    seed: int
    most: int
    stopped: Callable[[list[int]], bool] = lambda ids: False  # given the tokens so far
    change: Callable[[Sequence[int], torch.Tensor], torch.Tensor] | None = (
        None  # tokens so far, (V,) logits -> (V,) to choose from
    )


@dataclass(frozen=True)
class Tokens:
    """What was drawn, a stop token included, with its log-probability in nats; None at temperature 0, where none is computed."""

    ids: list[int]
    logp: float | None


@dataclass
class Flight:
    """Rows being drawn. A column is one step back in time for all of them; columns before a row's prompt are masked."""

    numbers: list[int]  # B numbers of requests; a row that has finished keeps its place until the rest is moved together
    cache: Any
    mask: torch.Tensor  # (B, T)
    position: torch.Tensor  # (B,) of the next token
    logits: torch.Tensor  # (B, V) that the next token is drawn from
    uniforms: torch.Tensor  # (B, most)
    step: torch.Tensor  # (B,) tokens drawn so far


@torch.no_grad()
def draw(
    model: Any,
    requests: Sequence[Request],
    how: Draw,
    stop_ids: frozenset[int],
    batch_size: int,
    share: bool = True,
    advance: Callable[[int], None] = lambda n: None,
) -> list[Tokens]:
    """One response per request, in the order given; each ends at a stop token, at `most`, or where its `stopped` says so.

    batch_size: rows at a time. share: whether what all prompts begin with is computed once (not for attention that counts
    columns, such as a sliding window). Raises BadNumbers, naming the requests, where the model's output is not finite: no token
    can be drawn from that.
    """
    model = bare_model(model)  # peft's wrapper adds nothing but time to every step
    waiting = sorted(range(len(requests)), key=lambda i: (len(requests[i].prompt_ids), tuple(requests[i].prompt_ids), i))[::-1]
    start = common_start(requests) if share else 0
    begun = beginning(model, requests[0].prompt_ids[:start]) if start else None
    ids: list[list[int]] = [[] for _ in requests]
    logps = torch.zeros(len(requests), dtype=torch.float64)
    flight: Flight | None = None
    while waiting or flight is not None:
        room = batch_size - (len(flight.numbers) if flight else 0)
        if waiting and room > (1 - REFILL_AT) * batch_size * bool(flight):
            new = [waiting.pop() for _ in range(min(room, len(waiting)))]
            joining = _prefilled(model, [requests[i] for i in new], new, start, begun, how)
            flight = _joined(flight, joining) if flight else joining
        assert flight is not None
        asked = [(requests[i], ids[i]) if i >= 0 else (None, []) for i in flight.numbers]
        tokens, values = _choose(flight, how, changed(flight.logits, *zip(*asked, strict=True)))
        going = []
        listed = tokens.tolist()
        owner, values = torch.tensor(flight.numbers), values.cpu()
        if bad := owner[(owner >= 0) & ~values.isfinite()].tolist():
            raise undrawable(requests, ids, bad)
        if how.temperature:
            logps.index_add_(0, owner.clamp(min=0), torch.where(owner >= 0, values, 0.0))
        done = 0
        for row, i in enumerate(flight.numbers):
            if i < 0:
                continue
            ids[i].append(listed[row])
            if listed[row] in stop_ids or len(ids[i]) >= requests[i].most or requests[i].stopped(ids[i]):
                flight.numbers[row] = -1
                done += 1
            else:
                going.append(row)
        advance(done)
        if not going:
            flight = None
            continue
        if len(going) <= REFILL_AT * len(flight.numbers):
            tokens = tokens[torch.tensor(going, device=tokens.device)]
            flight = _kept(flight, going)
        _step(model, flight, tokens)
    return [Tokens(i, float(v) if how.temperature else None) for i, v in zip(ids, logps, strict=True)]


def common_start(requests: Sequence[Request]) -> int:
    """How many tokens all prompts begin with, if enough to share; every prompt keeps at least one of its own."""
    if len(requests) < 2:
        return 0
    ends = sorted(tuple(r.prompt_ids) for r in requests)
    length = min(common_length(ends[0], ends[-1]), min(map(len, ends)) - 1)
    return length if length >= SHARE_FROM else 0


# ---------------------------------------------------------------- one step


def _choose(flight: Flight, how: Draw, logits: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    uniform = flight.uniforms.gather(1, flight.step[:, None].clamp(max=flight.uniforms.shape[1] - 1)).squeeze(1)
    return choose(flight.logits, uniform, how, logits)


def changed(logits: torch.Tensor, requests: Sequence[Request | None], ids: Sequence[list[int]]) -> torch.Tensor:
    """(B, V) logits to choose from: the model's, or what a row's request makes of them. ids: by row, its tokens so far."""
    changes = [request.change if request else None for request in requests]
    if not any(changes):
        return logits
    rows = [change(said, row) if change else row for change, said, row in zip(changes, ids, logits, strict=True)]
    return torch.stack([row.to(torch.promote_types(row.dtype, torch.float32)) for row in rows])


def choose(
    logits: torch.Tensor, uniform: torch.Tensor, how: Draw, shown: torch.Tensor | None = None
) -> tuple[torch.Tensor, torch.Tensor]:
    """(B, V) logits, (B,) uniforms -> (B,) tokens and (B,) their log-probabilities, or at temperature 0 their logits.

    shown: (B, V) logits to choose from, where these are not the model's; the log-probabilities are the model's own. A value is
    not finite where nothing can be chosen.
    """
    among = logits if shown is None else shown
    if how.never:
        among = among.index_fill(1, _barred(how.never, logits.device), -torch.inf)
    if how.temperature == 0:
        values, tokens = among.max(-1)
        return tokens, values
    logp = torch.log_softmax(logits.double(), dim=-1)
    tokens = invert(logp if among is logits else torch.log_softmax(among.double(), dim=-1), uniform, how)
    return tokens, logp.gather(1, tokens[:, None]).squeeze(1)


@lru_cache(maxsize=4)
def _barred(ids: tuple[int, ...], device: torch.device) -> torch.Tensor:
    return torch.tensor(ids, device=device)


def undrawable(requests: Sequence[Request], ids: Any, numbers: Sequence[int]) -> BadNumbers:
    """The error for requests whose next token cannot be drawn; ids: by number of the request, its tokens so far."""
    found = [Suspect(n, requests[n].prompt_ids, [Spoken("so far", ids[n], math.nan)]) for n in numbers]
    return BadNumbers(f"the model's output is not finite after {len(ids[numbers[0]])} tokens of a response", found)


def uniforms_of(requests: Sequence[Request], how: Draw, device: torch.device) -> torch.Tensor:
    """(B, most) uniforms, each row from its request's own seed; one column where nothing is left to chance."""
    if not how.temperature:
        return torch.zeros((len(requests), 1), device=device)
    most = max(r.most for r in requests)
    return torch.from_numpy(np.stack([np.random.Generator(np.random.Philox(r.seed)).random(most) for r in requests])).to(device)


def invert(logp: torch.Tensor, uniform: torch.Tensor, how: Draw) -> torch.Tensor:
    """(B, V) log-probabilities and (B,) uniforms -> (B,) tokens by inverting the cumulative distribution.

    One uniform per row and step makes a row's draw independent of the batch around it, which a shared generator is not.
    """
    if how.temperature == 1.0:
        probabilities = logp.exp()
    else:  # from the likeliest down, so that no temperature, however small, leaves nothing but minus infinity
        probabilities = torch.softmax((logp - logp.max(-1, keepdim=True).values) / how.temperature, dim=-1)
    if 0 < how.top_k < probabilities.shape[-1]:
        probabilities[probabilities < probabilities.topk(how.top_k, dim=-1).values[:, -1:]] = 0.0
    if how.top_p < 1.0:
        ranked, order = probabilities.sort(dim=-1, descending=True)
        share = how.top_p * ranked.sum(-1, keepdim=True) if how.top_k else how.top_p
        ranked[:, 1:][(ranked.cumsum(-1) - ranked >= share)[:, 1:]] = 0.0  # the token that crosses the share is still in
        probabilities = torch.zeros_like(probabilities).scatter(-1, order, ranked)
    if how.min_p:
        probabilities[probabilities < how.min_p * probabilities.max(-1, keepdim=True).values] = 0.0
    cumulative = probabilities.cumsum(-1)
    whole = cumulative[:, -1:]
    target = torch.minimum(uniform[:, None] * whole, torch.nextafter(whole, torch.zeros_like(whole)))  # rounding may reach it
    return torch.searchsorted(cumulative, target, right=True).squeeze(-1).clamp(max=logp.shape[-1] - 1)


def _step(model: Any, flight: Flight, tokens: torch.Tensor) -> None:
    """Feed (B,) tokens; the logits of the next ones take their place."""
    flight.mask = torch.cat([flight.mask, flight.mask.new_ones((len(flight.mask), 1))], dim=1)
    out = model(
        input_ids=tokens[:, None],
        attention_mask=flight.mask,
        position_ids=flight.position[:, None],
        past_key_values=flight.cache,
        use_cache=True,
        logits_to_keep=1,
    )
    flight.logits = out.logits[:, -1]
    flight.position = flight.position + 1
    flight.step = flight.step + 1


# ---------------------------------------------------------------- rows come and go


def _prefilled(model: Any, requests: Sequence[Request], numbers: list[int], start: int, begun: Any, how: Draw) -> Flight:
    """New rows, padded on the left after what all share; a prompt asked for several times is computed once."""
    device = device_of(model)
    rests = [tuple(r.prompt_ids[start:]) for r in requests]
    unique = list(dict.fromkeys(rests))
    width = max(map(len, unique))
    ids = torch.zeros((len(unique), width), dtype=torch.long)
    mask = torch.zeros((len(unique), start + width), dtype=torch.long)
    mask[:, :start] = 1
    for n, rest in enumerate(unique):
        ids[n, width - len(rest) :] = torch.tensor(rest)
        mask[n, start + width - len(rest) :] = 1
    mask = mask.to(device)
    positions = (mask.cumsum(-1) - 1).clamp(min=0)
    cache = GrowingCache.continuing(begun, len(unique)) if begun is not None else GrowingCache()
    out = model(
        input_ids=ids.to(device),
        attention_mask=mask,
        position_ids=positions[:, start:],
        past_key_values=cache,
        use_cache=True,
        logits_to_keep=1,
    )
    flight = Flight(
        numbers,
        cache,
        mask,
        positions[:, -1] + 1,
        out.logits[:, -1],
        uniforms_of(requests, how, device),
        torch.zeros(len(requests), dtype=torch.long, device=device),
    )
    if len(unique) < len(rests):
        place = {rest: n for n, rest in enumerate(unique)}
        which = torch.tensor([place[rest] for rest in rests], device=device)
        cache.batch_select_indices(which)
        flight.mask, flight.position, flight.logits = mask[which], flight.position[which], flight.logits[which]
    return flight


def _kept(flight: Flight, rows: list[int]) -> Flight:
    """Only these rows, without the columns that no longer belong to any of them."""
    keep = torch.tensor(rows, device=flight.mask.device)
    mask = flight.mask[keep]
    first = int(mask.any(dim=0).long().argmax())
    flight.cache.keep(keep, first)
    parts = (flight.position, flight.logits, flight.uniforms, flight.step)
    return Flight([flight.numbers[r] for r in rows], flight.cache, mask[:, first:], *(t[keep] for t in parts))


def _joined(one: Flight, other: Flight) -> Flight:
    """Two batches as one: the one with fewer columns is padded on the left, where its rows are masked."""
    columns = max(one.mask.shape[1], other.mask.shape[1])
    masks = [torch.nn.functional.pad(f.mask, (columns - f.mask.shape[1], 0)) for f in (one, other)]
    one.cache.append(other.cache)
    longest = max(one.uniforms.shape[1], other.uniforms.shape[1])
    uniforms = [torch.nn.functional.pad(f.uniforms, (0, longest - f.uniforms.shape[1])) for f in (one, other)]
    return Flight(
        one.numbers + other.numbers,
        one.cache,
        torch.cat(masks),
        torch.cat([one.position, other.position]),
        torch.cat([one.logits, other.logits]),
        torch.cat(uniforms),
        torch.cat([one.step, other.step]),
    )
