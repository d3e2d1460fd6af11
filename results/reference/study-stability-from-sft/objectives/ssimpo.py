"""S-SimPO: self-play with SimPO's loss, the length-normalised and reference-free margin against gamma."""

from dataclasses import dataclass

from torch.nn.functional import softplus

from objectives import Batch, Citation, LossOutput, Needs, Objective, param


@dataclass(frozen=True)
class SSimPO(Objective):
    """loss = -log sigma(beta / |y| log p(y) - beta / |y'| log p(y') - gamma).

    |y| counts response tokens, the closing one included; no reference is needed.

    Departures from the paper: S-SimPO is a natural substitution of SimPO's loss into self-play, its form derived from SimPO;
    with several synthetic responses per prompt, the mean over them.
    """

    title = "S-SimPO: self-play with simple preference optimisation"
    citation = Citation(
        label="Meng et al. 2024",
        title="SimPO: Simple Preference Optimization with a Reference-Free Reward",
        url="https://arxiv.org/abs/2405.14734",
        where="equation 6",
    )

    beta: float = param(2.0, "scale of the log-probability per token", above=0)
    gamma: float = param(1.6, "margin by which the real response should win", at_least=0)

    @property
    def needs(self) -> Needs:
        return Needs(synthetic=1)

    def loss(self, batch: Batch) -> LossOutput:
        """Real (B, 1) and synthetic (B, K) log-probabilities per token -> (B,) without unit."""
        real, synthetic = self.beta * batch.real.mean_logp, self.beta * batch.synthetic.mean_logp
        margin = real - synthetic  # (B, K)
        return LossOutput(
            loss=softplus(self.gamma - margin).mean(dim=1),
            metrics={
                "margin": margin.mean(dim=1),
                "accuracy": (margin > 0).to(margin.dtype).mean(dim=1),
                "reward_real": real[:, 0],
                "reward_synthetic": synthetic.mean(dim=1),
            },
        )
