"""Every objective in the folder has every property, and each property catches the mistake it is there for."""

from dataclasses import dataclass

import pytest
import torch

from harness.discovery.review import CHECKS, check_objective
from harness.discovery.variants import list_objectives, load_objective
from objectives import Batch, Citation, LossOutput, Needs, Objective, Responses, UndeclaredRead, param

CITATION = Citation("a", "b", "c", "d")


@pytest.mark.parametrize("name", list_objectives())
def test_every_objective_has_every_property(name):
    results = list(check_objective([load_objective(list_objectives()[name])()]))
    assert [r.name for r in results] == [line.name for line in CHECKS]
    assert [r for r in results if r.verdict != "pass"] == []


@dataclass(frozen=True)
class Right(Objective):
    """A correct objective to break.

    Departures from the paper: none.
    """

    title = "right"
    citation = CITATION
    beta: float = param(1.0, "scale", above=0)

    @property
    def needs(self):
        return Needs(reference=True, synthetic=1)

    def loss(self, batch):
        margin = self.beta * (batch.real.log_ratio - batch.synthetic.log_ratio)
        return LossOutput(torch.nn.functional.softplus(-margin).mean(dim=1))


def broken(**members):
    return dataclass(frozen=True)(type("Broken", (Right,), {"__doc__": Right.__doc__, **members}))


def averaged_over_batch(self, batch):
    return LossOutput(Right.loss(self, batch).loss.mean().expand(batch.real.logp.shape[0]))


def centred_on_batch(self, batch):
    loss = Right.loss(self, batch).loss
    return LossOutput(loss - loss.mean().detach() + batch.real.logp.mean(dim=0) * 0.1)


def wrong_sign(self, batch):
    return LossOutput(torch.nn.functional.softplus(batch.real.log_ratio - batch.synthetic.log_ratio).mean(dim=1))


def unstable(self, batch):
    margin = batch.real.log_ratio - batch.synthetic.log_ratio
    return LossOutput(torch.log(1 + torch.exp(-margin)).mean(dim=1))


def wrong_shape(self, batch):
    return LossOutput(-batch.real.log_ratio + batch.synthetic.log_ratio)


def in_place(self, batch):
    with torch.no_grad():
        batch.real.logp.mul_(1.01)
    return Right.loss(self, batch)


@pytest.mark.parametrize(
    ("loss", "property_"),
    [
        (averaged_over_batch, "rows do not depend on each other"),
        (centred_on_batch, "rows do not depend on each other"),
        (wrong_sign, "the start pushes the real response up"),
        (unstable, "loss and gradient are finite"),
        (wrong_shape, "loss and metrics have one value per prompt"),
        (in_place, "same input gives same output and is unchanged"),
    ],
)
def test_each_mistake_is_caught_by_its_property(loss, property_):
    failed = {r.name: r.reason for r in check_objective([broken(loss=loss)()]) if not r.passed}
    assert property_ in failed
    assert len(failed[property_]) > 20


def test_the_object_to_break_is_whole():
    assert [r for r in check_objective([Right()]) if not r.passed] == []


def test_unused_needs_are_caught():
    cls = broken(needs=property(lambda self: Needs(reference=True, synthetic=1, proto=1)))
    assert "declared roles are used" in {r.name for r in check_objective([cls()]) if not r.passed}


def test_reading_an_undeclared_role_or_reference_raises():
    one = Responses(torch.zeros(2, 1), torch.ones(2, 1))
    batch = Batch(one)
    with pytest.raises(UndeclaredRead, match=r"needs\.synthetic is 0"):
        _ = batch.synthetic
    with pytest.raises(UndeclaredRead, match=r"needs\.proto is 0"):
        _ = batch.proto
    with pytest.raises(UndeclaredRead, match=r"needs\.reference is False"):
        _ = one.log_ratio


def test_tensors_of_rank_one_are_refused():
    with pytest.raises(ValueError, match=r"expected \(B, K\)"):
        Responses(torch.zeros(2), torch.ones(2))


@pytest.mark.parametrize(("value", "message"), [(0.0, "not above 0"), ("x", "not of type float"), (float("nan"), "finite")])
def test_hyper_parameters_are_validated(value, message):
    with pytest.raises(ValueError, match=message):
        Right(beta=value)
