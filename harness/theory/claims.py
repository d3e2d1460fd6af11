"""The claims as data, played: worlds x panels x variants -> one row per player, with what the law predicts for it."""

from __future__ import annotations

import itertools
import math
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import pandas as pd
import torch
from pydantic import Field

from harness.config import Part
from harness.discovery.variants import parse_variants
from harness.theory.exact import error_factor, kl, play, power

CLAIMS = Path(__file__).with_name("claims.toml")
ATTAINED = 1e-9  # nats: what the solver leaves of a divergence that is nil
RETURNED = 1e-4  # largest difference of a probability between two players that are the same
EDGE = 1e-12  # a probability below which the solver's answer depends on where it stopped
Frame = Any


class World(Part):
    """Outcomes with their probabilities in the data and under the initial policy, and their lengths in tokens."""

    name: str
    data: list[float]
    start: list[float]
    lengths: list[int]


class Panel(Part):
    """Variants held against one law: `attained` (KL is nil, in both directions, from iteration 0 on), `power` (see
    `exact.power`) or `none`.
    """

    title: str
    law: Literal["attained", "power", "none"]
    parameter: str | None = None  # the hyper-parameter whose inverse is the power
    source: str
    claim: str
    variants: list[str] = Field(min_length=1)


class Claims(Part):
    iterations: int = Field(ge=1)
    world: list[World]
    panel: list[Panel]


def load_claims(objectives: Sequence[str] | None = None, iterations: int | None = None) -> Claims:
    """The shipped claims, or in the same worlds one panel of the objectives given, as on the command line. Raises UserError for
    an objective that cannot be found, or none.
    """
    claims = Claims.model_validate(tomllib.loads(CLAIMS.read_text(encoding="utf-8")))
    changed: dict[str, Any] = {"iterations": iterations or claims.iterations}
    if objectives is not None:
        parse_variants(",".join(objectives))
        changed["panel"] = [
            Panel(
                title="as asked for",
                law="none",
                source="the objective files",
                claim="What these objectives do is shown, not predicted.",
                variants=list(objectives),
            )
        ]
    return claims.model_copy(update=changed)


def games(claims: Claims) -> Frame:
    """One row per world, variant and player (iteration -1: the initial policy).

    kl: KL(data || player), kl_player_data: KL(player || data), nats. predicted_kl, predicted_kl_player_data: by the panel's law
    from the exact opponent, empty without one. error_factor: by what the centred log-error was multiplied in this iteration;
    predicted_factor likewise. p1..pV: the player itself.
    """
    rows = []
    for world in claims.world:
        data, start, lengths = (torch.tensor(v, dtype=torch.float64) for v in (world.data, world.start, world.lengths))
        data, start = data / data.sum(), start / start.sum()
        for panel in claims.panel:
            for variant in (v for text in panel.variants for v in parse_variants(text)):
                players = play(variant.objective, data, start, lengths, claims.iterations)
                for t, player in enumerate(players):
                    row = {"world": world.name, "panel": panel.title, "objective": variant.label, "iteration": t - 1}
                    row |= {"kl": kl(data, player), "kl_player_data": kl(player, data)}
                    row |= dict.fromkeys(("predicted_kl", "predicted_kl_player_data", "error_factor", "predicted_factor"))
                    if t:
                        row["error_factor"] = error_factor(data, players[t - 1], player)
                    if t and panel.law == "attained":
                        row |= {"predicted_kl": 0.0, "predicted_kl_player_data": 0.0}
                    if t and panel.law == "power":
                        exponent = 1 / getattr(variant.objective(t - 1), str(panel.parameter))
                        there = power(data, players[t - 1], exponent)
                        row |= {"predicted_kl": kl(data, there), "predicted_kl_player_data": kl(there, data)}
                        row["predicted_factor"] = 1 - exponent
                    rows.append(row | {f"p{i}": float(p) for i, p in enumerate(player, 1)})
    return pd.DataFrame(rows)


def verdict(game: Frame) -> str:
    """What one variant did in one world, in words, from its rows in order; of closer and farther, by which direction of KL."""
    divergence = game[["kl", "kl_player_data"]].max(axis=1).to_numpy()
    probabilities = game[[c for c in game if c.startswith("p") and c[1:].isdigit()]].dropna(axis=1).to_numpy()
    if probabilities.min() < EDGE:
        first = int((probabilities.min(axis=1) < EDGE).argmax())
        return f"runs to the edge: an outcome falls below probability {EDGE:g} at iteration {first - 1}"
    reached = [t for t, value in enumerate(divergence) if value <= ATTAINED]
    if reached:
        first = reached[0]
        kept = all(value <= ATTAINED for value in divergence[first:])
        return f"reaches the data at iteration {first - 1} and {'stays' if kept else 'leaves them again'}"
    if len(divergence) > 3 and abs(probabilities[-1] - probabilities[-3]).max() < RETURNED:
        moved = abs(probabilities[-1] - probabilities[-2]).max()
        return "returns every second iteration: a cycle" if moved > RETURNED else "comes to rest away from the data"
    forward, backward = (_course(game[name].to_numpy()) for name in ("kl", "kl_player_data"))
    if forward == backward:
        return f"{forward}, in both directions"
    return f"{forward} by KL(data ‖ player), {backward} by KL(player ‖ data)"


def _course(divergence: Any) -> str:
    """What one direction of a divergence did over the iterations, in words."""
    falls = [b < a for a, b in itertools.pairwise(divergence)]
    if all(falls):
        return "comes closer at every iteration"
    end = "farther from" if divergence[-1] > divergence[0] else "closer to"
    return "moves away at every iteration" if not any(falls) else f"swings and ends {end} the data than it began"


def keeps_its_law(panel: Panel, game: Frame) -> str:
    """`yes`, `no` or a dash: whether every player is where the law puts it, KL in both directions to 1e-3 of itself or 1e-9
    nats."""
    if panel.law == "none":
        return "–"
    played = game[game["iteration"] >= 0]
    near = [
        math.isclose(row[name], row[f"predicted_{name}"], rel_tol=1e-3, abs_tol=ATTAINED)
        for row in played.to_dict("records")
        for name in ("kl", "kl_player_data")
    ]
    return "yes" if all(near) else "no"
