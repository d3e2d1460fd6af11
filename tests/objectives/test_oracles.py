"""Equal to other people's losses when fed the same log-probabilities, each written here in its own paper's form."""

import math

import pytest
import torch
from torch.nn.functional import logsigmoid

from harness.discovery.variants import find_objective, load_objective, parse_variants
from harness.planning.prepare import describe_variant
from objectives import Batch, Responses


@pytest.fixture
def batch():
    generator = torch.Generator().manual_seed(7)

    def role():
        length = torch.randint(2, 30, (64, 1), generator=generator).double()
        logp = -length * torch.rand((64, 1), generator=generator, dtype=torch.float64) * 3
        return Responses(logp, length, logp + torch.randn((64, 1), generator=generator, dtype=torch.float64) * 4)

    return Batch(role(), role())


def loss(name, batch, **params):
    return load_objective(find_objective(name))(**params).loss(batch).loss


def test_spin_is_dpo_with_the_synthetic_response_as_the_dispreferred_one(batch):
    """Rafailov et al. 2023, equation 7: -log sigma(beta (log pi(w)/ref(w) - log pi(l)/ref(l)))."""
    policy = batch.real.logp - batch.synthetic.logp
    reference = batch.real.reference_logp - batch.synthetic.reference_logp
    expected = -logsigmoid(0.3 * (policy - reference))[:, 0]
    assert torch.allclose(loss("spin", batch, beta=0.3), expected, rtol=1e-12)


@pytest.mark.parametrize("per_token", [False, True])
def test_sipo_is_ipo_on_sums_as_printed_and_per_token_on_averages_as_its_authors_ran_it(batch, per_token):
    """Azar et al. 2023, equation 17: (h(w, l) - 1/(2 tau))^2; averaged as in TRL's loss_type="ipo" (trl#1265)."""
    logps = [(r.logp, r.reference_logp, r.length if per_token else 1) for r in (batch.real, batch.synthetic)]
    (chosen, ref_chosen), (rejected, ref_rejected) = ((logp / n, reference / n) for logp, reference, n in logps)
    h = (chosen - rejected) - (ref_chosen - ref_rejected)
    assert torch.allclose(loss("sipo", batch, tau=0.25, per_token=per_token), (h[:, 0] - 2.0) ** 2, rtol=1e-12)


def test_label_and_record_of_sipo_say_whether_it_sums_or_averages():
    variants = parse_variants("sipo,sipo:per_token=true")
    assert [v.label for v in variants] == ["sipo", "sipo-per_tokenTrue"]
    assert [describe_variant(v, 1)["resolved"][0]["per_token"] for v in variants] == [False, True]


def test_ssimpo_is_simpo(batch):
    """Meng et al. 2024, equation 6."""
    real, synthetic = (2.5 / r.length * r.logp for r in (batch.real, batch.synthetic))
    expected = -logsigmoid(real - synthetic - 1.0)[:, 0]
    assert torch.allclose(loss("ssimpo", batch, beta=2.5, gamma=1.0), expected, rtol=1e-12)


def test_space_at_mu_1_is_the_bco_pair_loss_without_shift(batch):
    """Jung et al. 2024 (arXiv:2404.04656) with beta 1 and delta 0: -log sigma(r_w) - log sigma(-r_l)."""
    expected = -logsigmoid(batch.real.log_ratio) - logsigmoid(-batch.synthetic.log_ratio)
    assert torch.allclose(loss("space", batch), expected[:, 0], rtol=1e-12)


def test_space_is_the_binary_cross_entropy_of_the_noise_contrastive_posterior(batch):
    """NCE: P(real | u) = p_theta / (p_theta + mu p_t); one real with label 1, mu noise draws with label 0."""
    mu = 3.0
    posterior, posterior_noise = (torch.sigmoid(r.log_ratio - math.log(mu))[:, 0] for r in (batch.real, batch.synthetic))
    expected = -posterior.log() - mu * torch.log1p(-posterior_noise)
    assert torch.allclose(loss("space", batch, mu=mu, samples=1), expected, rtol=1e-6)
