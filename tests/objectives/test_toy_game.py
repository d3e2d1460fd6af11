"""The real objective files play the real game, exactly, on four outcomes: theorems become assertions.

The policy is a softmax over four outcomes, so every expectation is a finite sum over tuples weighted by their probabilities.
Each iteration is minimised to convergence in float64; what is asserted is the state after ONE iteration, because some wrong
formulas heal themselves after several.
"""

import math

import pytest
import torch
from torch.nn.functional import softplus

from harness.discovery.variants import find_objective, load_objective
from harness.theory.exact import kl, solve_iteration
from objectives import LossOutput

DATA = torch.tensor([0.5, 0.3, 0.15, 0.05], dtype=torch.float64)
START = torch.tensor([0.1, 0.2, 0.3, 0.4], dtype=torch.float64)
LENGTHS = torch.tensor([1.0, 2.0, 3.0, 4.0], dtype=torch.float64)


def play(objective, opponent):
    return solve_iteration(objective, DATA, [opponent] if opponent is START else [START, opponent], LENGTHS)


def make(name, **params):
    return load_objective(find_objective(name))(**params)


@pytest.mark.parametrize(("mu", "samples"), [(1.0, None), (3.0, None), (2.5, 2), (7.0, 1)])
def test_space_reaches_the_data_in_one_iteration_and_stays(mu, samples):
    """Attainability for any mu and any number of samples, and maintainability."""
    objective = make("space", mu=mu, samples=samples)
    first = play(objective, START)
    assert kl(DATA, first) < 1e-10
    assert kl(DATA, play(objective, first)) < 1e-10


@pytest.mark.parametrize("beta", [0.75, 0.6, 0.5, 0.4])
def test_spin_multiplies_the_log_error_by_one_minus_one_over_beta(beta):
    """Theorem 5.4: p_1 is proportional to p_0 (data / p_0)^(1 / beta), so log(p_1 / data) = (1 - 1/beta) log(p_0 / data) + c.

    With beta 0.4 the factor is -1.5: it moves away from the data.
    """
    first = play(make("spin", beta=beta, history=0), START)

    def centred_error(player):
        error = player.log() - DATA.log()
        return error - error.mean()

    expected = (1 - 1 / beta) * centred_error(START)
    assert torch.allclose(centred_error(first), expected, atol=2e-4)


def test_sft_reaches_the_token_weighted_optimum():
    """Dividing the summed loss by the tokens does not move the optimum: it is the data themselves."""
    assert kl(DATA, play(make("sft"), START)) < 1e-10


def test_sipo_matches_its_least_squares_solution():
    """E (r_y - r_y' - c)^2 over independent y ~ data d, y' ~ opponent p, has the normal equations
    (d_u + p_u) r_u - d_u E_p r - p_u E_d r = c (d_u - p_u), with c = 1 / (2 tau)."""
    tau = 0.5
    first = play(make("sipo", tau=tau), START)
    r = first.log() - START.log()
    m_data, m_opponent = (DATA * r).sum(), (START * r).sum()
    left = (DATA + START) * r - DATA * m_opponent - START * m_data
    # the softmax constraint adds a multiple of p_theta, zero here because loss is invariant under shifts of r
    assert torch.allclose(left, (DATA - START) / (2 * tau), atol=1e-6)


# ---------------------------------------------------------------- injected bugs must be caught


def space_with(shift, weight):
    """SPACE's loss with another shift than log mu, or another weight of the synthetic term than mu."""

    def loss(self, batch):
        real, synthetic = softplus(shift - batch.real.log_ratio)[:, 0], softplus(batch.synthetic.log_ratio - shift)
        return LossOutput(real + weight * synthetic.mean(dim=1))

    return loss


@pytest.mark.parametrize(
    ("shift", "weight"), [(0.0, 3.0), (-math.log(3), 3.0), (math.log(3), 1.0)], ids=["no shift", "its sign", "mean for sum"]
)
def test_an_injected_bug_is_far_from_the_data_after_one_iteration(shift, weight, monkeypatch):
    """The very assertion of the correct formula fails, and by far: at least 1e-3 nats instead of 1e-10."""
    objective = make("space", mu=3.0)
    monkeypatch.setattr(type(objective), "loss", space_with(math.log(3), 3.0))
    assert kl(DATA, play(objective, START)) < 1e-10
    monkeypatch.setattr(type(objective), "loss", space_with(shift, weight))
    assert kl(DATA, play(objective, START)) > 1e-3
