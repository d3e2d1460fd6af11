"""Responses drawn through transformers' own `generate`, for families whose state is more than keys and values.

State-space models, linear attention and convolutions keep a state that has seen every token before it, padding too, and every
family has a cache of its own for it. So here prompts of one length go together, without padding, through the model's own cache,
or, where even that is not the model's function, through the whole sequence again for every token. Slower than
`harness.language.model.sampling`, and the same draws: a row's token comes from its own uniform and the logits alone.

Legend: B rows of a batch, V vocabulary.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any

import torch

from harness.language.model.logprobs import Sampler, bare_model, device_of
from harness.language.model.sampling import Draw, Request, Tokens, changed, choose, undrawable, uniforms_of


@torch.no_grad()
def generated(
    model: Any,
    requests: Sequence[Request],
    how: Draw,
    stop_ids: frozenset[int],
    batch_size: int,
    sampler: Sampler,
    advance: Callable[[int], None] = lambda n: None,
) -> list[Tokens]:
    """As `sampling.draw`: one response per request, in the order given.

    batch_size: rows at a time, all of one prompt length. sampler: of a `Choice`, not "own". Nothing of generation_config.json is
    applied but what a request's `change` does.
    """
    import transformers

    batch_size = 1 if sampler == "generate one by one" else batch_size
    cached = sampler != "generate without cache"
    bare = copy.copy(bare_model(model))  # the same modules, with generation settings of its own
    bare.generation_config = transformers.GenerationConfig()
    found: dict[int, Tokens] = {}
    for numbers in of_one_length(requests, batch_size):
        rows = _Rows(requests, numbers, how, stop_ids, device_of(model), advance)
        ids = torch.tensor([list(requests[i].prompt_ids) for i in numbers], device=device_of(model))
        settings = transformers.GenerationConfig(
            max_new_tokens=rows.longest, do_sample=False, use_cache=cached, pad_token_id=0, eos_token_id=None
        )
        bare(input_ids=ids[:, :1], use_cache=False)  # where modules hold the last batch's state, they forget it
        bare.generate(
            ids,
            attention_mask=torch.ones_like(ids),
            generation_config=settings,
            logits_processor=transformers.LogitsProcessorList([rows.choose]),
            stopping_criteria=transformers.StoppingCriteriaList([rows.finished]),
        )
        found.update(zip(numbers, rows.tokens(), strict=True))
    return [found[i] for i in range(len(requests))]


def of_one_length(requests: Sequence[Request], size: int) -> list[list[int]]:
    """Numbers of requests in parts of at most `size`, each with prompts of one length and responses of like length."""
    order = sorted(range(len(requests)), key=lambda i: (len(requests[i].prompt_ids), requests[i].most, i))
    parts: list[list[int]] = []
    for i in order:
        fits = parts and len(parts[-1]) < size and len(requests[parts[-1][0]].prompt_ids) == len(requests[i].prompt_ids)
        if fits:
            parts[-1].append(i)
        else:
            parts.append([i])
    return parts


class _Rows:
    """One batch: draws each row's next token from the logits that `generate` hands over, and says when all rows have ended."""

    def __init__(
        self,
        requests: Sequence[Request],
        numbers: Sequence[int],
        how: Draw,
        stop_ids: frozenset[int],
        device: torch.device,
        advance: Callable[[int], None],
    ) -> None:
        self.requests, self.numbers, self.how, self.stop_ids, self.advance = requests, numbers, how, stop_ids, advance
        self.longest = max(requests[i].most for i in numbers)
        self.uniforms = uniforms_of([requests[i] for i in numbers], how, device)
        self.ids: list[list[int]] = [[] for _ in numbers]
        self.logps = torch.zeros(len(numbers), dtype=torch.float64)
        self.going = [True] * len(numbers)
        self.step = 0

    def choose(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """(B, V) logits -> scores of which only the drawn token's is not minus infinity."""
        step = min(self.step, self.uniforms.shape[1] - 1)
        shown = changed(
            scores, [self.requests[i] if going else None for i, going in zip(self.numbers, self.going, strict=True)], self.ids
        )
        tokens, values = choose(scores, self.uniforms[:, step], self.how, shown)
        listed, kept = tokens.tolist(), values.double().cpu()
        bad = [row for row, going in enumerate(self.going) if going and not bool(kept[row].isfinite())]
        if bad:
            ids = dict(zip(self.numbers, self.ids, strict=True))
            raise undrawable(self.requests, ids, [self.numbers[row] for row in bad])
        done = 0
        for row, i in enumerate(self.numbers):
            if not self.going[row]:
                continue
            said, request = self.ids[row], self.requests[i]
            said.append(listed[row])
            self.logps[row] += kept[row]
            if listed[row] in self.stop_ids or len(said) >= request.most or request.stopped(said):
                self.going[row] = False
                done += 1
        self.advance(done)
        self.step += 1
        chosen = torch.full_like(scores, -torch.inf)
        return chosen.scatter_(1, tokens[:, None], 0.0)

    def finished(self, input_ids: torch.Tensor, scores: Any, **_: Any) -> torch.Tensor:
        """(B,) all True once every row has ended; a row that ended earlier goes on unseen, so that shapes stay as they are."""
        return torch.full((len(self.numbers),), not any(self.going), device=input_ids.device)

    def tokens(self) -> list[Tokens]:
        return [Tokens(ids, float(v) if self.how.temperature else None) for ids, v in zip(self.ids, self.logps, strict=True)]
