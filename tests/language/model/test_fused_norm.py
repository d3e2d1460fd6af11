"""RMSNorm in pieces: the model's own values to the bit, the derivative of the formula, and nothing for norms of another kind."""

import pytest
import torch

from harness.language.model import fused_norm
from harness.language.model.fused_norm import FusedRMSNorm, RMSNormInPieces, fuse_norms
from harness.language.model.logprobs import collate, continuation_logps
from harness.records import PromptGroup
from tests.helpers.families import family

GROUPS = [PromptGroup([1, 5, 9, 30], [[40, 41, 2], [50, 2]]), PromptGroup([3], [[60, 61, 2, 9]])]


def test_the_gradient_is_the_derivative_of_the_formula(monkeypatch):
    """Of x / sqrt(mean(x^2) + 0.01) * weight in float64, by torch's own differentiation; pieces of 3 rows and a rest."""
    monkeypatch.setattr(fused_norm, "PIECE_SIZE", 3 * 16)
    torch.manual_seed(0)
    x, weight, incoming = (
        torch.randn(10, 16, dtype=torch.float64, requires_grad=True),
        torch.randn(16).double(),
        torch.randn(10, 16),
    )
    expected = x / (x.pow(2).mean(-1, keepdim=True) + 0.01).sqrt() * weight
    found = RMSNormInPieces.apply(x, weight, 0.01)
    assert torch.allclose(found, expected, atol=1e-12)
    wanted, got = (torch.autograd.grad(output, x, incoming)[0] for output in (expected, found))
    assert torch.allclose(got, wanted, atol=1e-12)


@pytest.mark.parametrize(("name", "count"), [("llama", 5), ("qwen3", 9), ("gemma3", 0), ("gpt2, learned positions", 0)])
def test_a_model_with_fused_norms_has_the_values_of_before(name, count, monkeypatch):
    """Gemma's weights are differences from one, GPT-2's norms subtract the mean: both stay as they are."""
    model = family(name, torch.float32)
    for module in model.modules():
        if type(module).__name__.endswith("RMSNorm"):
            torch.nn.init.uniform_(module.weight, 0.5, 2.0)
    parameters = [p for n, p in model.named_parameters() if "lora_" in n]

    def run():
        logps = continuation_logps(model, collate(GROUPS, "packed"), "packed").logps
        return logps.detach(), torch.cat([g.flatten() for g in torch.autograd.grad(logps.sum(), parameters)])

    logps, gradient = run()
    assert fuse_norms(model) == count == sum(isinstance(module, FusedRMSNorm) for module in model.modules())
    calls, apply = [], RMSNormInPieces.apply
    monkeypatch.setattr(RMSNormInPieces, "apply", lambda *a: calls.append(1) or apply(*a))
    run()
    assert not calls  # so small an input gains nothing
    monkeypatch.setattr(fused_norm, "MIN_SIZE", 0)
    fused_logps, fused_gradient = run()
    assert len(calls) == count and torch.equal(fused_logps, logps)
    assert torch.allclose(fused_gradient, gradient, rtol=0, atol=1e-5 * float(gradient.abs().max()))
