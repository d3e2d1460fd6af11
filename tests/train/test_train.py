"""The training core: accumulation is exact, gradient caching is the same gradient, a wrong opponent stops it."""

import dataclasses
import json
from random import Random
from types import SimpleNamespace

import pytest
import torch

from harness.config import TrainingConfig
from harness.discovery.variants import list_objectives
from harness.records import PromptGroup
from harness.train.core import check_reference_matches
from harness.train.micro_batches import make_micro_batches
from harness.train.nonfinite import TrainingStopped
from harness.train.numerics import BFLOAT16_PRODUCTS
from harness.train.schedule import learning_rate, optimizer_batches
from objectives import LossOutput, Needs
from objectives.space import SPACE
from tests.helpers.training import PROMPTS, assert_same, gradients, make_groups, objective, run, weights


@pytest.mark.parametrize(("name", "settings"), [*((name, {}) for name in list_objectives()), ("space", {"mu": 7.0})])
def test_the_gradient_is_the_same_whatever_the_micro_batch_and_with_gradient_caching(policy, name, settings):
    """One prompt at a time, several, more than there are; responses in chunks that cut through a prompt's."""
    loss = objective(name, **settings)
    groups = make_groups(policy, loss.needs)
    assert len(groups[0].synthetic) == loss.needs.synthetic
    whole = gradients(policy, groups, loss, micro_batch=8, two_pass=False)
    for size, two_pass in ((1, False), (4, False), (1000, False), (3, True), (2, "auto")):
        assert_same(whole, gradients(policy, groups, loss, micro_batch=size, two_pass=two_pass))


@pytest.mark.parametrize("mu", [5, 15])
def test_no_pass_holds_more_responses_for_a_larger_mu(policy, mu):
    """Memory flat in mu: with gradients, at most a micro-batch of responses is in the model at a time."""
    loss = objective("space", mu=float(mu))
    groups = make_groups(policy, loss.needs)
    (part,) = make_micro_batches(policy, groups, loss, TrainingConfig(micro_batch=8))
    assert part.grad_cache and sum(chunk.count for chunk in part.chunks) == PROMPTS * (mu + 1)
    assert max(chunk.count for chunk in part.chunks) == 8
    assert max(chunk.ids.numel() for chunk in part.chunks) < 8 * 16


def test_a_loss_that_couples_rows_is_exact_whatever_the_micro_batch(policy):
    @dataclasses.dataclass(frozen=True)
    class Coupled(SPACE):
        @property
        def needs(self):
            return Needs(reference=True, synthetic=1, couples_batch=True)

        def loss(self, batch):
            inner = super().loss(batch).loss
            return LossOutput(inner * inner.mean())

    groups = make_groups(policy, Coupled().needs)
    assert_same(gradients(policy, groups, Coupled(), micro_batch=8), gradients(policy, groups, Coupled(), micro_batch=3))


def test_the_token_mean_divides_by_all_tokens_of_the_batch(policy):
    """SFT over unequal lengths: the gradient of (sum of log p) / (number of tokens), not of a mean of means."""
    groups = make_groups(policy, Needs())
    found = gradients(policy, groups, objective("sft"), micro_batch=3)
    names, parameters = zip(*policy.adapter_parameters(), strict=True)
    packed = policy.collate([PromptGroup(g.prompt, [g.real.content]) for g in groups])
    loss = -policy.response_logps(packed).sum() / sum(len(g.real.content) for g in groups)
    assert_same(found, dict(zip(names, torch.autograd.grad(loss, parameters), strict=True)))


@pytest.mark.parametrize("optimizer", ["rmsprop", "adamw"])
def test_training_lowers_the_loss_and_records_every_step(policy, optimizer):
    loss = objective("space")
    groups = make_groups(policy, loss.needs)
    counts, records = run(policy, groups, loss, lr=5e-3, optimizer=optimizer, micro_batch=2)
    assert counts["steps"] == len(records) == 4 and counts["step0_max_abs_log_ratio_per_token"] < 1e-9
    assert records[0].loss == pytest.approx(2 * 0.6931471805599453, abs=1e-9)
    assert records[-1].loss < records[0].loss
    assert records[-1].log_ratio["real"] > records[-1].log_ratio["synthetic"]
    assert sorted(records[0].example_ids + records[1].example_ids) == sorted(g.example_id for g in groups)
    json.dumps(dataclasses.asdict(records[0]), allow_nan=False)


def test_another_opponent_than_the_scored_one_is_refused_before_any_update(policy):
    loss = objective("space")
    groups = make_groups(policy, loss.needs)
    policy.reset_adapter(9)
    with pytest.raises(TrainingStopped, match="not the opponent that was scored"):
        run(policy, groups, loss)


def test_rounding_before_the_first_update_adds_up_by_the_root_of_the_tokens():
    """Errors of single tokens of 0.025 nats, as in bfloat16 products: no response of any length is taken for another opponent's;
    a tenth of a nat in every token of 30 is."""
    generator = Random(0)

    def stats(length, shift=0.0):
        ratio = sum(shift + generator.gauss(0.0, 0.025) for _ in range(length))
        return SimpleNamespace(step0_per_root=abs(ratio) / length**0.5)

    for length in (1, 3, 30, 1000):
        check_reference_matches([stats(length) for _ in range(1000)], BFLOAT16_PRODUCTS)
    with pytest.raises(TrainingStopped, match="root of its number of tokens, expected at most 0.25 in bfloat16 products"):
        check_reference_matches([stats(30, 0.1)], BFLOAT16_PRODUCTS)


def test_warm_up_then_linear_decay_and_schedules_by_iteration_repeat_their_last_value():
    """20 steps, warm-up 0.1: 2 warm steps at 1/2 and 1, then from 18/18 down to 1/18."""
    for schedule, last in (("linear", 1 / 18), ("constant", 1.0)):
        settings = TrainingConfig(lr=1.0, warmup=0.1, schedule=schedule)
        assert [learning_rate(settings, s, 20) for s in (0, 1, 2, 19)] == pytest.approx([0.5, 1.0, 1.0, last])
    settings = TrainingConfig(lr=[5e-7, 5e-7, 1e-7], epochs=[2, 1])
    assert [settings.at_iteration(t).lr for t in range(4)] == [5e-7, 5e-7, 1e-7, 1e-7]
    assert [settings.at_iteration(t).epochs for t in range(3)] == [2, 1, 1]


def test_order_is_keyed_not_streamed(policy):
    groups = make_groups(policy, Needs())
    one, again, other = (list(optimizer_batches(groups, 2, 4, (0, key))) for key in (1, 1, 2))
    assert one == again != other


def test_a_device_that_is_too_small_halves_the_micro_batch_and_ends_with_the_same_player(policy, tmp_path, monkeypatch):
    """Memory for two prompts at a time (six responses) where eight are asked for: 8, 4, 2; the same weights to 1e-10.

    Where not one fits, training stops and says what to do.
    """
    loss = objective("space", mu=2.0)
    groups = make_groups(policy, loss.needs)
    policy.save_adapter(tmp_path / "start")
    tried, most, plain = [], 10**9, policy.response_logps

    def small_device(packed):
        tried.append(packed.count)
        if packed.count > most:
            raise torch.OutOfMemoryError("out of memory\nTried to allocate")
        return plain(packed)

    def trained():
        policy.load_adapter(tmp_path / "start")
        counts, _ = run(policy, groups, loss, micro_batch=8, batch_size=8, lr=1e-3)
        return counts["micro_batch"], weights(policy)

    monkeypatch.setattr(policy, "response_logps", small_device)
    whole, expected = trained()
    tried.clear()
    most = 6
    fitted, found = trained()
    assert (whole, fitted) == (8, 2)
    assert [n for n in tried if n > 6] == [24, 12], "each size is tried once"
    assert_same(expected, found, 1e-10)
    most = 0
    with pytest.raises(TrainingStopped, match=r"too small for 1 prompt\(s\) at a time .*max_response_tokens"):
        trained()
