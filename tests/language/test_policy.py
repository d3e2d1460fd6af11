"""Log-probabilities and sampling equal the plainest computation, and a player is exactly what was saved."""

import numpy as np
import peft
import pytest
import torch

from harness.config import GenerationConfig
from harness.language.model.choosing import SamplingParams, inverse_cdf_sample
from harness.language.policy import split_batches
from tests.conftest import make_policy
from tests.helpers.sampled import PROMPTS, plain_logps, rows_of


def test_scores_equal_one_row_at_a_time_whatever_the_batch(policy):
    rows = rows_of(policy)
    with torch.no_grad():
        expected = plain_logps(policy.model, rows).tolist()
    for columns in (1, 40, 4096):
        assert policy.score(rows, columns) == pytest.approx(expected, abs=1e-10)


def test_samples_follow_the_policys_own_probabilities(policy):
    """First tokens of 4,000 draws against the softmax at the prompt's end: chi-square below its 99.9 % point."""
    prompt, draws = [1, 3, 20, 4], 4000
    drawn = policy.sample([prompt] * draws, list(range(draws)), GenerationConfig(max_new_tokens=1, batch_size=1000))
    with torch.no_grad():
        p = torch.softmax(policy.model(input_ids=torch.tensor([prompt])).logits[0, -1], dim=-1).numpy()
    counts = np.bincount([d.token_ids[0] for d in drawn], minlength=len(p))
    common = p * draws >= 5
    observed, expected = (np.append(n[common], n[~common].sum()) for n in (counts, p * draws))
    freedom = len(observed) - 1
    assert ((observed - expected) ** 2 / expected).sum() < freedom + 3.1 * np.sqrt(2 * freedom) + 10


def test_the_closing_token_is_there_only_if_it_was_drawn(policy):
    drawn = policy.sample(PROMPTS * 30, list(range(330)), GenerationConfig(max_new_tokens=40))
    stops = policy.template.stop_ids
    assert {d.finished for d in drawn} == {True, False}
    for one in drawn:
        assert one.finished == (one.token_ids[-1] in stops) and not stops & set(one.token_ids[:-1])
        assert one.finished or len(one.token_ids) == 40


@pytest.mark.parametrize(
    ("probabilities", "params", "tokens"),
    [
        # 0.5 / 0.8 = 0.625 goes to the first; the token that crosses the share is still in
        ([0.5, 0.3, 0.15, 0.05], SamplingParams(top_p=0.6), {0.1: 0, 0.62: 0, 0.63: 1, 0.99: 1}),
        ([0.8, 0.2], SamplingParams(), {0.7: 0, 0.81: 1}),
        # 0.8^(1/4) / (0.8^(1/4) + 0.2^(1/4)) = 0.586
        ([0.8, 0.2], SamplingParams(temperature=4.0), {0.58: 0, 0.59: 1}),
    ],
)
def test_a_uniform_is_inverted_through_the_cumulative_distribution(probabilities, params, tokens):
    logp = torch.log(torch.tensor([probabilities], dtype=torch.float64))
    for uniform, token in tokens.items():
        assert int(inverse_cdf_sample(logp, torch.tensor([uniform], dtype=torch.float64), params)) == token


def test_an_opponent_scores_its_own_samples_as_it_drew_them(policy, tmp_path):
    """The opponent of iteration 1 is the trained adapter, never the bare base (the classic LoRA mistake)."""
    rows = rows_of(policy)
    own = policy.score(rows, 64)
    policy.save_adapter(tmp_path / "adapter")
    with policy.model.disable_adapter():
        bare = policy.score(rows, 64)
    policy.reset_adapter(0)
    assert policy.score(rows, 64) == pytest.approx(bare, rel=1e-12), "the initial policy is the base"
    policy.load_adapter(tmp_path / "adapter")
    assert policy.score(rows, 64) == pytest.approx(own, rel=1e-12), "the saved adapter is the trained one"
    assert max(abs(a - b) for a, b in zip(own, bare, strict=True)) > 0.1


def test_peft_itself_loads_the_saved_adapter(policy, tokenizer, tmp_path):
    rows = rows_of(policy)
    policy.save_adapter(tmp_path / "adapter")
    other = make_policy(tokenizer)
    other.model = peft.PeftModel.from_pretrained(other.model.unload(), str(tmp_path / "adapter")).double().eval()
    assert other.score(rows, 64) == pytest.approx(policy.score(rows, 64), abs=1e-5)


def test_an_adapter_of_another_rank_is_refused(policy, tokenizer, tmp_path):
    make_policy(tokenizer, rank=2).save_adapter(tmp_path / "adapter")
    with pytest.raises(ValueError, match="another base model, rank or targets"):
        policy.load_adapter(tmp_path / "adapter")


def test_only_the_adapter_is_trainable_and_dropout_is_off(policy):
    trainable = {n for n, p in policy.model.named_parameters() if p.requires_grad}
    assert trainable == {n for n, _ in policy.adapter_parameters()} and not policy.model.training
    assert all(m.p == 0 for m in policy.model.modules() if isinstance(m, torch.nn.Dropout))


@pytest.mark.parametrize("num_requests", [1, 31, 32, 100, 127, 128, 129, 1000, 5000])
def test_two_threads_have_batches_of_their_own_from_32_requests_on(policy, num_requests):
    """Without looking at the number of threads; none of more rows than products gain from, none of fewer than they need."""
    count = policy.num_generation_batches(num_requests, 256)
    sizes = [len(batch) for batch in split_batches([[n] for n in range(num_requests)], count)]
    assert len(sizes) == count and sum(sizes) == num_requests
    assert count == 1 if num_requests < 32 else count % 2 == 0 and min(sizes) >= 16 and max(sizes) <= 600
