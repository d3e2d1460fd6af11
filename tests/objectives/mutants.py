"""Faults put into right objectives: one per line of the check that no other line finds, and general ones for any loss.

`ONLY`: line -> a mutant that passes every other line. `GENERAL`: name -> a change of a class of `field.py`, None where the loss
has nothing to change (no synthetic response, no reference).
"""

import math
import sys
from dataclasses import field, replace

import torch
from torch.nn.functional import softplus

from objectives import Batch, LossOutput, Responses, param
from tests.objectives.field import COUPLED, FIELD, PAIR, WITH_A_WARNING, beta, changed, made, of_pair, of_ratios, ratios, rows

NCE = FIELD["nce"]


def plus(cls, extra):
    """The class with something done after its loss: extra(self, batch, output) -> output."""
    return changed(cls, lambda self, batch: extra(self, batch, cls.loss(self, batch)))


def doing_first(cls, action):
    """The class that does something before its loss: action(batch)."""
    return changed(cls, lambda self, batch: (action(batch), cls.loss(self, batch))[1])


def metric_of_the_batch(cls):
    return plus(cls, lambda self, batch, out: replace(out, metrics={"m": out.loss.mean()}))


# ---------------------------------------------------------------- one per line


def reference_by_half(self, batch):
    real, synthetic = (x.logp - x.reference.detach().bfloat16().to(x.logp.dtype) for x in (batch.real, batch.synthetic))
    return rows(softplus(-self.beta * real) + softplus(self.beta * synthetic))


def z_scored(self, batch):
    r, s = ratios(self, batch)
    t = (r - s)[:, 0]
    variance = ((t - t.mean()) ** 2).sum() / (len(t) - 1)
    return LossOutput(softplus(-t - 0.1 * t / (1 + variance)))


def reference_added(self, batch):
    real, synthetic = (x.logp + x.reference_logp for x in (batch.real, batch.synthetic))
    return rows(softplus(-self.beta * real) + softplus(self.beta * synthetic))


def on_the_processor(self, batch):
    out = NCE.loss(self, batch)
    return LossOutput(out.loss + torch.zeros(len(out.loss), dtype=out.loss.dtype))


def ranked(self, batch):
    r, s = ratios(self, batch)
    weights = 1 / torch.arange(1, s.shape[1] + 1, device=s.device)
    return LossOutput((softplus(-r) + softplus(s) * weights).mean(dim=1))


def undeclared(self, batch):
    return rows(softplus(-self.beta * (batch.real.log_ratio - batch.proto.log_ratio)))


stable_only_when_small = of_ratios(lambda self, r, s: torch.log(1 + torch.exp(s - r)))
real_turned = of_ratios(lambda self, r, s: softplus(r) + softplus(s))
synthetic_turned = of_ratios(lambda self, r, s: softplus(-r) + softplus(-s))
half_detached = of_ratios(lambda self, r, s: softplus(-r) + softplus(s) + 0.2 * softplus(s).detach())
real_per_token = of_pair(lambda self, x, y: softplus(-self.beta * x.log_ratio / x.length) + softplus(self.beta * y.log_ratio))
reference_free = of_pair(lambda self, x, y: softplus(-self.beta * (x.mean_logp - y.mean_logp)))
first_of_four = of_ratios(lambda self, r, s: softplus(-r) + softplus(s[:, :1]))
undocumented = of_ratios(lambda self, r, s: self.gamma * softplus(-r) + softplus(s))


ONLY = {
    "title citation and docstring are there": changed(NCE, __doc__="no word on departures"),
    "hyper parameters are documented": changed(NCE, undocumented, gamma=(float, field(default=1.0))),
    "loss and metrics have one value per prompt": metric_of_the_batch(NCE),
    "same input gives same output and is unchanged": doing_first(NCE, lambda batch: batch.real.length.zero_()),
    "random numbers and settings are left alone": doing_first(NCE, lambda batch: torch.manual_seed(0)),
    "harmless input gives a finite loss and gradient": changed(FIELD["lsif"], beta=(float, param(600.0, "scale", above=0))),
    "rows do not depend on each other": plus(NCE, lambda self, batch, out: replace(out, loss=out.loss + math.log(len(out.loss)))),
    "weights count prompts": plus(NCE, lambda self, batch, out: replace(out, weight=torch.sigmoid(-batch.real.log_ratio)[:, 0])),
    "splitting the batch adds up to the same gradient": plus(
        NCE, lambda self, batch, out: replace(out, weight=(batch.real.length / batch.real.length.mean())[:, 0])
    ),
    "loss and gradient are finite": made("Unstable", stable_only_when_small, PAIR, **beta()),
    "a batch of one row is finite": made("ZScored", z_scored, COUPLED, **beta()),
    "precision is kept": changed(NCE, reference_by_half),
    "the loss works on any device": changed(NCE, on_the_processor),
    "declared roles are used": changed(NCE, needs=property(lambda self: replace(PAIR, proto=1))),
    "order of rows and samples does not matter": changed(FIELD["nce_four"], ranked),
    "a declared reference is read": changed(NCE, reference_free),
    "coupled rows depend on each other": changed(NCE, needs=property(lambda self: COUPLED)),
    "hyper parameters have an effect": changed(NCE, gamma=(float, param(0.5, "margin", at_least=0))),
    "unbounded is needed": changed(NCE, unbounded=True),
    "the start pushes the real response up": changed(NCE, real_turned),
    "the start pushes no other response up": changed(NCE, synthetic_turned),
    "all sides are counted in one unit": changed(NCE, real_per_token),
    "each response is held against its own reference": changed(NCE, reference_added),
    "the gradient is the slope of the loss": changed(NCE, half_detached),
}  # fmt: skip
# What other lines would find too, in other words: these two name it first, and the others then say nothing.
FIRST = {
    "the loss can be computed": changed(NCE, undeclared),
    "every sample is used": changed(FIELD["nce_four"], first_of_four),
}


# ---------------------------------------------------------------- changes of any loss


def seen_as(cls, view):
    """The class with its batch seen otherwise: view(batch) -> batch."""
    return changed(cls, lambda self, batch: cls.loss(self, view(batch)))


def side(role, change):
    """The class with one role's responses changed: change(responses) -> responses."""
    field_name = {"real": "real", "synthetic": "maybe_synthetic"}[role]
    return lambda cls: seen_as(cls, lambda batch: replace(batch, **{field_name: change(getattr(batch, field_name))}))


def with_logp(change):
    return lambda r: replace(r, logp=change(r.logp))


def per_token(r):
    return replace(mean_minus_sum(r), reference=None if r.reference is None else r.reference / r.length)


def mean_minus_sum(r):
    return replace(r, logp=r.logp / r.length)


def without_reference(r):
    return replace(r, reference=torch.zeros_like(r.reference))


def swapped(name):
    """The class whose real and synthetic responses have each other's `name`."""

    def view(batch):
        real, synthetic = batch.real, batch.synthetic
        theirs = (replace(one, **{name: getattr(other, name)}) for one, other in ((real, synthetic), (synthetic, real)))
        return Batch(*theirs, batch.maybe_proto)

    return lambda cls: seen_as(cls, view)


def first_sample_alone(cls):
    def first(r):
        return Responses(*(None if t is None else t[:, :1] for t in (r.logp, r.length, r.reference)))

    return declaring(synthetic=4)(side("synthetic", first)(cls))


def declaring(**more):
    """The class whose `needs` are those of the original but for these."""
    return lambda cls: changed(cls, needs=property(lambda self: replace(cls.needs.fget(self), **more)))


def afterwards(change):
    """The class with its losses changed: change(loss, batch) -> loss."""
    return lambda cls: plus(cls, lambda self, batch, out: replace(out, loss=change(out.loss, batch)))


def counting(cls):
    calls = []

    def loss(self, batch):
        calls.append(1)
        out = cls.loss(self, batch)
        return replace(out, loss=out.loss + 0.01 * len(calls))

    return changed(cls, loss)


REAL, SYNTHETIC, REFERENCE = {"real"}, {"synthetic"}, {"reference"}
# name -> (change, what the loss must have: a role, the reference, summed log-probabilities or ones per token, rows of their own).
GENERAL = {
    "real term's sign": (side("real", with_logp(lambda x: 2 * x.detach() - x)), REAL),
    "synthetic term's sign": (side("synthetic", with_logp(lambda x: 2 * x.detach() - x)), SYNTHETIC),
    "loss's sign": (afterwards(lambda loss, batch: -loss), REAL),
    "roles swapped": (lambda cls: seen_as(cls, lambda b: Batch(b.synthetic, b.real, b.maybe_proto)), SYNTHETIC),
    "real detached": (side("real", with_logp(torch.Tensor.detach)), REAL),
    "synthetic detached": (side("synthetic", with_logp(torch.Tensor.detach)), SYNTHETIC),
    "all detached": (afterwards(lambda loss, batch: loss.detach()), REAL),
    "half of it detached": (afterwards(lambda loss, batch: 0.5 * loss + 0.5 * loss.detach()), {"no warning"}),
    "real reference turned": (side("real", lambda r: replace(r, reference=-r.reference)), REFERENCE),
    "synthetic reference turned": (side("synthetic", lambda r: replace(r, reference=-r.reference)), REFERENCE),
    "real without reference": (side("real", without_reference), REFERENCE),
    "synthetic without reference": (side("synthetic", without_reference), REFERENCE),
    "references swapped": (swapped("reference"), REFERENCE),
    "reference never read": (lambda cls: side("real", without_reference)(side("synthetic", without_reference)(cls)), REFERENCE),
    "real per token": (side("real", per_token), {"summed"}),
    "synthetic per token": (side("synthetic", per_token), {"summed"}),
    "real mean less summed reference": (side("real", mean_minus_sum), REFERENCE),
    "lengths swapped": (swapped("length"), {"per token"}),
    "four declared, one used": (first_sample_alone, SYNTHETIC),
    "a role undeclared": (declaring(synthetic=0), SYNTHETIC),
    "a reference undeclared": (declaring(reference=False), REFERENCE),
    "a role declared": (declaring(proto=1), {"no proto"}),
    "a reference declared": (declaring(reference=True), {"no reference"}),
    "coupling declared": (declaring(couples_batch=True), {"rows"}),
    "coupling undeclared": (declaring(couples_batch=False), {"coupled"}),
    "idle parameter": (lambda cls: changed(cls, idle=(float, param(0.5, "a margin", at_least=0))), REAL),
    "unbounded declared": (lambda cls: changed(cls, unbounded=True), {"bounded"}),
    "mean over rows": (afterwards(lambda loss, batch: loss.mean().expand(len(loss))), {"rows"}),
    "divided by the rows": (afterwards(lambda loss, batch: loss / len(loss)), {"rows"}),
    "a scalar": (afterwards(lambda loss, batch: loss.mean()), REAL),
    "a column": (afterwards(lambda loss, batch: loss[:, None]), REAL),
    "a plain number": (afterwards(lambda loss, batch: loss.sum().item()), REAL),
    "first row of all": (afterwards(lambda loss, batch: loss[:1].expand(len(loss))), {"rows"}),
    "by position": (afterwards(lambda loss, batch: loss * torch.arange(1, 1 + len(loss), device=loss.device)), REAL),
    "random": (afterwards(lambda loss, batch: loss + 0.01 * torch.rand_like(loss)), REAL),
    "dropout": (side("real", with_logp(lambda x: torch.nn.functional.dropout(x, 0.5))), REAL),
    "seeds torch": (afterwards(lambda loss, batch: loss + 0 * torch.manual_seed(3).initial_seed()), REAL),
    "counts calls": (counting, REAL),
    "input changed": (lambda cls: doing_first(cls, lambda batch: batch.real.logp.detach().mul_(1.01)), REAL),
    "leaves through sys.exit": (lambda cls: changed(cls, lambda self, batch: sys.exit(0)), REAL),
    "half precision": (side("real", with_logp(lambda x: x.half().to(x.dtype))), REAL),
    "rounded": (side("real", with_logp(lambda x: x + (x.detach().round() - x.detach()))), {"no warning"}),
    "float32 inside": (side("real", with_logp(lambda x: x.float().double())), {"no warning"}),
    "bfloat16 out": (afterwards(lambda loss, batch: loss.bfloat16()), REAL),
    "log of exp": (afterwards(lambda loss, batch: torch.log(torch.exp(loss))), {"large"}),
    "root of the log-ratio": (afterwards(lambda loss, batch: loss + 0.01 * batch.real.log_ratio[:, 0].abs().sqrt()), REFERENCE),
    "another device": (afterwards(lambda loss, batch: loss + torch.zeros(len(loss))), REAL),
    "weight below 0": (lambda cls: plus(cls, lambda self, batch, out: replace(out, weight=-torch.ones_like(out.loss))), REAL),
    "weight over the batch": (lambda cls: plus(cls, lambda self, batch, out: replace(
        out, weight=(batch.real.length / batch.real.length.sum())[:, 0])), {"rows"}),
    "metric of the batch": (metric_of_the_batch, REAL),
    "metric that is a number": (lambda cls: plus(cls, lambda self, batch, out: replace(out, metrics={"m": 0.5})), REAL),
    "no LossOutput": (lambda cls: changed(cls, lambda self, batch: cls.loss(self, batch).loss), REAL),
}  # fmt: skip


def traits(name):
    """What a loss of the field has, by which a change applies to it."""
    cls, needs = FIELD[name], FIELD[name]().needs
    has = {
        "real": True, "synthetic": needs.synthetic, "reference": needs.reference, "no reference": not needs.reference,
        "no proto": not needs.proto, "coupled": needs.couples_batch, "rows": not needs.couples_batch,
        "per token": name in ("ipo_per_token", "orpo"), "summed": name in SUMMED, "no warning": name not in WITH_A_WARNING,
        "bounded": cls.unbounded is False and name != "lsif_clipped", "large": name not in ("brier", "kto", "wpo"),
    }  # fmt: skip
    return {trait for trait, present in has.items() if present}


# Losses in which all log-probabilities are summed and the synthetic and the real one are curved: elsewhere a side per token is a
# term of its own.
SUMMED = {
    *("spin", "spin_four", "dpo", "nce", "nce_four", "lsif", "brier", "hinge", "chi2"),
    *("nca", "bco", "kto", "dpop", "cal_dpo", "sppo"),
}

# Changes that make no fault: a right loss again, or one in which what is left out counts for nothing.
HARMLESS = {
    ("roles swapped", "replay"),  # both are pushed up
    ("real reference turned", "kl_penalty"),  # the real reference is not read
    ("real without reference", "kl_penalty"),
    ("real without reference", "kliep"),  # a constant of the loss
    ("real mean less summed reference", "kliep"),  # a negative log-likelihood per token
    ("by position", "renyi"),  # all rows hold the same value
    ("by position", "aot"),  # rows are ordered by rank
}
