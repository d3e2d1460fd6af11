"""SPIN: a decreasing loss of the margin between the rewards of the real and the synthetic response."""

from dataclasses import dataclass

import torch
from torch.nn.functional import softplus

from objectives import Batch, Citation, LossOutput, Needs, Objective, param


@dataclass(frozen=True)
class SPIN(Objective):
    """loss = l(beta * (r - r')), with l(t) = log(1 + e^{-t}) by default.

    r and r' are the log-ratios of the real and the synthetic response to the opponent, in nats; `beta` is the paper's
    lambda. The other forms of l are the paper's too: hinge max(0, 1 - t) and exponential e^{-t}. Only the margin counts: when
    both responses are the same there is no gradient. Minimised exactly, p_{t+1} is proportional to p_t (p_data / p_t)^{1/beta}.

    Departures from the paper: with several synthetic responses per prompt, the mean over them (the paper draws one).
    """

    title = "SPIN: self-play fine-tuning"
    citation = Citation(
        label="Chen et al. 2024",
        title="Self-Play Fine-Tuning Converts Weak Language Models to Strong Language Models",
        url="https://arxiv.org/abs/2401.01335",
        where="equation 4.7, algorithm 1",
    )

    beta: float = param(0.1, "scale of the log-ratio margin, lambda in the paper", above=0)
    form: str = param("logistic", "the decreasing loss of the margin", choices=("logistic", "hinge", "exponential"))
    history: int = param(1, "earlier iterations whose pairs are mixed in", at_least=0)

    @property
    def needs(self) -> Needs:
        return Needs(reference=True, synthetic=1, history=self.history)

    def loss(self, batch: Batch) -> LossOutput:
        """Real (B, 1) and synthetic (B, K) log-ratios -> (B,) without unit."""
        real, synthetic = batch.real.log_ratio, batch.synthetic.log_ratio
        margin = self.beta * (real - synthetic)  # (B, K)
        if self.form == "hinge":
            value = torch.relu(1 - margin)
        elif self.form == "exponential":
            value = torch.exp(-margin)
        else:
            value = softplus(-margin)
        return LossOutput(
            loss=value.mean(dim=1),
            metrics={
                "margin": margin.mean(dim=1),
                "accuracy": (margin > 0).to(margin.dtype).mean(dim=1),
                "reward_real": self.beta * real[:, 0],
                "reward_synthetic": self.beta * synthetic.mean(dim=1),
            },
        )
