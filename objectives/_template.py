"""template: one sentence that says what this objective compares, for somebody who has not read about it."""

from dataclasses import dataclass

from torch.nn.functional import softplus

from objectives import Batch, Citation, LossOutput, Needs, Objective, param


@dataclass(frozen=True)
class Template(Objective):
    """loss = log(1 + exp(-scale * (r - r'))), averaged over the K synthetic responses of a prompt, in nats.

    r and r' are the log-ratios of the real and of a synthetic response to the opponent: log p(y|x) - log p_opponent(y|x), in
    nats, summed over the response's tokens. Write the equation as the code computes it, and say where its optimum is.

    Departures from the paper: none.
    """

    title = "template: its name in full"
    citation = Citation(label="unpublished", title="where it comes from", url="https://example.org", where="equation 1")

    # One line per hyper-parameter: type, default, meaning, bounds (above, at_least, at_most, choices).
    scale: float = param(0.1, "scale of the difference of log-ratios", above=0)

    @property
    def needs(self) -> Needs:
        """reference: the opponent's log-probabilities; synthetic: K, responses of the opponent per prompt."""
        return Needs(reference=True, synthetic=1)

    def loss(self, batch: Batch) -> LossOutput:
        """Real (B, 1) and synthetic (B, K) log-ratios -> (B,), one loss per prompt."""
        real, synthetic = batch.real.log_ratio, batch.synthetic.log_ratio
        margin = real - synthetic
        return LossOutput(
            loss=softplus(-self.scale * margin).mean(dim=1),
            metrics={"margin": margin.mean(dim=1)},
        )
