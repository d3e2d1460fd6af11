"""One prompt worked through every objective, for harness/docs/concepts.md: `python -m tests.helpers.worked_example` writes it.

Loss and slopes are what the objectives' own files give for these log-probabilities.
"""

import torch

from harness.discovery.variants import find_objective, load_objective
from harness.reporting.generated_docs import rewrite
from objectives import Batch, Responses
from tests.conftest import ROOT

PAGE = ROOT / "harness" / "docs" / "concepts.md"
# role -> its text, tokens, log-probability under the main player and under the opponent (nats)
RESPONSES = {
    "real": ("the elk fears ice .", 6, -4.0, -5.0),
    "synthetic": ("elk fears fire .", 5, -7.5, -6.0),
    "proto": ("the the elk elk fears the .", 8, -9.0, -8.0),
}
WORKED = {  # objective -> the sum by hand, with its defaults
    "sft": "−log p(y) / \\|y\\| = 4.0 / 6",
    "space": "softplus(−r) + softplus(r') = softplus(−1.0) + softplus(−1.5), with mu = 1",
    "spin": "softplus(−beta (r − r')) = softplus(−0.1 · 2.5)",
    "tspin": "softplus(−(−4.0 + 7.5)) + 0.1 · softplus(−(−7.5 + 9.0))",
    "sipo": "(r − r' − 1 / (2 tau))² = (2.5 − 5.0)², with tau = 0.1",
    "ssimpo": "softplus(gamma − beta (−4.0 / 6 + 7.5 / 5)) = softplus(1.6 − 2 · 0.8333)",
}


def loss_and_slopes(name: str) -> tuple[float, dict[str, float | None]]:
    """The loss for the prompt, and its slope by each role's log-probability (per nat); None for a role that it does not see."""
    objective = load_objective(find_objective(name))()
    seen = {"real": True, "synthetic": objective.needs.synthetic > 0, "proto": objective.needs.proto > 0}
    roles = {role: _responses(*RESPONSES[role][1:], objective.needs.reference) for role in RESPONSES if seen[role]}
    loss = objective.loss(Batch(roles["real"], roles.get("synthetic"), roles.get("proto"))).loss
    loss.sum().backward()
    return loss.item(), {role: roles[role].logp.grad.item() if role in roles else None for role in RESPONSES}


def _responses(tokens: int, logp: float, reference: float, needs_reference: bool) -> Responses:
    """One response to one prompt: (1, 1)."""
    logps = torch.tensor([[logp]], dtype=torch.float64, requires_grad=True)
    lengths = torch.full_like(logps, tokens, requires_grad=False)
    return Responses(logps, lengths, torch.full_like(lengths, reference) if needs_reference else None)


def _signed(value: float, digits: int) -> str:
    return f"{value:+.{digits}f}".replace("-", "−")


def worked_example() -> str:
    lines = [
        "| response | tokens | log p, main player | log p, opponent | log-ratio |",
        "| --- | --- | --- | --- | --- |",
    ]
    symbols = {"real": "real y", "synthetic": "synthetic y'", "proto": "proto-synthetic y0"}
    ratios = {"real": "r = ", "synthetic": "r' = ", "proto": ""}
    for role, (text, tokens, logp, reference) in RESPONSES.items():
        ratio = f"{ratios[role]}{_signed(logp - reference, 1)}"
        logps = f"{_signed(logp, 1)} | {_signed(reference, 1)}"
        lines.append(f'| {symbols[role]}: "{text}" | {tokens} | {logps} | {ratio} |')
    lines += ["", "softplus(x) = log(1 + e^x); \\|y\\| counts tokens, the closing one included.", ""]
    lines += ["| objective | worked | loss |", "| --- | --- | --- |"]
    results = {name: loss_and_slopes(name) for name in WORKED}
    lines += [f"| `{name}` | {worked} | {results[name][0]:.4f} |" for name, worked in WORKED.items()]
    lines += [
        "",
        "| objective | slope by log p(real) | by log p(synthetic) | by log p(proto-synthetic) |",
        "| --- | --- | --- | --- |",
    ]
    for name, (_, slopes) in results.items():
        cells = ["not seen" if slope is None else _signed(slope, 4) for slope in slopes.values()]
        lines.append(f"| `{name}` | {' | '.join(cells)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    rewrite(PAGE, "worked example", worked_example())
