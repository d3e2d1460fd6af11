"""Log-probabilities of tokens from hidden states, with gradients, and without logits that outlive a chunk.

Fused linear cross-entropy (as in Liger Kernel, arXiv:2410.10989, and Cut Cross-Entropy, arXiv:2411.09009): the output layer gets
a chunk of rows at a time, each token's own gradient is found with its value, and (M, H) numbers are kept for the backward pass.

A chunk's logits become exponentials, and these the gradient, in one buffer. A product reads all weights and so takes as many rows
as the buffer holds; what is done entry by entry takes so few that they stay in a core's cache from one operation to the next.

Precision: a chunk is float32 (float64 in a float64 model), what is one number per token is float64. With u = 2^-24, the sum of a
token's exponentials has a relative error, and its log-probability an error in nats, of at most
- u log V for subtracting the largest logit: u d for a difference d, and the mean of d over the distribution is below its entropy;
- 4 u for exponentials that are right to two units in the last place, as torch's are;
- 15 u for adding 16 of them in float32, in whatever order; what follows is float64.
Together 31.5 u = 1.9e-6 for 262,144 words. Rounding to nearest has no direction, so over a vocabulary errors average out to some
1e-8, but for one case: what is small beside a large term vanishes from their sum. So the 16 with the largest sum are added in
float64. torch's cross-entropy adds all in float32 and is off by 1e-5 and more over 49,152 words, nearly always upwards.

Legend: M tokens, C of them in a chunk, H hidden size, V vocabulary. Log-probabilities are in nats.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

CHUNK_SIZE = 1 << 24  # entries of the chunk of logits that exists at a time: 64 MiB in float32
MIN_CHUNK_ROWS = 256  # of a chunk, whatever its size: with half as many, reading the weights costs a product a fifth of its time
CACHED_SIZE = 1 << 18  # entries that stay in a core's cache between two operations: 1 MiB in float32
FLOAT32_SUM_LENGTH = 16  # exponentials that are added in float32 before the sum goes on in float64

Project = Callable[[torch.Tensor], torch.Tensor]  # (C, H) hidden states -> (C, V) logits


@dataclass(frozen=True)
class OutputLayer:
    """logits = scale (x W' + b), of which the gradient is known: a `Project` that autograd is not needed for."""

    weight: torch.Tensor  # (V, H)
    bias: torch.Tensor | None = None  # (V,)
    scale: float = 1.0

    def __call__(self, hidden: torch.Tensor) -> torch.Tensor:
        logits = torch.nn.functional.linear(hidden, self.weight, self.bias)
        return logits if self.scale == 1.0 else logits * self.scale

    def backward(self, grads: torch.Tensor) -> torch.Tensor:
        """(C, V) gradients with respect to logits -> (C, H) with respect to hidden states."""
        grads = grads @ self.weight
        return grads if self.scale == 1.0 else grads.mul_(self.scale)

    def write_logits(self, hidden: torch.Tensor, out: torch.Tensor) -> None:
        """(C, H) hidden states -> (C, V) logits in `out`."""
        if out.dtype != self.weight.dtype:
            out.copy_(self(hidden))
            return
        torch.mm(hidden, self.weight.t(), out=out)
        if self.bias is not None:
            out.add_(self.bias)
        if self.scale != 1.0:
            out.mul_(self.scale)


def chunk_rows(vocab_size: int) -> int:
    """Tokens whose logits exist at a time."""
    return max(MIN_CHUNK_ROWS, CHUNK_SIZE // vocab_size)


def token_logps(
    hidden: torch.Tensor, target: torch.Tensor, project: Project, chunk: int, with_greedy: bool = False
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """(M, H) hidden states, (M,) tokens -> (M,) float64 log-probabilities, with `with_greedy` (M,) whether each is the likeliest.

    chunk: tokens at a time. Where gradients are on they reach `hidden`, never the parameters of `project`, and there are no
    greedy flags. Of several likeliest tokens the first is greedy decoding's.
    """
    if torch.is_grad_enabled() and hidden.requires_grad:
        return FusedLinearCrossEntropy.apply(hidden, target, project, chunk), None  # type: ignore[return-value]
    logps, _, is_likeliest = _chunked_logps(hidden, target, project, chunk, with_grads=False, with_greedy=with_greedy)
    return logps, is_likeliest


class FusedLinearCrossEntropy(torch.autograd.Function):
    """(M, H) hidden states -> (M,) log-probabilities, minus the cross-entropy of each token.

    Forward computes each token's own gradient with its value, so that no logits wait for the backward pass.
    """

    @staticmethod
    def forward(ctx: Any, hidden: torch.Tensor, target: torch.Tensor, project: Project, chunk: int) -> torch.Tensor:
        logps, grads, _ = _chunked_logps(hidden, target, project, chunk, with_grads=True, with_greedy=False)
        ctx.save_for_backward(grads)
        return logps

    @staticmethod
    def backward(ctx: Any, *grad_outputs: torch.Tensor) -> tuple[torch.Tensor, None, None, None]:
        (grads,) = ctx.saved_tensors
        return grads * grad_outputs[0][:, None].to(grads.dtype), None, None, None


@torch.no_grad()
def _chunked_logps(
    hidden: torch.Tensor, target: torch.Tensor, project: Project, chunk: int, with_grads: bool, with_greedy: bool
) -> tuple[torch.Tensor, torch.Tensor | None, torch.Tensor | None]:
    """(M,) log-probabilities, (M, H) gradient of each with respect to its own hidden state or None, (M,) greedy flags or None."""
    dtype = torch.float64 if hidden.dtype == torch.float64 else torch.float32
    logps = hidden.new_empty(len(hidden), dtype=torch.float64)
    grads = torch.empty_like(hidden) if with_grads else None
    is_likeliest = torch.empty_like(target, dtype=torch.bool) if with_greedy else None
    layer = project if isinstance(project, OutputLayer) and project.weight.dtype == hidden.dtype else None
    buffer = hidden.new_empty((min(chunk, len(hidden)), len(layer.weight)), dtype=dtype) if layer else None
    for start in range(0, len(hidden), chunk):
        rows = slice(start, start + chunk)
        if layer is not None and buffer is not None:
            logits, backward = buffer[: len(hidden[rows])], layer.backward
            layer.write_logits(hidden[rows], logits)
        else:
            logits, backward = _project_with_autograd(project, hidden[rows], dtype, with_grads)
        logps[rows], total, likeliest = _exponentiate(logits, target[rows], with_greedy)
        if is_likeliest is not None and likeliest is not None:
            is_likeliest[rows] = likeliest == target[rows]
        if grads is not None:
            grads[rows] = _input_grads(logits, target[rows], total, backward, hidden.dtype)
    return logps, grads, is_likeliest


def _project_with_autograd(
    project: Project, hidden: torch.Tensor, dtype: torch.dtype, with_grads: bool
) -> tuple[torch.Tensor, Callable[[torch.Tensor], torch.Tensor]]:
    """(C, V) logits in memory of their own, and what makes (C, H) gradients of `hidden` of their (C, V) gradients."""
    with torch.set_grad_enabled(with_grads):
        hidden = hidden.detach().requires_grad_(with_grads)
        logits = project(hidden)
    return logits.detach().to(dtype, copy=True), lambda grads: torch.autograd.grad(logits, hidden, grads.to(logits.dtype))[0]


def _exponentiate(
    logits: torch.Tensor, target: torch.Tensor, with_greedy: bool
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor | None]:
    """(C, V) logits, (C,) tokens -> (C,) log-probabilities, (C,) sums of exponentials, (C,) likeliest tokens or None.

    The first two are float64. The exponentials, of differences from a row's largest logit, replace the logits.
    """
    # On a GPU a cache holds a chunk, and starting many small operations would take longer than they do.
    num_rows = max(1, CACHED_SIZE // logits.shape[1]) if logits.device.type == "cpu" else len(logits)
    logps, totals, likeliest = [], [], []
    for rows, tokens in zip(logits.split(num_rows), target.split(num_rows), strict=True):
        if with_greedy:
            largest, indices = rows.max(-1, keepdim=True)
            likeliest.append(indices.squeeze(1))
        else:
            largest = rows.amax(-1, keepdim=True)
        difference = rows.gather(1, tokens[:, None]).double() - largest.double()
        totals.append(_sum_in_float64(rows.sub_(largest).exp_()))
        logps.append(difference.squeeze(1) - totals[-1].log())
    return torch.cat(logps), torch.cat(totals), torch.cat(likeliest) if with_greedy else None


def _sum_in_float64(terms: torch.Tensor) -> torch.Tensor:
    """(C, V) terms -> (C,) float64 sums.

    Of a row, 16 terms at equal distances are added in float32, the 16 with the largest sum in float64.
    """
    aligned_length = terms.shape[1] // FLOAT32_SUM_LENGTH * FLOAT32_SUM_LENGTH
    total = terms[:, aligned_length:].sum(1, dtype=torch.float64)
    if aligned_length:
        parts = terms[:, :aligned_length].unflatten(1, (FLOAT32_SUM_LENGTH, -1))  # (C, 16, V / 16)
        sums = parts.sum(1)
        largest = sums.max(1, keepdim=True).indices
        total += sums.scatter_(1, largest, 0.0).sum(1, dtype=torch.float64)
        total += parts.gather(2, largest[:, None].expand(-1, FLOAT32_SUM_LENGTH, 1)).sum((1, 2), dtype=torch.float64)
    return total


def _input_grads(
    exponentials: torch.Tensor,
    target: torch.Tensor,
    total: torch.Tensor,
    backward: Callable[[torch.Tensor], torch.Tensor],
    dtype: torch.dtype,
) -> torch.Tensor:
    """(C, H) gradients of the tokens' log-probabilities: `backward` of one at the token minus the softmax. Ends the exponentials.

    total: (C,) sums of the exponentials. What goes through `backward` is -total times that, so that rows are divided when they
    have H entries. The token's own entry, 1 - p, is the others' share: taken from float64, it keeps its digits where p is near 1.
    """
    index, minus_total = target[:, None], -total[:, None]
    others = total[:, None] - exponentials.gather(1, index).double()
    exponentials.scatter_(1, index, -others.to(exponentials.dtype))
    if exponentials.dtype == dtype:
        return backward(exponentials).div_(minus_total.to(dtype))
    return backward(exponentials.div_(minus_total.to(exponentials.dtype)).to(dtype))  # a sum may be more than float16 holds
