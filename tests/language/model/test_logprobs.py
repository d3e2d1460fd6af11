"""One prefix with its continuations gives the numbers and the gradients of one row per continuation, for every family."""

import dataclasses
import math

import pytest
import torch

from harness.language.model.attention_blocks import cut_everywhere
from harness.language.model.logprobs import collate, continuation_logps, prefill_prefix, token_logps
from harness.language.model.packing import PackedBatch
from harness.language.model.verify import choose_layout
from harness.records import PromptGroup
from tests.helpers.families import FAMILIES, SINGLE, WITHOUT_MASK, family
from tests.helpers.sampled import plain_logps

GROUPS = [
    PromptGroup([1, 5, 9, 30], [[40, 41, 2], [50, 2]]),
    PromptGroup([1, 6, 9, 30, 77, 78, 12, 13, 14], [[60, 61, 2, 9, 9, 8, 7], [50], [33, 44]]),
    PromptGroup([3], [[60, 61, 2, 9], [], [60, 61, 2, 9]]),
]
ALL = [(group, list(c)) for group in GROUPS for c in group.responses]


def gradients(model, logps):
    """Gradient of a fixed weighting of the log-probabilities, by adapter parameter."""
    model.zero_grad()
    weights = torch.linspace(-1.0, 2.0, len(ALL), dtype=logps.dtype)
    (logps * weights).sum().backward()
    return {n: p.grad.clone() for n, p in model.named_parameters() if "lora_" in n}


KINDS = [(n, torch.float64, 1e-10) for n in FAMILIES] + [(n, torch.float32, 1e-5) for n in FAMILIES | SINGLE]


def batch(layout, prefix_length=0):
    """GROUPS in a layout; in blocks although so few columns are cheaper without."""
    packed = collate(GROUPS, layout, prefix_length)
    return cut_everywhere(packed) if layout == "blocks" else packed


# Scores that a family caps are not computed in blocks.
CASES = [(layout, *kind) for layout in ("packed", "rows") for kind in KINDS]
CASES += [("blocks", *kind) for kind in KINDS if kind[0] not in SINGLE]


@pytest.mark.parametrize(("layout", "name", "dtype", "tolerance"), CASES)
def test_values_and_gradients_equal_one_row_per_continuation(layout, name, dtype, tolerance):
    """Gradients are compared relative to the largest one: they are sums over tokens of either sign."""
    model = family(name, dtype)
    expected = plain_logps(model, GROUPS)
    found = continuation_logps(model, batch(layout), layout).logps
    per_token = torch.tensor([max(1, len(c)) for _, c in ALL])
    assert float(((found - expected) / per_token).detach().abs().max()) <= tolerance
    wanted, got = gradients(model, expected), gradients(model, found)
    scale = max(float(g.abs().max()) for g in wanted.values())
    assert scale > 0.1 and max(float((wanted[n] - got[n]).abs().max()) for n in wanted) <= tolerance * scale * 2


@pytest.mark.parametrize("layout", ["blocks", "packed"])
@pytest.mark.parametrize("name", FAMILIES)
def test_a_beginning_kept_as_keys_and_values_changes_nothing(name, layout):
    model, start = family(name), [7, 8, 9, 10, 11, 12, 90]
    with torch.no_grad():
        expected = plain_logps(model, GROUPS, start)
        kept = prefill_prefix(model, start)
        for _ in range(2):  # the second use finds the cache as the first one did
            found = continuation_logps(model, batch(layout, len(start)), layout, kept).logps
            assert float((found - expected).abs().max()) <= 1e-10


@pytest.mark.parametrize("name", FAMILIES | SINGLE)
def test_the_start_up_comparison_finds_blocks_for_every_family_of_the_project_but_those_that_cap_scores(name):
    choice = choose_layout(family(name, torch.float32))
    assert choice.layout == ("packed" if name in SINGLE else "blocks") and choice.difference < 1e-4


@pytest.mark.parametrize("name", WITHOUT_MASK)
def test_a_family_that_takes_no_mask_of_ours_falls_back_to_rows_and_says_why(name):
    model = family(name)
    choice = choose_layout(model)
    assert choice.layout == "rows" and choice.reason
    with torch.no_grad():
        found = continuation_logps(model, collate(GROUPS, "rows"), "rows").logps
        assert float((found - plain_logps(model, GROUPS)).abs().max()) <= 1e-6  # attention in float32, as above


def test_a_wrong_mask_is_noticed_at_start_up(monkeypatch):
    """If continuations saw their siblings, the comparison would refuse the layout."""
    honest = PackedBatch.mask

    def blind(packed, *given, **named):
        return honest(dataclasses.replace(packed, stop=torch.full_like(packed.stop, packed.ids.shape[1])), *given, **named)

    monkeypatch.setattr(PackedBatch, "mask", blind)
    choice = choose_layout(family("llama", torch.float32))
    assert choice.layout == "rows" and "differs by" in choice.reason


def test_greedy_is_what_the_argmax_says_token_by_token():
    model = family("llama")
    with torch.no_grad():
        ids = [1, 5, 9]
        for _ in range(4):
            ids.append(int(model(input_ids=torch.tensor([ids])).logits[0, -1].argmax()))
        said, other = ids[3:], [*ids[3:6], (ids[6] + 1) % 97]
        packed = collate([PromptGroup(ids[:3], [said, other, said[:2]])], "packed")
        assert continuation_logps(model, packed, "packed", with_greedy=True).is_greedy.tolist() == [True, False, True]


def test_a_sum_over_many_unlikely_tokens_is_that_of_float64():
    """4000 float32 values of -15 nats or so: a float32 sum of them is off by 0.01, one of rounded values by 1e-5."""
    torch.manual_seed(0)
    hidden, weight = torch.randn(4000, 32), torch.randn(900, 32) * 0.8
    target = torch.randint(0, 900, (4000,))
    exact = torch.log_softmax((hidden @ weight.T).double(), dim=-1).gather(1, target[:, None])[:, 0]
    for with_gradients in (False, True):
        logp = token_logps(hidden.requires_grad_(with_gradients), target, lambda h: h @ weight.T, 4000)[0].detach()
        assert float((logp - exact).abs().max()) < 1e-6 and abs(float(logp.sum() - exact.sum())) < 1e-5


def test_a_continuation_is_summed_in_float64_in_a_float32_model():
    responses = [[(7 * i * i + 3 * i + k) % 97 for i in range(100)] for k in range(4)]
    packed = collate([PromptGroup([1, 5], responses)], "packed")
    kept = []
    with torch.no_grad(), pytest.MonkeyPatch.context() as patched:
        patched.setattr("harness.language.model.logprobs.token_logps", lambda *a: kept.append(token_logps(*a)) or kept[-1])
        found = continuation_logps(family("llama", torch.float32), packed, "packed").logps.tolist()
    values = kept[0][0].double()
    for number, value in enumerate(found):
        assert value == pytest.approx(math.fsum(values[packed.owner == number].tolist()), abs=1e-9)
    assert min(found) < -256  # where a float32 holds no more than 3e-5


@pytest.mark.parametrize("chunk", [1, 3, 100])
def test_the_projection_in_chunks_has_the_values_and_gradients_of_the_whole(chunk):
    torch.manual_seed(0)
    hidden = torch.randn(7, 5, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(11, 5, dtype=torch.float64)
    target, incoming = torch.randint(0, 11, (7,)), torch.randn(7, dtype=torch.float64)
    whole = torch.log_softmax(hidden @ weight.T, dim=-1).gather(1, target[:, None])[:, 0]
    (expected,) = torch.autograd.grad(whole, hidden, incoming)
    logp, _ = token_logps(hidden, target, lambda h: h @ weight.T, chunk)
    (found,) = torch.autograd.grad(logp, hidden, incoming)
    assert torch.allclose(logp, whole, atol=1e-12)
    assert torch.allclose(found, expected, atol=1e-12)


def test_no_tensor_of_rows_by_tokens_by_vocabulary_is_ever_made(monkeypatch):
    """Every tensor that leaves the output layer has at most a chunk's entries."""
    model = family("llama")
    monkeypatch.setattr("harness.language.model.logprobs.LOGITS_CHUNK_SIZE", 97 * 4)
    sizes = []
    head = model.get_base_model().get_output_embeddings()
    head.register_forward_hook(lambda module, inputs, output: sizes.append(output.numel()))
    continuation_logps(model, collate(GROUPS, "packed"), "packed").logps.sum().backward()
    assert max(sizes) <= 97 * 4 and sum(sizes) == 97 * sum(len(c) for _, c in ALL)
