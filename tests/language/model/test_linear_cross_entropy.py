"""Log-probabilities and gradients of tokens equal those of float64, over any vocabulary, and without an autograd graph."""

import math

import pytest
import torch

from harness.language.model import linear_cross_entropy
from harness.language.model.linear_cross_entropy import OutputLayer, chunk_rows, token_logps

VOCABULARIES = (900, 32_000, 49_152, 151_936, 262_144)
UNIT = 2.0**-24  # largest relative error of rounding to float32


KINDS = {  # standard deviation of the logits, and the highest ones of a row: how many, and how far above the others
    "flat": (0.1, 0, (0, 0)),
    "spread": (3.0, 0, (0, 0)),
    "peaked": (1.0, 1, (5, 25)),
    "certain": (0.1, 1, (16.7, 18)),  # each other word's share is less than float32 can add to the first's
    "two": (0.5, 2, (10, 20)),
}


def make_logits(kind, rows, vocab_size):
    """(rows, V) logits and (rows,) tokens, every other one the likeliest."""
    generator = torch.Generator().manual_seed(0)
    scale, num_peaks, (low, high) = KINDS[kind]
    logits = torch.randn(rows, vocab_size, generator=generator) * scale
    for peak in range(num_peaks):
        columns = torch.randint(0, vocab_size, (rows,), generator=generator)
        logits[torch.arange(rows), columns] = torch.linspace(low, high, rows) + peak / 8
    target = torch.randint(0, vocab_size, (rows,), generator=generator)
    return logits, torch.where(torch.arange(rows) % 2 == 0, logits.argmax(-1), target)


@pytest.mark.parametrize("vocab_size", VOCABULARIES)
def test_a_value_is_that_of_float64_within_the_bound_of_its_roundings_and_without_bias(vocab_size):
    """The bound is that of the module; at 262,144 words 1.9e-6. A bias could only come from exponentials, off by a unit each."""
    bound = (math.log(vocab_size) + 4 + 15) * UNIT
    assert bound < 2e-6
    for kind in KINDS:
        logits, target = make_logits(kind, 8, vocab_size)
        exact = torch.log_softmax(logits.double(), -1).gather(1, target[:, None]).squeeze(1)
        errors = token_logps(logits, target, lambda same: same, 5)[0] - exact
        assert float(errors.abs().max()) <= bound
        assert abs(float(errors.mean())) <= 2 * UNIT


@pytest.mark.parametrize("vocab_size", VOCABULARIES)
def test_the_gradient_by_hand_is_that_of_float64_autograd(vocab_size):
    """Relative to each row's largest entry, also where p = 1 - 1e-6 and a row's entries are as small as that."""
    generator = torch.Generator().manual_seed(1)
    weight, bias = torch.randn(vocab_size, 4, generator=generator), torch.randn(vocab_size, generator=generator)
    hidden, target = torch.randn(5, 4, generator=generator), torch.randint(0, vocab_size, (5,), generator=generator)
    bias[target[4]] = ((0.7 * bias).exp().sum().log() + 14.0) / 0.7
    hidden[4] = 0.0
    exact = hidden.double().requires_grad_()
    wide = torch.log_softmax((exact @ weight.double().T + bias.double()) * 0.7, -1).gather(1, target[:, None]).squeeze(1)
    (expected,) = torch.autograd.grad(wide.sum(), exact)
    single = hidden.clone().requires_grad_()
    logps, _ = token_logps(single, target, OutputLayer(weight, bias, 0.7), 3)
    (grads,) = torch.autograd.grad(logps.sum(), single)
    assert float((logps - wide).detach().abs().max()) < 1e-5, "float32 logits of 10 or so"
    assert float(((grads - expected).abs().max(1).values / expected.abs().max(1).values).max()) < 1e-4
    assert float(expected[4].abs().max()) < 1e-5


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_in_half_precision_values_are_float32s_and_gradients_finite_over_any_vocabulary(dtype):
    """70,000 words, all but equal: the sum of their exponentials is more than float16 holds."""
    generator = torch.Generator().manual_seed(2)
    weight = torch.randn(70_000, 8, generator=generator).to(dtype)
    hidden, target = (
        (torch.randn(4, 8, generator=generator) * 0.01).to(dtype),
        torch.randint(0, 70_000, (4,), generator=generator),
    )
    layer, given = OutputLayer(weight), hidden.clone().requires_grad_()
    logps, _ = token_logps(given, target, layer, 3)
    (grads,) = torch.autograd.grad(logps.sum(), given)
    exact = torch.log_softmax(layer(hidden).double(), -1).gather(1, target[:, None]).squeeze(1)
    assert float((logps.detach() - exact).abs().max()) < 2e-6
    expected = weight[target].double() - torch.softmax(layer(hidden).double(), -1) @ weight.double()
    assert float((grads.double() - expected).abs().max()) < 2.0**-6 * float(expected.abs().max())


@pytest.mark.parametrize("chunk", [1, 3, 100])
@pytest.mark.parametrize("by_hand", [True, False])
def test_the_projection_in_chunks_has_the_values_and_gradients_of_the_whole(chunk, by_hand, monkeypatch):
    """By hand for a linear output layer, by autograd for any other; in parts of two rows within a chunk."""
    monkeypatch.setattr(linear_cross_entropy, "CACHED_SIZE", 2 * 37)
    torch.manual_seed(0)
    hidden = torch.randn(7, 5, dtype=torch.float64, requires_grad=True)
    layer = OutputLayer(torch.randn(37, 5, dtype=torch.float64), torch.randn(37, dtype=torch.float64), 1.3)
    target, incoming = torch.randint(0, 37, (7,)), torch.randn(7, dtype=torch.float64)
    whole = torch.log_softmax(layer(hidden), dim=-1).gather(1, target[:, None])[:, 0]
    (expected,) = torch.autograd.grad(whole, hidden, incoming)
    logps, _ = token_logps(hidden, target, layer if by_hand else lambda rows: layer(rows), chunk)
    (grads,) = torch.autograd.grad(logps, hidden, incoming)
    assert torch.allclose(logps, whole, atol=1e-12)
    assert torch.allclose(grads, expected, atol=1e-12)


def test_a_sum_over_many_unlikely_tokens_is_that_of_float64():
    """4000 float32 values of -15 nats or so: a float32 sum of them is off by 0.01, one of rounded values by 1e-5."""
    torch.manual_seed(0)
    hidden, weight = torch.randn(4000, 32), torch.randn(900, 32) * 0.8
    target = torch.randint(0, 900, (4000,))
    exact = torch.log_softmax((hidden @ weight.T).double(), dim=-1).gather(1, target[:, None])[:, 0]
    for with_gradients in (False, True):
        logp = token_logps(hidden.requires_grad_(with_gradients), target, OutputLayer(weight), 4000)[0].detach()
        assert float((logp - exact).abs().max()) < 1e-6 and abs(float(logp.sum() - exact.sum())) < 1e-5


def test_of_equal_logits_the_first_is_greedy():
    logits = torch.tensor([[0.0, 2.0, 2.0], [0.0, 2.0, 2.0], [3.0, 2.0, 2.0], [1.0, 1.0, 1.0]])
    _, is_likeliest = token_logps(logits, torch.tensor([1, 2, 1, 0]), lambda same: same, 3, with_greedy=True)
    assert is_likeliest.tolist() == [True, False, False, True]


def test_no_tokens_have_no_values():
    logps, is_likeliest = token_logps(torch.zeros(0, 4), torch.zeros(0, dtype=torch.long), OutputLayer(torch.ones(9, 4)), 3, True)
    assert logps.shape == is_likeliest.shape == (0,)


def test_a_chunk_has_enough_rows_for_a_product_whatever_the_vocabulary():
    assert [chunk_rows(n) for n in VOCABULARIES] == [18_641, 524, 341, 256, 256]
