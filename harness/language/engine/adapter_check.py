"""Check that vLLM applied the adapter: its log-probabilities against the policy's own, with the adapter on and off.

An adapter can be left out without an error: a name that does not match, a stale copy under an old number, a layer that is never
called (lm-eval#2432, vllm#31326, #34186, #48974). Samples of the wrong checkpoint would then train the next one. So the first
responses are scored by the policy, which has the checkpoint loaded, and nothing is kept unless the two agree.

All differences are in nats. A response's difference is that of its sums over tokens, in which rounding partly cancels; it is
counted per token, so that long responses in half precision raise no alarm.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from harness.language.policy import Completion, Policy
from harness.records import PromptGroup
from harness.train.numerics import TWO_ENGINES

NUM_CHECKED = 32  # the first ones drawn that are scored again
MIN_STANDARD_ERRORS = 4.0  # from which a fraction of the way to the base is not chance


@dataclass(frozen=True)
class Agreement:
    """How far vLLM's log-probabilities are from the checkpoint's, over `responses` responses with `tokens` tokens.

    The fields are keys of a manifest. off: mean difference to the checkpoint, nats per token. apart: the same between checkpoint
    and bare base; None without an adapter. towards_base: least-squares fraction of the way from the checkpoint (0, adapter on)
    to the base (1, off), with its standard error; below one half vLLM is closer to the checkpoint. None where the two are equal,
    or where one response gives no error.
    """

    responses: int
    tokens: int
    off: float
    apart: float | None = None
    towards_base: float | None = None
    towards_base_error: float | None = None


def compare_logps(
    vllm_logps: Sequence[float], checkpoint_logps: Sequence[float], base_logps: Sequence[float] | None, lengths: Sequence[int]
) -> Agreement:
    """Compare log-probabilities of the same responses, in nats per response; base is None where there is no adapter."""
    n, tokens = len(vllm_logps), sum(lengths)
    differences = [d - p for d, p in zip(vllm_logps, checkpoint_logps, strict=True)]
    off = sum(map(abs, differences)) / tokens
    if base_logps is None:
        return Agreement(n, tokens, off)
    base_differences = [b - p for b, p in zip(base_logps, checkpoint_logps, strict=True)]
    apart, sum_squares = sum(map(abs, base_differences)) / tokens, sum(w * w for w in base_differences)
    if n < 2 or sum_squares == 0:
        return Agreement(n, tokens, off, apart)
    fraction = sum(g * w for g, w in zip(differences, base_differences, strict=True)) / sum_squares
    # variances differ with the length, so the error is the heteroscedastic one
    residual_sum = sum(((g - fraction * w) * w) ** 2 for g, w in zip(differences, base_differences, strict=True))
    return Agreement(n, tokens, off, apart, fraction, math.sqrt(residual_sum * n / (n - 1)) / sum_squares)


def raise_if_wrong(agreement: Agreement, precision: str, checkpoint: str) -> None:
    """Raises RuntimeError when vLLM's numbers are not the checkpoint's.

    Either they are off by more than the tolerance, or they are closer to the bare base: where the two are further apart than the
    tolerance, or, below it, where the way towards the base is too long for chance. A checkpoint nearer to the base than rounding
    cannot be distinguished from it; then only the first can fail.
    """
    tolerance, apart, fraction = TWO_ENGINES[precision], agreement.apart, agreement.towards_base
    is_base = False
    if apart is not None and fraction is not None and agreement.towards_base_error is not None:
        is_base = fraction >= 0.5 and (apart > tolerance or fraction > MIN_STANDARD_ERRORS * agreement.towards_base_error)
    if agreement.off <= tolerance and not is_base:
        return
    message = (
        f"on {agreement.responses} responses vLLM's log-probabilities are {agreement.off:.3g} nats per token "
        f"off those of {checkpoint}, at most {tolerance:g} expected in {precision}"
    )
    if apart is None:
        raise RuntimeError(f"{message}: vLLM draws from another model")
    way = "" if fraction is None else f" and lie {fraction:.2f} of the way from the checkpoint (0) to the bare base (1)"
    raise RuntimeError(
        f"{message}{way}; checkpoint and base differ by {apart:.3g}: the checkpoint's adapter seems not to be applied"
    )


def check_adapter(
    policy: Policy,
    prompts: Sequence[list[int]],
    completions: Sequence[Completion],
    max_tokens_per_batch: int,
    adapter: str | None,
) -> Agreement:
    """Score the first of `completions` under the checkpoint loaded in `policy` and, with an adapter, under the bare base.

    Raises RuntimeError when vLLM did not sample from the checkpoint.
    """
    checked = list(completions[:NUM_CHECKED])
    groups = [PromptGroup(prompt, [completion.token_ids]) for prompt, completion in zip(prompts, checked, strict=False)]
    checkpoint_logps = policy.score(groups, max_tokens_per_batch)
    base_logps = None
    if adapter is not None:
        with policy.model.disable_adapter():
            base_logps = policy.score(groups, max_tokens_per_batch)
    agreement = compare_logps([c.logp for c in checked], checkpoint_logps, base_logps, [len(c.token_ids) for c in checked])
    raise_if_wrong(agreement, policy.precision, adapter or "the initial policy")
    return agreement
