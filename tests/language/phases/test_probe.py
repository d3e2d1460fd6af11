"""What the probe measures, by hand; and distances between players against their definition."""

import math
import statistics
from types import SimpleNamespace

import pandas as pd
import pytest
import torch

from harness.config import GenerationConfig
from harness.language.phases.diagnostics import (
    distinct_2,
    mean_measurement,
    ratio_measurement,
    repetition,
    reward_margins,
    run_diagnostics,
)
from harness.language.records import Example
from harness.records import PromptGroup
from harness.reporting.report.content.dynamics import kl_note
from harness.world import EarlierCheckpoint
from tests.conftest import make_policy, randomize_adapter
from tests.helpers.peers import quiet
from tests.helpers.sampled import plain_logps

EXAMPLES = [Example(str(i), f"what is {i} ?", f"it is {i} .", f"what is {i} ?") for i in range(6)]
SETTINGS = GenerationConfig(max_new_tokens=8)


def test_means_and_ratios_with_their_errors_by_hand():
    """1 2 3: mean 2, sample variance 1, standard error sqrt(1 / 3).

    (2 + 4) / (1 + 3) = 1.5; residuals 2 - 1.5 = 0.5 and 4 - 4.5 = -0.5 over the mean bottom 2: 0.25 each; sqrt(0.125 / 2).
    """
    mean = mean_measurement("x", [1.0, 2.0, 3.0], "tokens")
    assert (mean.value, mean.n, mean.stderr) == (2.0, 3, pytest.approx(math.sqrt(1 / 3)))
    assert mean_measurement("x", [1.0], "tokens").stderr is None
    ratio = ratio_measurement("x", [2.0, 4.0], [1.0, 3.0], "nats per token")
    assert (ratio.value, ratio.stderr) == (1.5, pytest.approx(math.sqrt(0.125 / 1 / 2)))


def test_repetition_and_distinct_2_by_hand():
    """1 2 1 2 1: pairs 12 21 12 21, two of four said before: 0.5. 1 2 3: none. One token: none. Mean 1/6.

    Distinct-2 counts over all responses, and is absent without a pair.
    """
    assert repetition([[1, 2, 1, 2, 1], [1, 2, 3], [7]]).value == pytest.approx(1 / 6)
    (found,) = distinct_2([[1, 2, 3], [1, 2]])
    assert (found.value, found.n) == (pytest.approx(2 / 3), 3)
    assert distinct_2([[1], [2]]) == []


def test_rewards_by_hand():
    """Prompt 1: real -2 -> -1, synthetic -3 -> -4: margin 1 + 1 = 2, reward and likelihood agree. Prompt 2: real -5 -> -4,
    synthetic -1 -> -1: margin 1, but the synthetic one stays likelier: no. Prompt 3 said the real one: margin 0, not counted.
    """
    drawn = ((8, -3.0, -2.0), (8, -1.0, -5.0), (1, -2.0, -2.0))
    said = [{"token_ids": [token], "logp": logp, "real_logp": real} for token, logp, real in drawn]
    margin, agreement = reward_margins(said, [[1], [1], [1]], [-1.0, -4.0, -2.0], [-4.0, -1.0, -2.0])
    assert margin.value == pytest.approx((2 + 1 + 0) / 3)
    assert (agreement.value, agreement.n) == (0.5, 2)


def measured(policy, forerunners):
    done = run_diagnostics(policy, EXAMPLES, SETTINGS, 32, None, quiet, forerunners)
    return {m.name: m for m in done.measurements}, done.samples


def become(policy, seed):
    policy.reset_adapter(seed)
    randomize_adapter(policy.adapter_parameters())


def log_probabilities(policy, rows):
    groups = [PromptGroup(policy.encoder.prompt(e), [row["token_ids"]]) for e, row in zip(EXAMPLES, rows, strict=True)]
    with torch.no_grad():
        return plain_logps(policy.model, groups).tolist()


def test_the_distance_to_oneself_is_nil_and_without_anothers_samples_one_direction_is_not_known(tokenizer):
    policy = make_policy(tokenizer)
    _, said = measured(policy, {})
    alone, _ = measured(policy, {"previous": EarlierCheckpoint(lambda: None, said)})
    for name in ("kl_previous", "kl_previous_policy", "reward_margin"):
        assert alone[name].value == pytest.approx(0, abs=1e-5)
    other, _ = measured(policy, {"initial": EarlierCheckpoint(lambda: policy.reset_adapter(0), [])})
    assert abs(other["kl_initial"].value) > 1e-3 and "kl_initial_policy" not in other


def test_both_directions_are_the_log_ratios_on_the_samples_of_either_player(tokenizer):
    """KL(policy || earlier) on the policy's samples, KL(earlier || policy) on the earlier player's, with their n and error."""
    policy = make_policy(tokenizer)
    become(policy, 1)
    _, said = measured(policy, {})
    theirs_on_theirs = log_probabilities(policy, said)
    become(policy, 2)
    found, samples = measured(policy, {"initial": EarlierCheckpoint(lambda: become(policy, 1), said)})
    theirs_on_mine = log_probabilities(policy, samples)
    become(policy, 2)
    mine_on_mine, mine_on_theirs = log_probabilities(policy, samples), log_probabilities(policy, said)
    ratios = {"kl_initial": (mine_on_mine, theirs_on_mine), "kl_initial_policy": (theirs_on_theirs, mine_on_theirs)}
    for name, (above, below) in ratios.items():
        gaps = [a - b for a, b in zip(above, below, strict=True)]
        assert found[name].value == pytest.approx(statistics.fmean(gaps), abs=1e-4)
        assert found[name].stderr == pytest.approx(statistics.stdev(gaps) / math.sqrt(len(gaps)), abs=1e-4)
        assert (found[name].n, found[name].unit) == (len(EXAMPLES), "nats per response")
    assert max(abs(found[n].value) for n in ("kl_initial", "kl_initial_policy")) > 1e-3
    assert found["kl_initial"].value != pytest.approx(found["kl_initial_policy"].value, abs=1e-3)


def drift(*names):
    return SimpleNamespace(drift=pd.DataFrame({"name": names}))


def test_the_report_says_which_direction_is_known():
    known = kl_note(drift("kl_previous", "kl_previous_policy", "kl_data_policy", "kl_policy_data"))
    assert "data and policy, in both directions" in known and "unknown" not in known and "one direction" not in known
    real = kl_note(drift("heldout_nll_per_token", "kl_previous", "kl_previous_policy"))
    assert "Held-out NLL is KL(data ‖ policy) plus the data's own entropy" in real and "KL(policy ‖ data) is unknown" in real
    assert "in one direction alone, KL(policy ‖ other): the other was not measured" in kl_note(drift("kl_previous"))
