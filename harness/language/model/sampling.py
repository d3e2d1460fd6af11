"""Responses drawn from a model: prompts computed once, rows added and removed as they finish (continuous batching).

A token is the inverse of the cumulative distribution at one uniform per row and step (`choosing`), and a row's uniforms come from
its own seed. A row's tokens do not depend on the rows beside it, so rows may be added and removed. The log-probability of every
drawn token is kept, at temperature 1 and without truncation, whatever the draw itself used.

Legend: B rows of a batch, T columns so far, V vocabulary.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from numpy.random import Generator, Philox

from harness.language.model.choosing import SamplingParams, choose_tokens
from harness.language.model.decode_cache import DecodeCache
from harness.language.model.logprobs import PACKED_LAYOUTS, LayoutCheck, bare_model, text_config
from harness.language.model.prefill import Prefiller, next_logits_of
from harness.train.nonfinite import BadExample, NonFiniteError, ResponseValues

REFILL_BELOW = 0.75  # share of the batch size still active below which finished rows are replaced
COMPACT_BELOW = 15 / 16  # share of the rows still active below which the others are dropped


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


@torch.no_grad()
def generate_tokens(
    model: Any,
    requests: Sequence[Request],
    params: SamplingParams,
    stop_ids: frozenset[int],
    batch_size: int,
    layout_check: LayoutCheck,
    advance: Callable[[int], None] = lambda n: None,
) -> list[GeneratedTokens]:
    """One response per request, in the order given; each ends at a stop token, at `max_new_tokens`, or by its `stop_fn`.

    batch_size: rows at a time. layout_check: how this model may be computed. Raises NonFiniteError with the requests concerned
    where the model's output is not finite: no token can be drawn from that.
    """
    model = bare_model(model)  # peft's wrapper adds nothing but time to every step
    prompts = [request.prompt_ids for request in requests]
    next_logits = next_logits_of(model, layout_check.layout)
    cache = DecodeCache(layout_check.sampler == "own" and can_use_segments(model))
    prefiller = Prefiller(model, prompts, next_logits, can_share_prefix(model, layout_check), needs_mask=not cache.segmented)
    responses = DrawnResponses(requests, params, stop_ids, advance)
    # the longest first: where memory runs out, little has been done
    waiting = sorted(range(len(requests)), key=lambda i: (len(prompts[i]), tuple(prompts[i]), i))
    rows: list[int] = []  # each row's request; -1 for one that has finished and is still computed
    logits = position = torch.empty(0)
    while waiting or rows:
        new_rows = []
        free_rows = batch_size - len(rows)
        if waiting and free_rows > (1 - REFILL_BELOW) * batch_size * bool(rows):
            new_indices, new_rows, new_logits = prefiller.compute([waiting.pop() for _ in range(min(free_rows, len(waiting)))])
            logits = torch.cat([logits, new_logits]) if rows else new_logits
            rows += new_indices
        tokens = responses.draw(logits, rows)
        is_active = [i >= 0 for i in rows]
        if new_rows or sum(is_active) <= COMPACT_BELOW * len(rows):
            left = max((responses.tokens_left(i) for i in rows if i >= 0), default=0)
            order = cache.arrange(new_rows, is_active, left)
            rows = [rows[r] for r in order]
            tokens = tokens[torch.tensor(order, dtype=torch.long, device=tokens.device)]
            position = torch.tensor(cache.lengths(), dtype=torch.long, device=tokens.device)
        if rows:
            logits = next_logits(tokens[:, None], position[:, None], cache.begin_step(), cache)
            cache.end_step()
            position = position + 1
    return responses.results()


def can_use_segments(model: Any) -> bool:
    """Whether attention reads keys and values through `scaled_dot_product_attention` alone, and all of them."""
    config = text_config(model)
    kinds = set(getattr(config, "layer_types", None) or ()) - {"full_attention"}
    interface = getattr(model, "_supports_attention_backend", False) and config._attn_implementation == "sdpa"
    return bool(interface) and not kinds and not getattr(config, "sliding_window", None)


def can_share_prefix(model: Any, layout_check: LayoutCheck) -> bool:
    """Whether a prefix of many prompts may be cached apart: not with sliding-window attention, which counts columns back."""
    return layout_check.layout in PACKED_LAYOUTS and not getattr(text_config(model), "sliding_window", None)


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
        on_host = torch.stack([tokens.double(), logps.double()]).tolist()  # at once: a GPU is waited for
        drawn = list(zip(rows, map(int, on_host[0]), on_host[1], strict=True))
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

    def _process(self, logits: torch.Tensor, rows: Sequence[int]) -> torch.Tensor | None:
        """(B, V) logits to choose from: the model's, changed by a row's own logits processor; None where no row has one."""
        processors = [self.requests[i].logits_processor if i >= 0 else None for i in rows]
        if not any(processors):
            return None
        by_row = zip(processors, rows, logits, strict=True)
        processed = [processor(self.ids[i], row) if processor else row for processor, i, row in by_row]
        return torch.stack([row.to(torch.promote_types(row.dtype, torch.float32)) for row in processed])

    def tokens_left(self, index: int) -> int:
        return self.requests[index].max_new_tokens - len(self.ids[index])

    def results(self) -> list[GeneratedTokens]:
        drawn = zip(self.ids, self.logps, strict=True)
        return [GeneratedTokens(ids, logp if self.params.temperature else None) for ids, logp in drawn]
