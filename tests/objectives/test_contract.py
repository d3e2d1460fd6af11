"""Every objective in the folder has every property; what the contract itself refuses."""

import pytest
import torch

from harness.discovery.review import CHECKS, check_objective
from harness.discovery.variants import list_objectives, load_objective
from objectives import Batch, Responses, UndeclaredRead
from tests.objectives.field import FIELD


@pytest.mark.parametrize("name", list_objectives())
def test_every_objective_has_every_property(name):
    results = list(check_objective([load_objective(list_objectives()[name])()]))
    assert [r.name for r in results] == [line.name for line in CHECKS]
    assert [r for r in results if r.verdict != "pass"] == []


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
        FIELD["nce"](beta=value)
