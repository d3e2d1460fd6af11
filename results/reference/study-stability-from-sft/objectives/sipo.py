"""S-IPO: self-play with IPO's loss, the squared distance of the log-ratio margin to a target."""

from dataclasses import dataclass

from objectives import Batch, Citation, LossOutput, Needs, Objective, param


@dataclass(frozen=True)
class SIPO(Objective):
    """loss = (r - r' - 1 / (2 tau))^2, in nats squared.

    r and r' are the log-ratios of the real and the synthetic response to the opponent, summed over tokens; with `per_token`
    each is divided by its response's length first, as some implementations of IPO do.

    Departures from the paper: S-IPO is a natural substitution of IPO's loss into self-play, its form derived from IPO; with
    several synthetic responses per prompt, the mean over them.
    """

    title = "S-IPO: self-play with identity preference optimisation"
    citation = Citation(
        label="Azar et al. 2023",
        title="A General Theoretical Paradigm to Understand Learning from Human Preferences",
        url="https://arxiv.org/abs/2310.12036",
        where="equation 17",
    )

    tau: float = param(0.1, "regularisation: the target margin is 1 / (2 tau)", above=0)
    per_token: bool = param(False, "divide each log-ratio by its response's length")

    @property
    def needs(self) -> Needs:
        return Needs(reference=True, synthetic=1)

    def loss(self, batch: Batch) -> LossOutput:
        """Real (B, 1) and synthetic (B, K) log-ratios -> (B,)."""
        real, synthetic = batch.real.log_ratio, batch.synthetic.log_ratio
        if self.per_token:
            real, synthetic = real / batch.real.length, synthetic / batch.synthetic.length
        margin = real - synthetic  # (B, K)
        return LossOutput(
            loss=((margin - 1 / (2 * self.tau)) ** 2).mean(dim=1),
            metrics={
                "margin": margin.mean(dim=1),
                "accuracy": (margin > 0).to(margin.dtype).mean(dim=1),
                "reward_real": real[:, 0],
                "reward_synthetic": synthetic.mean(dim=1),
            },
        )
