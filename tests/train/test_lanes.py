"""Lanes change when work is done, never what comes out: order, gradients on or off, errors, and the bits of a trained player."""

import threading

import pytest
import torch

from harness.config import GenerationConfig
from harness.train.thread_pool import OrderedThreadPool
from objectives.space import SPACE
from tests.helpers.sampled import rows_of
from tests.helpers.training import make_groups, run, weights


def test_results_come_in_the_order_of_the_items_from_several_threads():
    meeting = threading.Barrier(3, timeout=10)  # passed only if three items are at work at once

    def work(item):
        meeting.wait()
        return item * item, threading.current_thread().name

    found = OrderedThreadPool(3).map(work, range(6))
    assert [value for value, _ in found] == [0, 1, 4, 9, 16, 25] and len({name for _, name in found}) == 3


@pytest.mark.parametrize("count", [1, 2])
def test_gradients_are_on_or_off_and_errors_raised_as_for_the_caller_and_torch_keeps_to_one_thread(count):
    lanes = OrderedThreadPool(count)
    for enabled in (True, False):
        with torch.set_grad_enabled(enabled):
            assert lanes.map(lambda _: torch.is_grad_enabled(), range(4)) == [enabled] * 4
    with pytest.raises(ZeroDivisionError):
        lanes.map(lambda n: 1 // n, [1, 0, 2])
    assert count == 1 or lanes.map(lambda _: torch.get_num_threads(), range(4)) == [1] * 4


@pytest.mark.parametrize("settings", [{"micro_batch": 1}, {"micro_batch": 2, "two_pass": True}])
def test_a_trained_player_has_the_same_bits_whatever_the_number_of_lanes(policy, tmp_path, settings):
    groups = make_groups(policy, SPACE().needs)
    policy.save_adapter(tmp_path / "start")
    players = []
    for count in (1, 2, 3):
        policy.pool = OrderedThreadPool(count)
        policy.load_adapter(tmp_path / "start")
        run(policy, groups, SPACE(), **settings)
        players.append(weights(policy))
    assert all(torch.equal(value, other[name]) for other in players[1:] for name, value in players[0].items())


def test_scores_and_samples_have_the_same_bits_too(policy):
    found = []
    rows = rows_of(policy)
    for count in (1, 3):
        policy.pool = OrderedThreadPool(count)
        drawn = policy.sample([r.prompt for r in rows] * 60, list(range(60 * len(rows))), GenerationConfig(max_new_tokens=5))
        found.append((policy.score(rows, 16), policy.loglikelihood(rows, 16), drawn))
    assert found[0] == found[1]
