"""What a GPU computes is what a processor computes: log-probabilities, samples and training on another device.

The device is a stand-in (`tests.helpers.other_device`), in float64: every number is the processor's, and a tensor that is left
behind on the processor is an error.
"""

import pytest
import torch

from harness.language.model import linear_cross_entropy
from harness.language.model.linear_cross_entropy import OutputLayer, token_logps
from harness.language.model.sampling import Request, SamplingParams
from harness.records import PromptGroup
from objectives.space import SPACE
from tests.conftest import make_policy
from tests.helpers.other_device import DEVICE, DeviceTensor, OtherDevice, move
from tests.helpers.training import make_groups, run, weights

START = [3 + n for n in range(40)]  # what all prompts begin with
GROUPS = [PromptGroup([*START, 5, 9, k], [[40, 41, k], [50, 2], [60 + k] * (k + 1)]) for k in range(6)]
SETTINGS = [
    SamplingParams(),
    SamplingParams(temperature=0.0),
    SamplingParams(temperature=0.7, top_p=0.9, top_k=50, banned_ids=(7,)),
]


@pytest.fixture
def policies(tokenizer):
    """Two equal policies, of which the second is on the other device."""
    here, there = make_policy(tokenizer), make_policy(tokenizer)
    with OtherDevice():
        move(there.model)
        yield here, there


def test_a_tensor_of_the_processor_is_refused_on_the_other_device():
    with OtherDevice():
        numbers = torch.arange(3, device=DEVICE)
        assert numbers.device == DEVICE and (numbers * 2 + torch.tensor(1)).tolist() == [1, 3, 5]
        with pytest.raises(RuntimeError, match="same device"):
            numbers + torch.arange(3)


@pytest.mark.parametrize("by_hand", [True, False])
def test_the_log_probability_of_a_token_and_its_gradient(by_hand, monkeypatch):
    """A row at a time as in a processor's cache, all rows at once elsewhere."""
    monkeypatch.setattr(linear_cross_entropy, "CACHED_SIZE", 1)
    generator = torch.Generator().manual_seed(0)
    hidden, weight = (torch.randn(n, 8, generator=generator, dtype=torch.float64) for n in (7, 500))
    target = torch.randint(0, 500, (7,), generator=generator)

    def computed(hidden, weight, target):
        layer, hidden = OutputLayer(weight, scale=0.5), hidden.requires_grad_()
        logps, _ = token_logps(hidden, target, layer if by_hand else lambda rows: layer(rows), 3)
        (grads,) = torch.autograd.grad(logps.sum(), hidden)
        _, is_likeliest = token_logps(hidden.detach(), target, layer, 3, with_greedy=True)
        return logps.detach(), grads, is_likeliest

    expected = computed(hidden.clone(), weight, target)
    with OtherDevice():
        values = computed(*(DeviceTensor(x.clone()) for x in (hidden, weight, target)))
    assert all(
        isinstance(x, DeviceTensor) and torch.allclose(x.inner, y, atol=1e-12) for x, y in zip(values, expected, strict=True)
    )


def test_scores_with_a_shared_beginning_or_without(policies):
    here, there = policies
    assert there.device == DEVICE and here.device.type == "cpu"
    assert there.score(GROUPS, 100) == pytest.approx(here.score(GROUPS, 100), rel=0, abs=1e-12)
    values, expected = (policy.loglikelihood(GROUPS * 3, 200) for policy in (there, here))
    assert [x for x, _ in values] == pytest.approx([x for x, _ in expected], rel=0, abs=1e-12)
    assert [greedy for _, greedy in values] == [greedy for _, greedy in expected]


@pytest.mark.parametrize("params", SETTINGS)
def test_samples_token_by_token(policies, params):
    """More requests than rows at a time, so that rows end, are compacted and are filled again."""
    requests = [Request([*START[: 20 * (n % 2)], 5, n], n, 3 + n % 5) for n in range(8)]
    here, there = (policy.generate_tokens(requests, params, frozenset([2]), 3) for policy in policies)
    assert [tokens.ids for tokens in there] == [tokens.ids for tokens in here]
    if params.temperature:
        assert [tokens.logp for tokens in there] == pytest.approx([tokens.logp for tokens in here], rel=0, abs=1e-12)


def test_training(policies):
    here, there = policies
    groups = make_groups(here, SPACE().needs)
    for policy in policies:
        run(policy, groups, SPACE(), micro_batch=2, epochs=1)
    trained, before = weights(there), weights(make_policy(here.tokenizer))
    assert all(torch.allclose(trained[name].cpu(), value, atol=1e-9) for name, value in weights(here).items())
    assert any(float((trained[name].cpu() - value).abs().max()) > 1e-4 for name, value in before.items())
