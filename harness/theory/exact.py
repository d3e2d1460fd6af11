"""Exact self-play of the real objective files on a few outcomes: every expectation is a finite sum, every iteration is solved.

A policy is a softmax over all outcomes, so it can represent every distribution: the result is the population optimum with
unlimited capacity, trained to convergence. Real runs have neither.

Legend: V outcomes; R rows, one per tuple (real, synthetic..., proto...) of outcomes. float64.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence

import torch

from objectives import Batch, Objective, Responses

NUM_RESTARTS = 4
LBFGS_OPTIONS = {"max_iter": 3000, "tolerance_grad": 1e-14, "tolerance_change": 0, "history_size": 20}


def kl(data: torch.Tensor, policy: torch.Tensor) -> float:
    """(V,), (V,) probabilities -> KL(data || policy) in nats; outcomes of probability zero in the data add nothing."""
    return float(torch.where(data > 0, data * (data.log() - policy.log()), 0.0).sum())


def solve_iterations(
    objective_at: Callable[[int], Objective], data: torch.Tensor, start: torch.Tensor, lengths: torch.Tensor, iterations: int
) -> list[torch.Tensor]:
    """The policies of all iterations, the initial one first: `iterations` + 1 arrays (V,)."""
    policies = [start]
    for t in range(iterations):
        policies.append(solve_iteration(objective_at(t), data, policies, lengths))
    return policies


def solve_iteration(
    objective: Objective, data: torch.Tensor, policies: Sequence[torch.Tensor], lengths: torch.Tensor
) -> torch.Tensor:
    """The next policy: the minimum of the exact expected loss over all policies on V outcomes.

    data: (V,) the distribution of real responses. policies: all so far, the initial one first, the opponent last; older ones
    generate the synthetic responses of the objective's history, all scored by the opponent. lengths: (V,) tokens.
    """
    needs = objective.needs
    opponent = policies[-1]
    generators = policies[-1 - needs.history :]
    rows = torch.tensor(list(itertools.product(range(len(data)), repeat=1 + needs.synthetic + needs.proto)))
    real, synthetic, proto = rows.split([1, needs.synthetic, needs.proto], dim=1)
    synthetic_probability = torch.stack([source[synthetic].prod(dim=1) for source in generators]).mean(dim=0)
    probability = data[real[:, 0]] * synthetic_probability * policies[0][proto].prod(dim=1)
    reference = opponent.log()
    logits = opponent.log().clone().requires_grad_()

    def make_role(outcomes: torch.Tensor, logp: torch.Tensor) -> Responses:
        return Responses(logp[outcomes], lengths[outcomes], reference[outcomes] if needs.reference else None)

    def expected_loss() -> torch.Tensor:
        logp = torch.log_softmax(logits, dim=0)
        others = (make_role(role, logp) if role.shape[1] else None for role in (synthetic, proto))
        output = objective.loss(Batch(make_role(real, logp), *others))
        weight = probability if output.weight is None else probability * output.weight
        return (weight * output.loss).sum() / weight.sum()

    optimizer = torch.optim.LBFGS([logits], line_search_fn="strong_wolfe", **LBFGS_OPTIONS)

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        value = expected_loss()
        value.backward()
        return value

    for _ in range(NUM_RESTARTS):
        optimizer.step(closure)
    return torch.softmax(logits.detach(), dim=0)


def power_law(data: torch.Tensor, opponent: torch.Tensor, exponent: float) -> torch.Tensor:
    """(V,) the policy proportional to opponent * (data / opponent)^exponent: the log-error times (1 - exponent)."""
    return torch.softmax(opponent.log() + exponent * (data.log() - opponent.log()), dim=0)


def error_factor(data: torch.Tensor, before: torch.Tensor, after: torch.Tensor) -> float:
    """The factor of the log-error log(policy / data), centred over outcomes (least squares); NaN where it was zero before."""
    error_before, error_after = (policy.log() - data.log() for policy in (before, after))
    error_before, error_after = error_before - error_before.mean(), error_after - error_after.mean()
    square = float(error_before @ error_before)
    return float(error_before @ error_after) / square if square > 1e-10 else math.nan
