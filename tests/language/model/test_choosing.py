"""A token chosen in two levels is the float64 inverse of the cumulative distribution, and its kept log-probability is exact."""

import pytest
import torch

from harness.language.model.choosing import BLOCK_SIZE, SamplingParams, choose_tokens

BANNED = (0, 5, BLOCK_SIZE, *range(1990, 2100))  # single ids and the end of a padded vocabulary, a whole block with it


def rows_of_logits(vocab_size, scale):
    generator = torch.Generator().manual_seed(vocab_size)
    return torch.randn((4, vocab_size), generator=generator) * scale


def exact(logits, uniform, banned=()):
    """Tokens and log-probabilities in float64 over the whole vocabulary, one row of logits for many uniforms."""
    logp = torch.log_softmax(logits.double(), -1)
    allowed = logp.exp()
    allowed[list(banned)] = 0.0
    cumulative = allowed.cumsum(0) / allowed.sum()
    tokens = torch.searchsorted(cumulative, uniform, right=True)
    return tokens, logp[tokens]


@pytest.mark.parametrize("banned", [(), BANNED])
@pytest.mark.parametrize("vocab_size", [2100, 3 * BLOCK_SIZE, 40])
@pytest.mark.parametrize("scale", [0.5, 3.0, 8.0])
def test_tokens_and_log_probabilities_are_those_of_float64(vocab_size, scale, banned):
    """25,000 uniforms for each of 4 rows; float32 exponentials move an edge by about 1e-7 of the whole, of which few lie near."""
    banned = tuple(i for i in banned if i < vocab_size)
    uniform = torch.rand(25_000, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    different = 0
    for row in rows_of_logits(vocab_size, scale):
        expected, expected_logp = exact(row, uniform, banned)
        parts = [choose_tokens(row.expand(len(u), -1), u, SamplingParams(banned_ids=banned)) for u in uniform.split(2500)]
        tokens, logp = (torch.cat(values) for values in zip(*parts, strict=True))
        same = tokens == expected
        different += int((~same).sum())
        assert not set(tokens.tolist()) & set(banned)
        assert float((logp - expected_logp)[same].abs().max()) < 1e-6
        counts = torch.bincount(tokens, minlength=vocab_size)
        wanted = torch.bincount(expected, minlength=vocab_size)
        assert int((counts - wanted).abs().max()) <= 2
    assert different < 1e-4 * 4 * len(uniform)


def test_kept_log_probabilities_have_no_bias_over_a_real_vocabulary():
    """49,152 words, peaked as a model's: the mean error of 64 rows is far below the largest."""
    logits = torch.randn((64, 49_152), generator=torch.Generator().manual_seed(0)) * 2
    logits[:, 100] += 12.0
    uniform = torch.rand(64, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    tokens, logp = choose_tokens(logits, uniform, SamplingParams())
    error = logp - torch.log_softmax(logits.double(), -1).gather(1, tokens[:, None]).squeeze(1)
    assert float(error.abs().max()) < 1e-6 and abs(float(error.mean())) < 1e-7


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_the_ends_of_the_unit_interval_choose_a_token_that_is_possible(dtype):
    """Almost all mass on one token inside a block; 0 and the largest uniform fall on the first and the last with any."""
    logits = torch.full((2, 700), -torch.inf, dtype=dtype)
    logits[:, [3, 300, 600]] = torch.tensor([-40.0, 0.0, -40.0], dtype=dtype)
    tokens, logp = choose_tokens(logits, torch.tensor([0.0, 1 - 2**-53], dtype=torch.float64), SamplingParams())
    assert tokens.tolist()[0] == 3 and tokens.tolist()[1] in (300, 600) and bool(logp.isfinite().all())


def test_where_nothing_can_be_chosen_the_value_is_not_finite():
    uniform = torch.tensor([0.5], dtype=torch.float64)
    for value in (torch.nan, torch.inf, -torch.inf):
        logits = torch.full((1, 600), value)
        assert not bool(choose_tokens(logits, uniform, SamplingParams())[1].isfinite().any())
    banned_alone = torch.zeros((1, 600))
    banned_alone[0, 7] = torch.nan
    assert not bool(choose_tokens(banned_alone, uniform, SamplingParams(banned_ids=(7,)))[1].isfinite().any())
