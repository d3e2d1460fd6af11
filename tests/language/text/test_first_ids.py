"""How well the first ids tell real from synthetic responses: against values worked by hand, and against chance."""

import numpy as np
import pandas as pd
import pytest

from harness.language.text.first_ids import DEPTHS, measure_first_ids
from harness.reporting.tables.first_ids import COLUMNS, first_ids_sentence


def drawn(shares, n, seed=0):
    """n responses whose first id has these shares; what follows tells nothing."""
    generator = np.random.default_rng(seed)
    return [[int(i), 5, 2] for i in generator.choice(len(shares), n, p=shares)]


def test_one_token_that_only_real_responses_have_tells_them_all():
    found = measure_first_ids([[9, 1, 2]] * 50, [[1, 2, 3]] * 50, ("a",))
    assert [one.depth for one in found] == list(DEPTHS) and found[0].n == 25
    assert found[0].accuracy == 1.0 and found[0].halves == 0.5 and found[0].telling
    assert (found[0].told_by, found[0].real_share, found[0].synthetic_share) == ((9,), 1.0, 0.0)


def test_the_accuracy_is_that_of_the_best_classifier():
    """First ids with shares (0.8, 0.2) and (0.4, 0.6): 0.5 + 0.4 / 2 = 0.7, whatever the sample."""
    found = measure_first_ids(drawn((0.8, 0.2), 8000), drawn((0.4, 0.6), 8000, 1), ("a",))
    assert found[0].accuracy == pytest.approx(0.7, abs=0.02)
    assert found[0].telling and abs(found[0].real_share - found[0].synthetic_share) == pytest.approx(0.4, abs=0.03)


def test_two_samples_of_one_distribution_are_seldom_told_apart():
    """In 60 pairs of samples: above all 200 splits of the real ones with probability 1/201 each, so hardly ever three times."""
    shares = np.full(40, 1 / 40)
    told = [measure_first_ids(drawn(shares, 200, 2 * k), drawn(shares, 200, 2 * k + 1), (k,))[0] for k in range(60)]
    assert sum(one.telling for one in told) <= 3
    assert np.mean([one.accuracy - one.halves for one in told]) == pytest.approx(0, abs=0.01)
    assert min(one.halves for one in told) > 0.6, "few responses and many ids look different by chance alone"


def test_the_same_responses_give_the_same_numbers_and_too_few_give_none():
    real, synthetic = drawn((0.5, 0.5), 40), drawn((0.5, 0.5), 40, 1)
    assert measure_first_ids(real, synthetic, ("a",)) == measure_first_ids(real, synthetic, ("a",))
    assert measure_first_ids(real[:3], synthetic, ("a",)) == [] and measure_first_ids(real, synthetic[:1], ("a",)) == []


def test_the_line_names_the_worst_set_and_its_token():
    rows = [
        ("spin", 0, 1, 1, 50, 0.9, 0.55, 0.6, True, "▁", 1.0, 0.2, "a/first_ids.json"),
        ("spin", 0, 2, 1, 50, 0.56, 0.55, 0.6, False, "the", 0.5, 0.4, "b/first_ids.json"),
    ]
    table = pd.DataFrame(rows, columns=COLUMNS)
    said = first_ids_sentence(table)
    assert "in 1 of 2 sets" in said and "spin (seed 0, iteration 1): accuracy 0.90" in said and "real 100%, synthetic 20%" in said
    assert first_ids_sentence(table[1:]) is None
