"""Responses drawn through transformers' own `generate`, for families whose state is more than keys and values.

State-space models, linear attention and convolutions keep a state that has seen every token before it, padding too, and every
family has a cache of its own for it. So here prompts of one length go together, without padding, through the model's own cache,
or, where even that is not the model's function, through the whole sequence again for every token. Slower than
`harness.language.model.sampling`, and the same draws: a row's token depends on its own uniform and the logits alone.

Legend: B rows of a batch, V vocabulary.
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch

from harness.language.model.choosing import SamplingParams
from harness.language.model.logprobs import Sampler, bare_model, device_of
from harness.language.model.sampling import DrawnResponses, GeneratedTokens, Request


@torch.no_grad()
def generate_with_transformers(
    model: Any,
    requests: Sequence[Request],
    params: SamplingParams,
    stop_ids: frozenset[int],
    batch_size: int,
    sampler: Sampler,
    advance: Callable[[int], None] = lambda n: None,
) -> list[GeneratedTokens]:
    """As `sampling.generate_tokens`: one response per request, in the order given.

    batch_size: rows at a time, all of one prompt length. sampler: of a `LayoutCheck`, none of our own. Nothing of
    generation_config.json is applied but a request's `logits_processor`.
    """
    import transformers

    batch_size = 1 if sampler == "generate one by one" else batch_size
    use_cache = sampler != "generate without cache"
    plain_model = copy.copy(bare_model(model))  # the same modules, with generation settings of its own
    plain_model.generation_config = transformers.GenerationConfig()
    responses = DrawnResponses(requests, params, stop_ids, advance)
    for indices in batches_by_length(requests, batch_size):
        batch_requests = [requests[i] for i in indices]
        ids = torch.tensor([list(request.prompt_ids) for request in batch_requests], device=device_of(model))
        max_new_tokens = max(request.max_new_tokens for request in batch_requests)
        settings = transformers.GenerationConfig(
            max_new_tokens=max_new_tokens, do_sample=False, use_cache=use_cache, pad_token_id=0, eos_token_id=None
        )
        plain_model(input_ids=ids[:, :1], use_cache=False)  # where modules hold the last batch's state, it is reset
        processors = transformers.LogitsProcessorList([partial(_choose_next, responses, indices)])
        criteria = transformers.StoppingCriteriaList([partial(_all_finished, indices)])
        options = {"generation_config": settings, "logits_processor": processors, "stopping_criteria": criteria}
        plain_model.generate(ids, attention_mask=torch.ones_like(ids), **options)
    return responses.results()


def batches_by_length(requests: Sequence[Request], max_size: int) -> list[list[int]]:
    """Indices of requests in batches of at most `max_size`, each with prompts of one length and responses of similar length."""
    order = sorted(range(len(requests)), key=lambda i: (len(requests[i].prompt_ids), requests[i].max_new_tokens, i))
    groups = [list(group) for _, group in itertools.groupby(order, key=lambda i: len(requests[i].prompt_ids))]
    return [group[i : i + max_size] for group in groups for i in range(0, len(group), max_size)]


def _choose_next(responses: DrawnResponses, rows: list[int], input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
    """(B, V) logits -> scores of which only the drawn token's is not minus infinity."""
    tokens = responses.draw(scores, rows)
    return torch.full_like(scores, -torch.inf).scatter_(1, tokens[:, None], 0.0)


def _all_finished(rows: list[int], input_ids: torch.Tensor, scores: Any, **_: Any) -> torch.Tensor:
    """(B,) all True once every row has ended; a row that ended earlier goes on, its tokens ignored, so that shapes stay."""
    return torch.full((len(rows),), all(i < 0 for i in rows), device=input_ids.device)
