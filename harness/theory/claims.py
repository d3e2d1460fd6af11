"""The claims as data, solved: settings x panels x variants -> one row per policy, with the prediction of the law."""

from __future__ import annotations

import itertools
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import torch
from pydantic import Field

from harness.analysis.frames import Frame
from harness.config import Section
from harness.discovery.variants import parse_variants
from harness.theory.exact import error_factor, kl, power_law, solve_iterations

CLAIMS_FILE = Path(__file__).with_name("claims.toml")
KL_TOLERANCE = 1e-9  # nats; the solver's error where a divergence is zero
SAME_POLICY_TOLERANCE = 1e-4  # largest difference of a probability between equal policies
MIN_PROBABILITY = 1e-12  # below it the solver's result depends on where it stopped


class Setting(Section):
    """Outcomes with their probabilities in the data and under the initial policy, and their lengths in tokens."""

    name: str
    data: list[float]
    start: list[float]
    lengths: list[int]


class Panel(Section):
    """Variants compared with one law: `attained` (KL is zero, in both directions, from iteration 0 on), `power` (see
    `exact.power_law`) or `none`.
    """

    title: str
    law: Literal["attained", "power", "none"]
    parameter: str | None = None  # the hyper-parameter whose inverse is the exponent
    source: str
    claim: str
    variants: list[str] = Field(min_length=1)


class Claims(Section):
    iterations: int = Field(ge=1)
    world: list[Setting]
    panel: list[Panel]


def load_claims(objectives: Sequence[str] | None = None, iterations: int | None = None) -> Claims:
    """The shipped claims, or in the same settings one panel of these objectives, as on the command line. Raises UserError for
    an objective that cannot be found, or none.
    """
    claims = Claims.model_validate(tomllib.loads(CLAIMS_FILE.read_text(encoding="utf-8")))
    updates: dict[str, Any] = {"iterations": iterations or claims.iterations}
    if objectives is not None:
        parse_variants(",".join(objectives))
        claim = "What these objectives do is shown, not predicted."
        panel = Panel(title="as asked for", law="none", source="the objective files", claim=claim, variants=list(objectives))
        updates["panel"] = [panel]
    return claims.model_copy(update=updates)


def iteration_table(claims: Claims) -> Frame:
    """One row per setting, variant and policy (iteration -1: the initial policy).

    kl: KL(data || policy), kl_player_data: KL(policy || data), nats. predicted_kl, predicted_kl_player_data: by the panel's law
    from the exact opponent, empty without one. error_factor: the factor of the centred log-error in this iteration;
    predicted_factor likewise. p1..pV: the policy's probabilities.
    """
    rows = []
    for setting in claims.world:
        data, start, lengths = (torch.tensor(v, dtype=torch.float64) for v in (setting.data, setting.start, setting.lengths))
        data, start = data / data.sum(), start / start.sum()
        for panel in claims.panel:
            for variant in (v for text in panel.variants for v in parse_variants(text)):
                policies = solve_iterations(variant.objective, data, start, lengths, claims.iterations)
                for t, policy in enumerate(policies):
                    row = {"world": setting.name, "panel": panel.title, "objective": variant.label, "iteration": t - 1}
                    row |= {"kl": kl(data, policy), "kl_player_data": kl(policy, data)}
                    row |= dict.fromkeys(("predicted_kl", "predicted_kl_player_data", "error_factor", "predicted_factor"))
                    if t:
                        row["error_factor"] = error_factor(data, policies[t - 1], policy)
                    if t and panel.law == "attained":
                        row |= {"predicted_kl": 0.0, "predicted_kl_player_data": 0.0}
                    if t and panel.law == "power":
                        exponent = 1 / getattr(variant.objective(t - 1), str(panel.parameter))
                        predicted = power_law(data, policies[t - 1], exponent)
                        row |= {"predicted_kl": kl(data, predicted), "predicted_kl_player_data": kl(predicted, data)}
                        row["predicted_factor"] = 1 - exponent
                    rows.append(row | {f"p{i}": float(p) for i, p in enumerate(policy, 1)})
    return pd.DataFrame(rows)


def describe(rows: Frame) -> str:
    """What one variant did in one setting, in words, from its rows in order; trends are given for both directions of KL."""
    max_kl = rows[["kl", "kl_player_data"]].max(axis=1).to_numpy()
    probabilities = rows[[c for c in rows if c.startswith("p") and c[1:].isdigit()]].dropna(axis=1).to_numpy()
    if probabilities.min() < MIN_PROBABILITY:
        first_iteration = int((probabilities.min(axis=1) < MIN_PROBABILITY).argmax())
        return f"runs to the edge: an outcome falls below probability {MIN_PROBABILITY:g} at iteration {first_iteration - 1}"
    attained = [t for t, value in enumerate(max_kl) if value <= KL_TOLERANCE]
    if attained:
        first_iteration = attained[0]
        stays = all(value <= KL_TOLERANCE for value in max_kl[first_iteration:])
        return f"reaches the data at iteration {first_iteration - 1} and {'stays' if stays else 'leaves them again'}"
    if len(max_kl) > 3 and abs(probabilities[-1] - probabilities[-3]).max() < SAME_POLICY_TOLERANCE:
        is_moving = abs(probabilities[-1] - probabilities[-2]).max() > SAME_POLICY_TOLERANCE
        return "returns every second iteration: a cycle" if is_moving else "comes to rest away from the data"
    forward, backward = (_describe_trend(rows[name].to_numpy()) for name in ("kl", "kl_player_data"))
    if forward == backward:
        return f"{forward}, in both directions"
    return f"{forward} by KL(data ‖ policy), {backward} by KL(policy ‖ data)"


def _describe_trend(divergence: Any) -> str:
    """The trend of one direction of KL over the iterations, in words."""
    falls = [b < a for a, b in itertools.pairwise(divergence)]
    if all(falls):
        return "comes closer at every iteration"
    end = "farther from" if divergence[-1] > divergence[0] else "closer to"
    return "moves away at every iteration" if not any(falls) else f"swings and ends {end} the data than it began"


def law_holds(panel: Panel, rows: Frame) -> str:
    """`yes`, `no` or a dash: whether every policy is as the law predicts, KL in both directions to 1e-3 of itself or 1e-9
    nats."""
    if panel.law == "none":
        return "–"
    trained = rows[rows["iteration"] >= 0]
    names = ("kl", "kl_player_data")
    matches = (np.isclose(trained[n], trained[f"predicted_{n}"].astype(float), rtol=1e-3, atol=KL_TOLERANCE) for n in names)
    return "yes" if all(match.all() for match in matches) else "no"
