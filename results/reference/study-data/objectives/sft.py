"""Supervised fine-tuning: the token-mean negative log-likelihood of the real response, the baseline of every comparison."""

from dataclasses import dataclass

from objectives import Batch, Citation, LossOutput, Objective


@dataclass(frozen=True)
class SFT(Objective):
    """loss = -log p(y|x) / |y|, weighted by |y|: over a batch, the summed loss divided by its response tokens.

    It needs nothing but the real response, so nothing is generated and nothing is scored.

    Departures from the paper: none.
    """

    title = "Supervised fine-tuning"
    citation = Citation(
        label="Ouyang et al. 2022",
        title="Training language models to follow instructions with human feedback",
        url="https://arxiv.org/abs/2203.02155",
        where="section 3.5, step 1",
    )

    def loss(self, batch: Batch) -> LossOutput:
        """(B, 1) log-probabilities of the real responses -> (B,) nats per token, weight (B,) tokens."""
        real = batch.real
        return LossOutput(loss=-real.mean_logp[:, 0], weight=real.length[:, 0])
