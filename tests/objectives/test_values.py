"""One hand-worked value per objective and variant, the arithmetic above it, so that a wrong formula cannot pass.

sigma(x) = 1 / (1 + e^-x), softplus(x) = log(1 + e^x). ln 2 = 0.693147, ln 3 = 1.098612.
"""

import math

import pytest
import torch

from harness.discovery.variants import find_objective, load_objective
from objectives import Batch, Responses


def responses(logp, length=1.0, reference=None):
    """One row; a number holds for every sample."""
    logp = torch.tensor([logp] if isinstance(logp, list) else [[logp]], dtype=torch.float64)
    return Responses(logp, torch.full_like(logp, length), None if reference is None else torch.full_like(logp, reference))


def output(name, *roles, **params):
    return load_objective(find_objective(name))(**params).loss(Batch(*roles))


def test_sft_is_the_mean_over_tokens_with_the_length_as_weight():
    """log p = -6 over 4 tokens: 6 / 4 = 1.5 nats per token, weight 4."""
    found = output("sft", responses(-6.0, 4.0))
    assert (found.loss.item(), found.weight.item()) == (pytest.approx(1.5), 4.0)


LN3 = math.log(3)
R2, R_MINUS1 = responses(-2.0, 4.0, -4.0), responses(-4.0, 2.0, -3.0)


@pytest.mark.parametrize(
    ("name", "params", "roles", "expected"),
    [
        # r = -3 - (-4) = 1, r' = -5 - (-3) = -2: softplus(-1) + softplus(-2) = 0.313262 + 0.126928
        ("space", {}, (responses(-3.0, 2.0, -4.0), responses(-5.0, 7.0, -3.0)), 0.440190),
        # r = ln 3, r' = ln 3, ln 3, 2 ln 3; the shift is log mu. Real: softplus(ln 3 - ln 3) = ln 2.
        # Synthetic: the sum of ln 2, ln 2 and softplus(ln 3) = ln 4, so 4 ln 2. Together 5 ln 2
        ("space", {"mu": 3.0}, (responses(LN3, 1.0, 0.0), responses([LN3, LN3, 2 * LN3], 1.0, 0.0)), 3.465736),
        # one sample has the weight mu: r = r' = ln 3, so ln 2 + 3 ln 2
        ("space", {"mu": 3.0, "samples": 1}, (responses(LN3, 1.0, 0.0), responses(LN3, 1.0, 0.0)), 2.772589),
        # r = 2, r' = -3: margin 0.2 * 5 = 1, softplus(-1). Lengths do not matter: sums, not means
        ("spin", {"beta": 0.2}, (responses(-2.0, 5.0, -4.0), responses(-6.0, 2.0, -3.0)), 0.313262),
        # several samples are averaged: r = 0, r' = 0 and 1: (softplus(0) + softplus(1)) / 2 = (0.693147 + 1.313262) / 2
        ("spin", {"beta": 1.0}, (responses(0.0, 1.0, 0.0), responses([0.0, 1.0], 1.0, 0.0)), 1.003204),
        # margin 0.1 * (3 - (-2)) = 0.5: hinge 1 - 0.5, exponential e^-0.5
        ("spin", {"beta": 0.1, "form": "hinge"}, (responses(3.0, 1.0, 0.0), responses(-2.0, 1.0, 0.0)), 0.5),
        ("spin", {"beta": 0.1, "form": "exponential"}, (responses(3.0, 1.0, 0.0), responses(-2.0, 1.0, 0.0)), 0.606531),
        # current: softplus(-0.5 * 2) = 0.313262; historical: 0.1 * softplus(-0.5 * 4) = 0.1 * 0.126928
        ("tspin", {"alpha": 0.5, "beta": 0.1}, (responses(-2.0), responses(-4.0), responses(-8.0)), 0.325955),
        # alpha = 1, and without history no proto: softplus(-(-2 + 4))
        ("tspin", {"beta": 0.0}, (responses(-2.0), responses(-4.0)), 0.126928),
        # tau = 0.1: target 1 / 0.2 = 5; r = 2, r' = -1: (3 - 5)^2. Per token r = 2 / 4, r' = -1 / 2: (1 - 5)^2
        ("sipo", {}, (R2, R_MINUS1), 4.0),
        ("sipo", {"per_token": True}, (R2, R_MINUS1), 16.0),
        # beta 2, gamma 1.6, per token: 2 * (-4 / 4) - 2 * (-9 / 3) - 1.6 = 2.4; softplus(-2.4)
        ("ssimpo", {}, (responses(-4.0, 4.0), responses(-9.0, 3.0)), 0.086836),
    ],
)
def test_a_loss_has_its_hand_worked_value(name, params, roles, expected):
    assert output(name, *roles, **params).loss.item() == pytest.approx(expected, abs=1e-6)
