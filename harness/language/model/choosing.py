"""One token per row from its logits: inverse-CDF sampling, in two levels where nothing is truncated.

Inverse-CDF sampling (inverse transform sampling: Devroye 1986, Non-Uniform Random Variate Generation, section II.2): a token is
the inverse of the cumulative distribution at one uniform. The plain distribution is inverted in two levels, as in the guide-table
and block searches of the same book (section III.2): over sums of blocks of the vocabulary, then inside the one block that the
uniform falls into. So only the exponentials, in the logits' own precision, are as many as the vocabulary; sums over blocks and
the search are float64. Truncated distributions and other temperatures are computed in float64 throughout.

Legend: B rows, V vocabulary, N blocks, W tokens of a block.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import torch

BLOCK_SIZE = 256  # tokens whose exponentials are added in the logits' own precision: off by a few 1e-7 of their sum, unbiased


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

    @property
    def is_plain(self) -> bool:
        """Whether tokens have the policy's own probabilities, or these without the banned ids."""
        return self.temperature == 1.0 and self.top_p >= 1.0 and not self.top_k and not self.min_p


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
    if uniform is not None and params.is_plain and processed_logits is None:
        return _choose_by_blocks(logits, uniform, params.banned_ids)
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


def _choose_by_blocks(
    logits: torch.Tensor, uniform: torch.Tensor, banned_ids: tuple[int, ...]
) -> tuple[torch.Tensor, torch.Tensor]:
    """(B, V) logits, (B,) uniforms -> (B,) tokens of the plain distribution and (B,) float64 log-probabilities."""
    logits = logits if logits.dtype == torch.float64 else logits.float()
    if banned_ids:
        exponentials = logits.index_fill(1, _id_tensor(banned_ids, logits.device), -torch.inf)
        largest = exponentials.amax(-1, keepdim=True)
        exponentials.sub_(largest).exp_()
    else:
        largest = logits.amax(-1, keepdim=True)
        exponentials = (logits - largest).exp_()
    vocab_size = logits.shape[1]
    aligned = vocab_size // BLOCK_SIZE * BLOCK_SIZE
    sums = [exponentials[:, :aligned].unflatten(1, (-1, BLOCK_SIZE)).sum(-1)] if aligned else []
    sums += [exponentials[:, aligned:].sum(-1, keepdim=True)] if aligned < vocab_size else []
    cumulative = torch.cat(sums, dim=1).double().cumsum(1)  # (B, N)
    block = _search(cumulative, uniform[:, None] * cumulative[:, -1:])
    before = torch.where(block > 0, cumulative.gather(1, (block - 1).clamp(min=0)), 0.0)

    columns = block * BLOCK_SIZE + torch.arange(BLOCK_SIZE, device=logits.device)  # (B, W)
    inside = exponentials.gather(1, columns.clamp(max=vocab_size - 1)).double().masked_fill_(columns >= vocab_size, 0.0)
    place = _search(inside.cumsum(1), uniform[:, None] * cumulative[:, -1:] - before)
    tokens = (block * BLOCK_SIZE + place).clamp(max=vocab_size - 1)

    log_total = cumulative[:, -1:].log()
    if banned_ids:
        banned_logits = logits.index_select(1, _id_tensor(banned_ids, logits.device)).double() - largest
        log_total = torch.logaddexp(log_total, banned_logits.logsumexp(-1, keepdim=True))
    return tokens.squeeze(1), (logits.gather(1, tokens).double() - largest - log_total).squeeze(1)


def _search(cumulative: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """(B, N) cumulative sums, (B, 1) -> (B, 1) the first place whose sum is above the target; rounding may reach the last sum."""
    total = cumulative[:, -1:]
    target = torch.minimum(target, torch.nextafter(total, torch.zeros_like(total)))
    return torch.searchsorted(cumulative, target, right=True).clamp_(max=cumulative.shape[1] - 1)


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
    return _search(cumulative, uniform[:, None] * cumulative[:, -1:]).squeeze(-1)
