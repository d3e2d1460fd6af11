"""SPACE: noise-contrastive estimation between real and synthetic responses, each reward optimised by itself."""

import math
from dataclasses import dataclass

from torch.nn.functional import softplus

from objectives import Batch, Citation, LossOutput, Needs, Objective, param


@dataclass(frozen=True)
class SPACE(Objective):
    """loss = -log sigma_mu(r) - mu * mean_k log sigma_{1/mu}(-r'_k), with sigma_mu(z) = 1 / (1 + mu e^{-z}).

    r and r' are the log-ratios of a real and a synthetic response to the opponent, in nats. In stable form:
    softplus(log mu - r) + mu * mean_k softplus(r'_k - log mu). The two terms never meet in a difference, so each reward has
    an optimum of its own. Minimised exactly it gives p_theta = p_data for any mu, and keeps it.

    Departures from the paper: the loss was read in a public note about it (en.papernotes.org, NeurIPS 2025), not in the paper
    itself; that mu counts the synthetic responses per real one is inferred, so `samples` may be set apart from it (the synthetic
    term is then mu times the mean).
    """

    title = "SPACE: self-play via noise contrastive estimation"
    citation = Citation(
        label="SPACE 2025",
        title="SPACE: Noise Contrastive Estimation Stabilizes Self-Play Fine-Tuning for Large Language Models",
        url="https://arxiv.org/abs/2512.07175",
        where="NeurIPS 2025",
    )

    mu: float = param(1.0, "weight of the synthetic responses, their number per real one when whole", above=0)
    samples: int | None = param(None, "synthetic responses drawn per prompt; none means mu when whole, else 1", at_least=1)

    @property
    def needs(self) -> Needs:
        natural = int(self.mu) if self.mu == int(self.mu) else 1
        return Needs(reference=True, synthetic=self.samples or natural)

    def loss(self, batch: Batch) -> LossOutput:
        """Real (B, 1) and synthetic (B, K) log-ratios -> (B,) nats."""
        shift = math.log(self.mu)
        real, synthetic = batch.real.log_ratio, batch.synthetic.log_ratio
        of_real = softplus(shift - real)[:, 0]
        of_synthetic = self.mu * softplus(synthetic - shift).mean(dim=1)
        return LossOutput(
            loss=of_real + of_synthetic,
            metrics={
                "loss_real": of_real,
                "loss_synthetic": of_synthetic,
                "reward_real": real[:, 0],
                "reward_synthetic": synthetic.mean(dim=1),
            },
        )
