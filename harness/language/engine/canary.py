"""Proof that what vLLM drew came from the player: its log-probabilities against the policy's own, with the adapter on and off.

An adapter can be left out without a word: a name that does not match, a stale copy under an old number, a layer that is never
called (lm-eval#2432, vllm#31326, #34186, #48974). Samples of the wrong player would then train the next one. So the first
responses are scored by the policy, which holds the player, and nothing is kept unless the two agree.

All differences are in nats. A response's difference is that of its sums over tokens, in which rounding partly cancels; it is
counted per token, so that long responses in half precision raise no alarm.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from harness.language.policy import Drawn, Policy
from harness.records import PromptGroup

RESPONSES = 32  # the first ones drawn that are scored again
# Nats per token that two engines may differ by on the same weights. Between vLLM and another engine 0.03 (bfloat16) and 0.002
# (float32) were measured as root mean square of single tokens (ServiceNow/Fast-LLM#525), and responses may be one token long;
# float16 rounds eight times finer than bfloat16. These are also the bounds of the step-0 check, float32 apart.
TOLERANCE = {"bfloat16": 5e-2, "float16": 1e-2, "float32": 5e-3}
ERRORS = 4.0  # standard errors from which a way towards the base is no accident


@dataclass(frozen=True)
class Agreement:
    """How far vLLM's log-probabilities are from the player's, over `responses` responses with `tokens` tokens.

    off: mean difference to the player, nats per token. apart: the same between player and bare base; None without an adapter.
    towards_base: least-squares share of the way from the player (0, adapter on) to the base (1, off), with its standard error;
    below one half vLLM is closer to the player. None where the two are equal, or where one response gives no error.
    """

    responses: int
    tokens: int
    off: float
    apart: float | None = None
    towards_base: float | None = None
    towards_base_error: float | None = None


def agreement(drawn: Sequence[float], player: Sequence[float], base: Sequence[float] | None, lengths: Sequence[int]) -> Agreement:
    """Compare log-probabilities of the same responses, in nats per response; base is None where there is no adapter."""
    n, tokens = len(drawn), sum(lengths)
    gaps = [d - p for d, p in zip(drawn, player, strict=True)]
    off = sum(map(abs, gaps)) / tokens
    if base is None:
        return Agreement(n, tokens, off)
    ways = [b - p for b, p in zip(base, player, strict=True)]
    apart = sum(map(abs, ways)) / tokens
    square = sum(w * w for w in ways)
    if n < 2 or square == 0:
        return Agreement(n, tokens, off, apart)
    share = sum(g * w for g, w in zip(gaps, ways, strict=True)) / square
    rest = sum(((g - share * w) * w) ** 2 for g, w in zip(gaps, ways, strict=True))  # variances differ with the length
    return Agreement(n, tokens, off, apart, share, math.sqrt(rest * n / (n - 1)) / square)


def refuse(found: Agreement, precision: str, player: str) -> None:
    """Raises RuntimeError when vLLM's numbers are not the player's.

    Either they are off by more than the tolerance, or they are closer to the bare base: where the two are further apart than the
    tolerance, or, below it, where the way towards the base is too long for chance. A player nearer to the base than rounding
    cannot be told from it; then only the first can fail.
    """
    tolerance = TOLERANCE[precision]
    share, error = found.towards_base, found.towards_base_error
    seen = found.apart is not None and found.apart > tolerance
    if share is not None and error is not None:
        seen = seen or share > ERRORS * error
    if found.off <= tolerance and not (share is not None and share >= 0.5 and seen):
        return
    measured = f"on {found.responses} responses vLLM's log-probabilities are {found.off:.3g} nats per token off those of {player}"
    if found.apart is None:
        raise RuntimeError(f"{measured}, at most {tolerance:g} expected in {precision}: vLLM draws from another model")
    way = "" if share is None else f" and lie {share:.2f} of the way from the player (0) to the bare base (1)"
    raise RuntimeError(
        f"{measured}, at most {tolerance:g} expected in {precision}{way}; player and base are {found.apart:.3g} apart: "
        "the player's adapter seems not to be applied"
    )


def check(policy: Policy, prompts: Sequence[list[int]], drawn: Sequence[Drawn], columns: int, adapter: str | None) -> Agreement:
    """Score the first of `drawn` under the player in `policy`'s slot and, with an adapter, under the bare base.

    columns: tokens that go through the model at a time. Raises RuntimeError when vLLM did not draw from the player.
    """
    first = list(drawn[:RESPONSES])
    groups = [PromptGroup(prompt, [one.token_ids]) for prompt, one in zip(prompts, first, strict=False)]
    player = policy.score(groups, columns)
    base = None
    if adapter is not None:
        with policy.model.disable_adapter():
            base = policy.score(groups, columns)
    found = agreement([one.logp for one in first], player, base, [len(one.token_ids) for one in first])
    refuse(found, policy.precision, adapter or "the initial policy")
    return found
