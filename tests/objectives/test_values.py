"""One hand-worked value per objective and variant, the arithmetic in the docstring, so that a wrong formula cannot pass.

sigma(x) = 1 / (1 + e^-x), softplus(x) = log(1 + e^x). ln 2 = 0.693147, ln 3 = 1.098612.
"""

import pytest
import torch

from harness.discovery.variants import find_objective, load_objective
from objectives import Batch, Responses


def responses(logp, length=None, reference=None):
    def tensor(values):
        return torch.tensor([values], dtype=torch.float64)

    return Responses(tensor(logp), tensor(length or [1.0] * len(logp)), None if reference is None else tensor(reference))


def value(name, real, synthetic=None, proto=None, **params):
    objective = load_objective(find_objective(name))(**params)
    return objective.loss(Batch(real, synthetic, proto)).loss.item()


def test_sft_is_the_mean_over_tokens_with_the_length_as_weight():
    """log p = -6 over 4 tokens: 6 / 4 = 1.5 nats per token, weight 4."""
    cls = load_objective(find_objective("sft"))
    output = cls().loss(Batch(responses([-6.0], [4.0])))
    assert output.loss.item() == pytest.approx(1.5)
    assert output.weight.item() == 4.0


def test_space_mu_1():
    """r = -3 - (-4) = 1, r' = -5 - (-3) = -2: softplus(-1) + softplus(-2) = 0.313262 + 0.126928 = 0.440190."""
    real, synthetic = responses([-3.0], [2.0], [-4.0]), responses([-5.0], [7.0], [-3.0])
    assert value("space", real, synthetic) == pytest.approx(0.440190, abs=1e-6)


def test_space_mu_3_sums_over_three_samples_and_shifts_by_log_mu():
    """mu = 3, r = ln 3, r' = ln 3, ln 3, 2 ln 3.

    Real: softplus(ln 3 - ln 3) = ln 2 = 0.693147. Synthetic: 3 * mean(ln 2, ln 2, softplus(ln 3)) = ln 2 + ln 2 + ln 4
    = 4 ln 2 = 2.772589. Together 5 ln 2 = 3.465736.
    """
    ln3 = 1.0986122886681098
    real = responses([ln3], None, [0.0])
    synthetic = responses([ln3, ln3, 2 * ln3], None, [0.0, 0.0, 0.0])
    assert value("space", real, synthetic, mu=3.0) == pytest.approx(3.465736, abs=1e-6)


def test_space_with_one_sample_weighs_it_by_mu():
    """mu = 3, K = 1, r = ln 3, r' = ln 3: ln 2 + 3 ln 2 = 4 ln 2 = 2.772589."""
    ln3 = 1.0986122886681098
    real, synthetic = responses([ln3], None, [0.0]), responses([ln3], None, [0.0])
    assert value("space", real, synthetic, mu=3.0, samples=1) == pytest.approx(2.772589, abs=1e-6)


def test_spin_is_the_logistic_loss_of_the_scaled_margin():
    """r = 2, r' = -3, beta = 0.2: margin 0.2 * 5 = 1, softplus(-1) = 0.313262. Lengths do not matter: sums, not means."""
    real, synthetic = responses([-2.0], [5.0], [-4.0]), responses([-6.0], [2.0], [-3.0])
    assert value("spin", real, synthetic, beta=0.2) == pytest.approx(0.313262, abs=1e-6)


def test_spin_averages_over_several_synthetic_responses():
    """beta = 1, r = 0, r' = 0 and 1: (softplus(0) + softplus(1)) / 2 = (0.693147 + 1.313262) / 2 = 1.003204."""
    real, synthetic = responses([0.0], None, [0.0]), responses([0.0, 1.0], None, [0.0, 0.0])
    assert value("spin", real, synthetic, beta=1.0) == pytest.approx(1.003204, abs=1e-6)


@pytest.mark.parametrize(("form", "expected"), [("hinge", 0.5), ("exponential", 0.606531)])
def test_spin_other_forms(form, expected):
    """Margin 0.1 * (3 - (-2)) = 0.5: hinge 1 - 0.5 = 0.5, exponential e^-0.5 = 0.606531."""
    real, synthetic = responses([3.0], None, [0.0]), responses([-2.0], None, [0.0])
    assert value("spin", real, synthetic, beta=0.1, form=form) == pytest.approx(expected, abs=1e-6)


def test_tspin_adds_the_historical_advantage():
    """alpha = 0.5, beta = 0.1, log p = -2 real, -4 synthetic, -8 proto.

    Current: softplus(-0.5 * 2) = softplus(-1) = 0.313262; historical: 0.1 * softplus(-0.5 * 4) = 0.1 * 0.126928 = 0.012693.
    Together 0.325955.
    """
    found = value("tspin", responses([-2.0]), responses([-4.0]), responses([-8.0]), alpha=0.5, beta=0.1)
    assert found == pytest.approx(0.325955, abs=1e-6)


def test_tspin_without_history_needs_no_proto():
    """alpha = 1, beta = 0: softplus(-(-2 + 4)) = softplus(-2) = 0.126928."""
    assert value("tspin", responses([-2.0]), responses([-4.0]), beta=0.0) == pytest.approx(0.126928, abs=1e-6)


def test_sipo_is_the_squared_distance_of_the_summed_margin_to_its_target():
    """tau = 0.1: target 1 / 0.2 = 5. r = 2, r' = -1: margin 3, (3 - 5)^2 = 4."""
    real, synthetic = responses([-2.0], [4.0], [-4.0]), responses([-4.0], [2.0], [-3.0])
    assert value("sipo", real, synthetic) == pytest.approx(4.0)


def test_sipo_per_token_divides_each_log_ratio_by_its_own_length():
    """r = 2 / 4 = 0.5, r' = -1 / 2 = -0.5: margin 1, (1 - 5)^2 = 16."""
    real, synthetic = responses([-2.0], [4.0], [-4.0]), responses([-4.0], [2.0], [-3.0])
    assert value("sipo", real, synthetic, per_token=True) == pytest.approx(16.0)


def test_ssimpo_compares_log_probabilities_per_token_against_gamma():
    """beta 2, gamma 1.6, log p -4 over 4 tokens, -9 over 3: 2 * (-1) - 2 * (-3) - 1.6 = 2.4; softplus(-2.4) = 0.086836."""
    found = value("ssimpo", responses([-4.0], [4.0]), responses([-9.0], [3.0]))
    assert found == pytest.approx(0.086836, abs=1e-6)
