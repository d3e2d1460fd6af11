"""The check of objectives itself: right losses of the field pass, each line finds a fault that no other line finds."""

import signal
import threading
from dataclasses import replace

import pytest
import torch
from torch.nn.functional import softplus

from harness.discovery.review import CHECKS, check_objective
from harness.discovery.slopes import describe_start
from objectives import LossOutput, param
from tests.objectives.field import FIELD, WITH_A_WARNING, changed, nce, of_pair
from tests.objectives.mutants import FIRST, GENERAL, HARMLESS, ONLY, traits


def found(cls, lines=CHECKS, **params):
    """Name -> verdict of every line that says something."""
    return {r.name: r.verdict for r in check_objective([cls(**params)], lines) if r.verdict in ("FAIL", "warning")}


@pytest.mark.parametrize("name", FIELD)
def test_a_right_loss_of_the_field_passes(name):
    assert found(FIELD[name]) == ({WITH_A_WARNING[name]: "warning"} if name in WITH_A_WARNING else {})


def test_every_line_has_a_fault_of_its_own():
    assert set(ONLY) | set(FIRST) == {line.name for line in CHECKS}


@pytest.mark.parametrize("name", ONLY)
def test_a_line_finds_what_no_other_line_finds(name):
    assert list(found(ONLY[name])) == [name]
    assert found(ONLY[name], [line for line in CHECKS if line.name != name]) == {}


@pytest.mark.parametrize("name", FIRST)
def test_a_line_names_first_what_others_would_tell_in_other_words(name):
    assert found(FIRST[name]) == {name: "FAIL"}


def change(mutation, name):
    make, must = GENERAL[mutation]
    return make(FIELD[name]) if must <= traits(name) and (mutation, name) not in HARMLESS else None


def missed(names):
    """(mutants, those that nothing is said of, those of which more than one line fails) over losses of the field."""
    tried, silent, twice = 0, [], []
    for mutation in GENERAL:
        for name in names:
            if (mutant := change(mutation, name)) is not None:
                said = found(mutant)
                tried += 1
                silent += [(mutation, name)] if not said.keys() - {WITH_A_WARNING.get(name)} else []
                twice += [(mutation, name)] if list(said.values()).count("FAIL") > 1 else []
    return tried, silent, twice


def test_forty_mutants_of_a_right_loss_are_found_by_one_line_each():
    tried, silent, twice = missed(["nce"])
    assert tried >= 40
    assert (silent, twice) == ([], [])


@pytest.mark.slow
def test_mutants_of_every_loss_of_the_field_are_found():
    tried, silent, twice = missed(FIELD)
    assert tried > 1500
    assert (silent, twice) == ([], [])


# ---------------------------------------------------------------- what is said


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("nce", "the real response's log-probability is pushed up with slope 0.50 and the synthetic response's is pushed down"),
        ("nce", "the synthetic response's is pushed down with slope 0.50 (loss per nat"),
        # -log s(r) - log s(-r) / 2 - log s(-s) / 2 at 0, times beta 0.1: 0.1 * (-0.5 + 0.25) and 0.1 * 0.25
        ("nca", "the real response's log-probability is pushed up with slope 0.025 and the synthetic response's is pushed down"),
        ("nce_four", "that of the 4 synthetic responses together is pushed down with slope 0.50"),
        # per token, ten tokens
        ("sft", "at the start the real response's log-probability is pushed up with slope 0.10 (loss per nat"),
        ("kl_penalty", "the synthetic response's is not moved"),
        ("replay", "the synthetic response's is pushed up with slope 0.01 (loss"),
    ],
)  # fmt: skip
def test_the_slopes_at_the_start_are_told_in_words(name, said):
    assert said in describe_start(FIELD[name]())


def test_an_exponential_loss_is_asked_to_declare_it_and_an_unstable_one_fails():
    """Both overflow at 3000 nats per token: the first because it is exponential, the second where its value is about 700."""
    undeclared = type("Undeclared", (FIELD["lsif"],), {"unbounded": False, "__doc__": FIELD["lsif"].__doc__})
    line = "loss and gradient are finite"
    assert found(undeclared) == {line: "warning"}
    unstable = ONLY[line]
    assert found(unstable) == {line: "FAIL"}
    assert found(type("Declared", (unstable,), {"unbounded": True, "__doc__": unstable.__doc__}))[line] == "FAIL"


def test_a_response_held_against_the_reference_of_another_is_said_to_be():
    shared = of_pair(lambda self, x, y: softplus(-self.beta * x.log_ratio) + softplus(self.beta * (y.logp - x.reference_logp)))
    (said,) = [r for r in check_objective([changed(FIELD["nce"], shared)()]) if r.verdict in ("FAIL", "warning")]
    assert (said.verdict, said.name) == ("FAIL", "each response is held against its own reference")
    assert "the synthetic response is compared with the reference of the real one" in said.reason


def test_one_cause_is_told_once():
    assert found(GENERAL["synthetic detached"][0](FIELD["nce"])) == {"declared roles are used": "FAIL"}
    single = changed(FIELD["nce"], lambda self, batch: LossOutput(nce(self, batch).loss.float()))
    assert found(single) == {"precision is kept": "warning"}


def test_signal_handlers_and_threads_that_are_left_are_found():
    def rings_loss(self, batch):
        signal.signal(signal.SIGUSR1, lambda *_: None)
        return nce(self, batch)

    def leaves_loss(self, batch):
        threading.Thread(target=done.wait).start()
        return nce(self, batch)

    before, done = signal.getsignal(signal.SIGUSR1), threading.Event()
    try:
        for loss in (rings_loss, leaves_loss):
            assert found(changed(FIELD["nce"], loss)) == {"random numbers and settings are left alone": "FAIL"}
            signal.signal(signal.SIGUSR1, before)
    finally:
        signal.signal(signal.SIGUSR1, before)
        done.set()


def test_a_hyper_parameter_of_the_metrics_alone_and_a_choice_that_is_another_are_warnings():
    line = "hyper parameters have an effect"

    def in_metrics(self, batch):
        return replace(nce(self, batch), metrics={"wins": (batch.real.log_ratio > self.level)[:, 0].double()})

    def constant(self, batch):
        return LossOutput(nce(self, batch).loss + self.level)

    def half_done(self, batch):
        return (FIELD["brier"].loss if self.form == "brier" else nce)(self, batch)

    for loss in (in_metrics, constant):
        assert found(changed(FIELD["nce"], loss, level=(float, param(0.5, "a level, in nats")))) == {line: "warning"}
    for loss, choices, verdict in ((nce, ("logistic", "hinge"), "FAIL"), (half_done, ("logistic", "hinge", "brier"), "warning")):
        assert found(changed(FIELD["nce"], loss, form=(str, param("logistic", "form", choices=choices)))) == {line: verdict}


def test_a_scale_that_overflows_on_likely_responses_is_no_matter_of_declaring():
    line = "harmless input gives a finite loss and gradient"
    assert found(ONLY[line]) == {line: "FAIL"}


def test_the_check_leaves_the_random_numbers_as_they_were():
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    found(FIELD["nce"])
    assert torch.equal(torch.rand(1), expected)
