"""Responses drawn through transformers' own `generate`, for families whose state is more than keys and values.

State-space models, linear attention and convolutions keep a state that has seen every token before it, padding too, and every
family has a cache of its own for it. So here prompts of one length go together, without padding, through the model's own cache,
or, where even that is not the model's function, through the whole sequence again for every token. Slower than
`harness.language.model.sampling`, and the same draws: a row's token depends on its own uniform and the logits alone.

Legend: B rows of a batch, V vocabulary.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any

import torch

from harness.language.model.logprobs import Sampler, bare_model, device_of
from harness.language.model.sampling import (
    GeneratedTokens,
    Request,
    SamplingParams,
    choose_tokens,
    make_uniforms,
    nonfinite_output_error,
    process_logits,
)


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

    batch_size: rows at a time, all of one prompt length. sampler: of a `LayoutCheck`, not "own". Nothing of
    generation_config.json is applied but a request's `logits_processor`.
    """
    import transformers

    batch_size = 1 if sampler == "generate one by one" else batch_size
    use_cache = sampler != "generate without cache"
    plain_model = copy.copy(bare_model(model))  # the same modules, with generation settings of its own
    plain_model.generation_config = transformers.GenerationConfig()
    by_index: dict[int, GeneratedTokens] = {}
    for indices in batches_by_length(requests, batch_size):
        batch = _BatchSampler(requests, indices, params, stop_ids, device_of(model), advance)
        ids = torch.tensor([list(requests[i].prompt_ids) for i in indices], device=device_of(model))
        settings = transformers.GenerationConfig(
            max_new_tokens=batch.max_new_tokens, do_sample=False, use_cache=use_cache, pad_token_id=0, eos_token_id=None
        )
        plain_model(input_ids=ids[:, :1], use_cache=False)  # where modules hold the last batch's state, it is reset
        plain_model.generate(
            ids,
            attention_mask=torch.ones_like(ids),
            generation_config=settings,
            logits_processor=transformers.LogitsProcessorList([batch.choose_next]),
            stopping_criteria=transformers.StoppingCriteriaList([batch.all_finished]),
        )
        by_index.update(zip(indices, batch.results(), strict=True))
    return [by_index[i] for i in range(len(requests))]


def batches_by_length(requests: Sequence[Request], max_size: int) -> list[list[int]]:
    """Indices of requests in batches of at most `max_size`, each with prompts of one length and responses of similar length."""
    order = sorted(range(len(requests)), key=lambda i: (len(requests[i].prompt_ids), requests[i].max_new_tokens, i))
    batches: list[list[int]] = []
    for i in order:
        fits = batches and len(batches[-1]) < max_size and len(requests[batches[-1][0]].prompt_ids) == len(requests[i].prompt_ids)
        if fits:
            batches[-1].append(i)
        else:
            batches.append([i])
    return batches


class _BatchSampler:
    """One batch: draws each row's next token from the logits that `generate` passes, and stops it when all rows have ended."""

    def __init__(
        self,
        requests: Sequence[Request],
        indices: Sequence[int],
        params: SamplingParams,
        stop_ids: frozenset[int],
        device: torch.device,
        advance: Callable[[int], None],
    ) -> None:
        self.requests, self.indices, self.params, self.stop_ids, self.advance = requests, indices, params, stop_ids, advance
        self.max_new_tokens = max(requests[i].max_new_tokens for i in indices)
        self.uniforms = make_uniforms([requests[i] for i in indices], params, device)
        self.ids: list[list[int]] = [[] for _ in indices]
        self.logps = torch.zeros(len(indices), dtype=torch.float64)
        self.is_active = [True] * len(indices)
        self.step = 0

    def choose_next(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """(B, V) logits -> scores of which only the drawn token's is not minus infinity."""
        step = min(self.step, self.uniforms.shape[1] - 1)
        processed_logits = process_logits(
            scores,
            [self.requests[i] if active else None for i, active in zip(self.indices, self.is_active, strict=True)],
            self.ids,
        )
        tokens, values = choose_tokens(scores, self.uniforms[:, step], self.params, processed_logits)
        token_list, logps = tokens.tolist(), values.double().cpu()
        bad_rows = [row for row, active in enumerate(self.is_active) if active and not bool(logps[row].isfinite())]
        if bad_rows:
            ids = dict(zip(self.indices, self.ids, strict=True))
            raise nonfinite_output_error(self.requests, ids, [self.indices[row] for row in bad_rows])
        num_finished = 0
        for row, i in enumerate(self.indices):
            if not self.is_active[row]:
                continue
            token_ids, request = self.ids[row], self.requests[i]
            token_ids.append(token_list[row])
            self.logps[row] += logps[row]
            if token_list[row] in self.stop_ids or len(token_ids) >= request.max_new_tokens or request.stop_fn(token_ids):
                self.is_active[row] = False
                num_finished += 1
        self.advance(num_finished)
        self.step += 1
        chosen = torch.full_like(scores, -torch.inf)
        return chosen.scatter_(1, tokens[:, None], 0.0)

    def all_finished(self, input_ids: torch.Tensor, scores: Any, **_: Any) -> torch.Tensor:
        """(B,) all True once every row has ended; a row that ended earlier goes on, its tokens ignored, so that shapes stay."""
        return torch.full((len(self.indices),), not any(self.is_active), device=input_ids.device)

    def results(self) -> list[GeneratedTokens]:
        return [
            GeneratedTokens(ids, float(v) if self.params.temperature else None)
            for ids, v in zip(self.ids, self.logps, strict=True)
        ]
