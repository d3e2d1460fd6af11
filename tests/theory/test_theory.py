"""The theory page: its laws are asserted on what it played, its verdicts by hand, and it is written whole with its caveat."""

import math

import pandas as pd
import pytest
import torch

from harness.analysis.frames import select
from harness.discovery.variants import parse_variants
from harness.theory.claims import describe, iteration_table, law_holds, load_claims
from harness.theory.exact import error_factor, kl, power_law, solve_iteration, solve_iterations
from tests.conftest import read_csv_rows, run_cli_in_process

DATA = torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64)
START = torch.tensor([0.2, 0.3, 0.5], dtype=torch.float64)
LENGTHS = torch.ones(3, dtype=torch.float64)


@pytest.fixture(scope="module")
def played():
    """The shipped claims' two panels with a law, in the first world."""
    claims = load_claims(iterations=3)
    claims = claims.model_copy(update={"world": claims.world[:1], "panel": [p for p in claims.panel if p.law != "none"]})
    return claims, iteration_table(claims)


def test_every_law_of_the_page_holds_on_what_was_played_and_is_seen_to_be_broken(played):
    """Broken: the same players against another law; no player of the power law equals the data."""
    claims, table = played
    for panel in claims.panel:
        games = select(table, panel=panel.title)
        assert {law_holds(panel, game) for _, game in games.groupby("objective")} == {"yes"}
    broken = games.assign(predicted_kl=0.0)
    assert {law_holds(claims.panel[0], game) for _, game in broken.groupby("objective")} == {"no"}


def test_the_log_error_is_multiplied_by_one_minus_one_over_beta(played):
    claims, table = played
    factors = select(table, panel=claims.panel[1].title).dropna(subset="predicted_factor")
    assert len(factors) == 12
    assert factors["error_factor"].to_numpy() == pytest.approx(factors["predicted_factor"].to_numpy(dtype=float), abs=2e-3)


def test_history_mixes_what_earlier_players_wrote():
    """With a history of one, the synthetic responses come in halves from both players, scored by the opponent alone: the optimum
    of the logistic loss then equals that of one opponent that wrote the mixture's pairs, not that of the opponent's own."""
    alone, mixed = parse_variants("spin:beta=0.75:history=0,spin:beta=0.75:history=1")
    first = solve_iteration(alone.objective(0), DATA, [START], LENGTHS)
    without, with_history = (solve_iteration(v.objective(1), DATA, [START, first], LENGTHS) for v in (alone, mixed))
    written = (START + first) / 2
    log_odds = (DATA.log() - written.log()) / 0.75
    assert torch.allclose(without, power_law(DATA, first, 1 / 0.75), atol=1e-5)
    assert torch.allclose(with_history, torch.softmax(first.log() + log_odds, dim=0), atol=1e-5)


def test_the_error_factor_of_no_error_is_not_a_number():
    assert error_factor(DATA, DATA, START) != error_factor(DATA, DATA, START)
    assert error_factor(DATA, START, power_law(DATA, START, 1.5)) == pytest.approx(-0.5)
    assert kl(DATA, DATA) == 0.0


def test_both_directions_by_hand():
    """Halves against 1/4, 3/4: (ln 2 + ln 2/3) / 2 one way, (ln 1/2 + 3 ln 3/2) / 4 the other."""
    half, quarter = torch.tensor([0.5, 0.5]).double(), torch.tensor([0.25, 0.75]).double()
    assert kl(half, quarter) == pytest.approx((math.log(2) + math.log(2 / 3)) / 2, rel=1e-12)
    assert kl(quarter, half) == pytest.approx(math.log(0.5) / 4 + 3 * math.log(1.5) / 4, rel=1e-12)
    assert kl(torch.tensor([0.0, 1.0]).double(), half) == pytest.approx(math.log(2), rel=1e-12)


def test_a_game_has_both_directions_of_every_player(played):
    claims, table = played
    data = torch.tensor(claims.world[0].data, dtype=torch.float64)
    for row in table.to_dict("records")[:6]:
        player = torch.tensor([row[f"p{i}"] for i in (1, 2, 3, 4)], dtype=torch.float64)
        assert (row["kl"], row["kl_player_data"]) == (pytest.approx(kl(data, player)), pytest.approx(kl(player, data)))


CLOSER, AWAY = "comes closer at every iteration", "moves away at every iteration"


def game(divergences, probabilities=None, back=None):
    rows = probabilities or [[0.1 * (i + 1), 1 - 0.1 * (i + 1)] for i in range(len(divergences))]
    both = {"kl": divergences, "kl_player_data": back or divergences}
    return pd.DataFrame({**both, "p1": [r[0] for r in rows], "p2": [r[1] for r in rows]})


@pytest.mark.parametrize(
    ("played_rows", "expected"),
    [
        (game([1.0, 0.0, 0.0]), "reaches the data at iteration 0 and stays"),
        (game([1.0, 0.0, 0.5]), "reaches the data at iteration 0 and leaves them again"),
        (game([1.0, 0.5, 0.2]), CLOSER),
        (game([1.0, 1.5, 2.0]), AWAY),
        (game([1.0, 0.5, 0.8]), "swings and ends closer to the data than it began, in both directions"),
        (game([1.0, 0.5, 1.2]), "swings and ends farther from the data than it began, in both"),
        (game([1.0, 0.5, 0.2], back=[1.0, 1.5, 2.0]), f"{CLOSER} by KL(data ‖ policy), {AWAY} by KL(policy ‖ data)"),
        (game([1.0, 0.0, 0.0], back=[1.0, 0.5, 0.2]), "swings and ends closer"),
        (game([1.0, 0.5, 1.0, 0.5], [[0.2, 0.8], [0.6, 0.4], [0.2, 0.8], [0.6, 0.4]]), "returns every second iteration: a cycle"),
        (game([1.0, 0.5, 0.4, 0.4], [[0.2, 0.8], [0.5, 0.5], [0.6, 0.4], [0.6, 0.4]]), "swings"),
        (game([1.0, 0.4, 0.4, 0.4], [[0.2, 0.8], [0.6, 0.4], [0.6, 0.4], [0.6, 0.4]]), "comes to rest away from the data"),
        (game([1.0, 30.0, 2.0], [[0.5, 0.5], [1e-13, 1.0], [0.5, 0.5]]), "runs to the edge"),
    ],
)
def test_verdicts_by_hand(played_rows, expected):
    assert describe(played_rows).startswith(expected)


def test_any_objective_can_be_played():
    panel = load_claims(["ssimpo:beta=1:gamma=0"], 4).panel
    assert (panel[0].law, panel[0].variants) == ("none", ["ssimpo:beta=1:gamma=0"])
    (variant,) = parse_variants("ssimpo:beta=1:gamma=0")
    players = solve_iterations(variant.objective, DATA, START, LENGTHS, 4)
    assert torch.allclose(players[2], players[0], atol=1e-5), "without a reference, data / opponent and back"
    assert not torch.allclose(players[1], players[0], atol=1e-2)


def test_the_command_writes_the_page_with_its_caveat_and_numbers(tmp_path):
    """Twice the same bytes; every KL in the csv; the caveat on the page."""
    command = ("theory", "--objectives", "sft,space:mu=3", "--iters", "2")
    run_cli_in_process(*command, cwd=tmp_path)
    paths = [tmp_path / "reports" / name for name in ("theory.pdf", "theory.html", "theory/games.csv", "theory/kl_curves.svg")]
    before = [p.read_bytes() for p in paths]
    run_cli_in_process(*command, cwd=tmp_path)
    assert [p.read_bytes() for p in paths] == before
    page = before[1].decode()
    assert "population optima" in page and "unlimited" in page.lower()
    table = read_csv_rows(paths[2])
    assert len(table) == 2 * 2 * 3
    assert all(float(r["kl"]) < 1e-9 for r in table if r["iteration"] != "-1")
