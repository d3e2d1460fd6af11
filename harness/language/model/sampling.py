"""Responses drawn from a model: prompts computed once, rows added and removed as they finish (continuous batching).

Inverse-CDF sampling (inverse transform sampling: Devroye 1986, Non-Uniform Random Variate Generation, section II.2): a token is
the inverse of the cumulative distribution at one uniform per row and step, and a row's uniforms come from its own seed. A row's
tokens do not depend on the rows beside it, so rows may be added and removed. The log-probability of every drawn token is kept, at
temperature 1 and without truncation, whatever the draw itself used.

Legend: B rows of a batch, T columns so far, V vocabulary.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
from numpy.random import Generator, Philox

from harness.language.model.cache import GrowingCache
from harness.language.model.logprobs import bare_model, device_of, prefill_prefix
from harness.language.model.prefix_sharing import common_prefix_length
from harness.train.nonfinite import BadExample, NonFiniteError, ResponseValues

MIN_SHARED_PREFIX = 16  # tokens all prompts must begin with before they are computed apart
REFILL_BELOW = 0.75  # share of the batch still active below which finished rows are replaced, or the rest compacted


@dataclass(frozen=True)
class SamplingParams:
    """How a token is chosen. Temperature 0 takes the likeliest. The others in the order in which transformers applies them.

    top_k: the so many likeliest (0: all). top_p: the likeliest that reach this share of what is left. min_p: those with at least
    this share of the likeliest one's probability. banned_ids: ids that are not drawn, such as those of a padded vocabulary that
    the tokenizer has no token for. The others' share is scaled up; the log-probability that is kept stays the plain policy's,
    over all ids, which is what scoring computes.
    """

    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    min_p: float = 0.0
    banned_ids: tuple[int, ...] = ()


@dataclass(frozen=True)
class Request:
    """One response to draw: its prompt, the seed of its uniforms, how many tokens it may have, and what else may end it."""

    prompt_ids: Sequence[int]
    seed: int
    max_new_tokens: int
    stop_fn: Callable[[list[int]], bool] = lambda ids: False  # of the tokens so far
    # tokens so far, (V,) logits -> (V,) to choose from
    logits_processor: Callable[[Sequence[int], torch.Tensor], torch.Tensor] | None = None


@dataclass(frozen=True)
class GeneratedTokens:
    """What was drawn, a stop token included, with its log-probability in nats; None at temperature 0, where none is computed."""

    ids: list[int]
    logp: float | None


@dataclass
class DecodeBatch:
    """Rows being drawn. A column is one step back in time for all of them; columns before a row's prompt are masked."""

    request_indices: list[int]  # B; -1 for a row that has finished and keeps its place until the rest is compacted
    cache: Any
    mask: torch.Tensor  # (B, T)
    position: torch.Tensor  # (B,) of the next token
    logits: torch.Tensor  # (B, V) that the next token is drawn from


@torch.no_grad()
def generate_tokens(
    model: Any,
    requests: Sequence[Request],
    params: SamplingParams,
    stop_ids: frozenset[int],
    batch_size: int,
    share_prefix: bool = True,
    advance: Callable[[int], None] = lambda n: None,
) -> list[GeneratedTokens]:
    """One response per request, in the order given; each ends at a stop token, at `max_new_tokens`, or by its `stop_fn`.

    batch_size: rows at a time. share_prefix: whether a prefix of all prompts is computed once (not for attention that counts
    columns, such as a sliding window). Raises NonFiniteError with the requests concerned where the model's output is not
    finite: no token can be drawn from that.
    """
    model = bare_model(model)  # peft's wrapper adds nothing but time to every step
    waiting = sorted(range(len(requests)), key=lambda i: (len(requests[i].prompt_ids), tuple(requests[i].prompt_ids), i))[::-1]
    prefix_length = shared_prefix_length(requests) if share_prefix else 0
    prefix_cache = prefill_prefix(model, requests[0].prompt_ids[:prefix_length]) if prefix_length else None
    responses = DrawnResponses(requests, params, stop_ids, advance)
    batch: DecodeBatch | None = None
    while waiting or batch is not None:
        free_rows = batch_size - (len(batch.request_indices) if batch else 0)
        if waiting and free_rows > (1 - REFILL_BELOW) * batch_size * bool(batch):
            new_indices = [waiting.pop() for _ in range(min(free_rows, len(waiting)))]
            prompts = [tuple(requests[i].prompt_ids[prefix_length:]) for i in new_indices]
            new_batch = _prefill(model, prompts, new_indices, prefix_length, prefix_cache)
            batch = _merge(batch, new_batch) if batch else new_batch
        assert batch is not None
        tokens = responses.draw(batch.logits, batch.request_indices)
        active_rows = [row for row, i in enumerate(batch.request_indices) if i >= 0]
        if not active_rows:
            batch = None
            continue
        if len(active_rows) <= REFILL_BELOW * len(batch.request_indices):
            tokens = tokens[torch.tensor(active_rows, device=tokens.device)]
            batch = _compact(batch, active_rows)
        _step(model, batch, tokens)
    return responses.results()


def shared_prefix_length(requests: Sequence[Request]) -> int:
    """How many tokens all prompts begin with, if enough to share; every prompt keeps at least one of its own."""
    if len(requests) < 2:
        return 0
    ordered_prompts = sorted(tuple(r.prompt_ids) for r in requests)
    length = min(common_prefix_length(ordered_prompts[0], ordered_prompts[-1]), min(map(len, ordered_prompts)) - 1)
    return length if length >= MIN_SHARED_PREFIX else 0


# ---------------------------------------------------------------- one token for every row


class DrawnResponses:
    """The responses to `requests` as they are drawn, token by token, whatever computes the logits."""

    def __init__(
        self, requests: Sequence[Request], params: SamplingParams, stop_ids: frozenset[int], advance: Callable[[int], None]
    ) -> None:
        self.requests, self.params, self.stop_ids, self.advance = requests, params, stop_ids, advance
        self.ids: list[list[int]] = [[] for _ in requests]
        self.logps = [0.0] * len(requests)
        self.uniforms: list[list[float]] | None = None  # each request's from its own seed; at temperature 0 none is used
        if params.temperature:
            self.uniforms = [Generator(Philox(r.seed)).random(max(1, r.max_new_tokens)).tolist() for r in requests]

    def draw(self, logits: torch.Tensor, rows: list[int]) -> torch.Tensor:
        """(B, V) logits -> (B,) tokens, added to their responses.

        rows: by row, the index of its request, set to -1 once the response has ended; the row's tokens are then ignored.
        Raises NonFiniteError with the requests whose token cannot be drawn.
        """
        uniform = None
        if self.uniforms is not None:
            values = [self.uniforms[i][len(self.ids[i])] if i >= 0 else 0.0 for i in rows]
            uniform = torch.tensor(values, dtype=torch.float64, device=logits.device)
        tokens, logps = choose_tokens(logits, uniform, self.params, self._process(logits, rows))
        drawn = list(zip(rows, tokens.tolist(), logps.tolist(), strict=True))
        if bad := [i for i, _, value in drawn if i >= 0 and not math.isfinite(value)]:
            raise NonFiniteError(
                f"the model's output is not finite after {len(self.ids[bad[0]])} tokens of a response",
                [BadExample(i, self.requests[i].prompt_ids, [ResponseValues("so far", self.ids[i], math.nan)]) for i in bad],
            )
        num_finished = 0
        for row, (i, token, value) in enumerate(drawn):
            if i < 0:
                continue
            self.ids[i].append(token)
            self.logps[i] += value
            request, ids = self.requests[i], self.ids[i]
            if token in self.stop_ids or len(ids) >= request.max_new_tokens or request.stop_fn(ids):
                rows[row] = -1
                num_finished += 1
        self.advance(num_finished)
        return tokens

    def _process(self, logits: torch.Tensor, rows: Sequence[int]) -> torch.Tensor:
        """(B, V) logits to choose from: the model's, changed by a row's own logits processor."""
        processors = [self.requests[i].logits_processor if i >= 0 else None for i in rows]
        if not any(processors):
            return logits
        by_row = zip(processors, rows, logits, strict=True)
        processed = [processor(self.ids[i], row) if processor else row for processor, i, row in by_row]
        return torch.stack([row.to(torch.promote_types(row.dtype, torch.float32)) for row in processed])

    def results(self) -> list[GeneratedTokens]:
        drawn = zip(self.ids, self.logps, strict=True)
        return [GeneratedTokens(ids, logp if self.params.temperature else None) for ids, logp in drawn]


def choose_tokens(
    logits: torch.Tensor,
    uniform: torch.Tensor | None,
    params: SamplingParams,
    processed_logits: torch.Tensor | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """(B, V) logits, (B,) uniforms -> (B,) tokens and (B,) their log-probabilities, or at temperature 0 their logits.

    uniform: None at temperature 0, which uses none.
    processed_logits: (B, V) logits to choose from, where these are not the model's; the log-probabilities are the model's own. A
    value is not finite where nothing can be chosen.
    """
    choice_logits = logits if processed_logits is None else processed_logits
    if params.banned_ids:
        choice_logits = choice_logits.index_fill(1, _id_tensor(params.banned_ids, logits.device), -torch.inf)
    if params.temperature == 0:
        values, tokens = choice_logits.max(-1)
        return tokens, values
    assert uniform is not None
    logp = torch.log_softmax(logits.double(), dim=-1)
    choice_logp = logp if choice_logits is logits else torch.log_softmax(choice_logits.double(), dim=-1)
    tokens = inverse_cdf_sample(choice_logp, uniform, params)
    return tokens, logp.gather(1, tokens[:, None]).squeeze(1)


@lru_cache(maxsize=4)
def _id_tensor(ids: tuple[int, ...], device: torch.device) -> torch.Tensor:
    return torch.tensor(ids, device=device)


def inverse_cdf_sample(logp: torch.Tensor, uniform: torch.Tensor, params: SamplingParams) -> torch.Tensor:
    """(B, V) log-probabilities and (B,) uniforms -> (B,) tokens by inverting the cumulative distribution.

    One uniform per row and step makes a row's draw independent of the batch around it; a shared generator would not.
    """
    if params.temperature == 1.0:
        probabilities = logp.exp()
    else:  # from the likeliest down, so that no temperature, however small, leaves nothing but minus infinity
        probabilities = torch.softmax((logp - logp.max(-1, keepdim=True).values) / params.temperature, dim=-1)
    if 0 < params.top_k < probabilities.shape[-1]:
        probabilities[probabilities < probabilities.topk(params.top_k, dim=-1).values[:, -1:]] = 0.0
    if params.top_p < 1.0:
        ranked, order = probabilities.sort(dim=-1, descending=True)
        share = params.top_p * ranked.sum(-1, keepdim=True) if params.top_k else params.top_p
        ranked[:, 1:][(ranked.cumsum(-1) - ranked >= share)[:, 1:]] = 0.0  # the token that crosses the share is still in
        probabilities = torch.zeros_like(probabilities).scatter(-1, order, ranked)
    if params.min_p:
        probabilities[probabilities < params.min_p * probabilities.max(-1, keepdim=True).values] = 0.0
    cumulative = probabilities.cumsum(-1)
    total = cumulative[:, -1:]
    target = torch.minimum(uniform[:, None] * total, torch.nextafter(total, torch.zeros_like(total)))  # rounding may reach it
    return torch.searchsorted(cumulative, target, right=True).squeeze(-1).clamp(max=logp.shape[-1] - 1)


def _step(model: Any, batch: DecodeBatch, tokens: torch.Tensor) -> None:
    """Feed (B,) tokens; `batch.logits` are then those of the next ones."""
    batch.mask = torch.cat([batch.mask, batch.mask.new_ones((len(batch.mask), 1))], dim=1)
    batch.logits = _next_logits(model, tokens[:, None], batch.mask, batch.position[:, None], batch.cache)
    batch.position = batch.position + 1


def _next_logits(model: Any, ids: torch.Tensor, mask: torch.Tensor, positions: torch.Tensor, cache: Any) -> torch.Tensor:
    """(B, V) logits after the ids, which are added to the cache."""
    inputs = {"input_ids": ids, "attention_mask": mask, "position_ids": positions, "past_key_values": cache}
    return model(**inputs, use_cache=True, logits_to_keep=1).logits[:, -1]


# ---------------------------------------------------------------- rows added and removed


def _prefill(
    model: Any, suffixes: Sequence[tuple[int, ...]], request_indices: list[int], prefix_length: int, prefix_cache: Any
) -> DecodeBatch:
    """New rows, padded on the left after the shared prefix; equal prompts are computed once. suffixes: what follows it."""
    device = device_of(model)
    unique_suffixes = list(dict.fromkeys(suffixes))
    width = max(map(len, unique_suffixes))
    ids = torch.zeros((len(unique_suffixes), width), dtype=torch.long)
    mask = torch.zeros((len(unique_suffixes), prefix_length + width), dtype=torch.long)
    mask[:, :prefix_length] = 1
    for n, suffix in enumerate(unique_suffixes):
        ids[n, width - len(suffix) :] = torch.tensor(suffix)
        mask[n, prefix_length + width - len(suffix) :] = 1
    mask = mask.to(device)
    positions = (mask.cumsum(-1) - 1).clamp(min=0)
    cache = GrowingCache.from_prefix(prefix_cache, len(unique_suffixes)) if prefix_cache is not None else GrowingCache()
    logits = _next_logits(model, ids.to(device), mask, positions[:, prefix_length:], cache)
    batch = DecodeBatch(request_indices, cache, mask, positions[:, -1] + 1, logits)
    if len(unique_suffixes) < len(suffixes):
        row_of = {suffix: n for n, suffix in enumerate(unique_suffixes)}
        source_rows = torch.tensor([row_of[suffix] for suffix in suffixes], device=device)
        cache.batch_select_indices(source_rows)
        batch.mask, batch.position, batch.logits = mask[source_rows], batch.position[source_rows], batch.logits[source_rows]
    return batch


def _compact(batch: DecodeBatch, rows: list[int]) -> DecodeBatch:
    """Only these rows, without the columns that no longer belong to any of them."""
    row_tensor = torch.tensor(rows, device=batch.mask.device)
    mask = batch.mask[row_tensor]
    first_column = int(mask.any(dim=0).long().argmax())
    batch.cache.select(row_tensor, first_column)
    indices = [batch.request_indices[r] for r in rows]
    return DecodeBatch(indices, batch.cache, mask[:, first_column:], batch.position[row_tensor], batch.logits[row_tensor])


def _merge(first: DecodeBatch, second: DecodeBatch) -> DecodeBatch:
    """Two batches as one: the one with fewer columns is padded on the left, where its rows are masked."""
    columns = max(first.mask.shape[1], second.mask.shape[1])
    masks = [torch.nn.functional.pad(f.mask, (columns - f.mask.shape[1], 0)) for f in (first, second)]
    first.cache.concat(second.cache)
    indices = first.request_indices + second.request_indices
    position, logits = torch.cat([first.position, second.position]), torch.cat([first.logits, second.logits])
    return DecodeBatch(indices, first.cache, torch.cat(masks), position, logits)
