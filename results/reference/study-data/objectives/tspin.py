"""T-SPIN: current and historical advantage over triplets of real, synthetic and proto responses, without a reference."""

from dataclasses import dataclass

from torch.nn.functional import softplus

from objectives import Batch, Citation, LossOutput, Needs, Objective, param


@dataclass(frozen=True)
class TSPIN(Objective):
    """loss = -log sigma(alpha (log p(y) - log p(y'))) - beta log sigma(alpha (log p(y') - log p(y0))).

    y is the real, y' the synthetic and y0 the proto response, drawn once from the initial policy; log p is summed over tokens,
    in nats. The second term keeps synthetic responses ahead of where the game began. The paper sets beta to 0 at iteration 0,
    where y' and y0 are the same draw, and 0.1 after: recipes say so as `beta = [0.0, 0.1]`.

    Departures from the paper: none.
    """

    title = "T-SPIN: triplet-based self-play fine-tuning"
    citation = Citation(
        label="T-SPIN 2026",
        title="Triplets Better Than Pairs: Towards Stable and Effective Self-Play Fine-Tuning for LLMs",
        url="https://arxiv.org/abs/2601.08198",
        where="pseudocode in the appendix",
    )

    alpha: float = param(1.0, "scale of the differences of log-probability", above=0)
    beta: float = param(0.1, "weight of the historical advantage; 0 leaves it and the proto responses out", at_least=0)

    @property
    def needs(self) -> Needs:
        return Needs(synthetic=1, proto=1 if self.beta > 0 else 0)

    def loss(self, batch: Batch) -> LossOutput:
        """Real (B, 1), synthetic (B, K) and proto (B, P) log-probabilities -> (B,) without unit."""
        current = self.alpha * (batch.real.logp - batch.synthetic.logp)  # (B, K)
        value = softplus(-current).mean(dim=1)
        metrics = {"margin": current.mean(dim=1), "accuracy": (current > 0).to(current.dtype).mean(dim=1)}
        if self.beta > 0:
            historical = self.alpha * (batch.synthetic.logp - batch.proto.logp)
            value = value + self.beta * softplus(-historical).mean(dim=1)
            metrics["historical_margin"] = historical.mean(dim=1)
        return LossOutput(loss=value, metrics=metrics)
