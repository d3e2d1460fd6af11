"""The theory page: games.csv and verdicts.csv, their curves, and the PDF and HTML page that show them, caveat included."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pandas as pd

from harness.errors import UserError
from harness.files import make_folder, write_text
from harness.reporting.figures import save
from harness.reporting.figures.style import GREY, Drawing, drawing, house_style, iteration_axis, small
from harness.reporting.report import publish
from harness.reporting.report.blocks import bullets, figure, section, table, text
from harness.security.escaping import csv_text
from harness.theory.claims import ATTAINED, Claims, Frame, games, keeps_its_law, verdict

CAVEAT = (
    "What this page does not say: these are population optima. Every expectation is exact, the policy can become any "
    "distribution over the outcomes, and every iteration is trained to convergence. A language model sees a few pairs once or "
    "twice, cannot become everything and stops early; an objective whose optimum is far from the data may do well in practice, "
    "and the reverse."
)
FLOOR = 1e-10  # nats: KL below this is drawn on this line
FIGURE = "kl_curves"


def write_theory(claims: Claims, reports: Path) -> Path:
    """Play the claims and write reports/theory.pdf, .html and theory/ (csv, figure); returns the PDF's path."""
    played = games(claims)
    judged = verdicts(claims, played)
    pdf = reports / "theory.pdf"
    beside = pdf.with_suffix("")
    try:
        make_folder(beside)
        write_text(beside / "games.csv", csv_text(played))
        write_text(beside / "verdicts.csv", csv_text(judged))
        with house_style():
            save(curves(claims, played), beside / FIGURE)
    except OSError as error:
        raise UserError(f"{pdf}: cannot be written ({error.strerror}); use --reports DIR") from error
    publish(content(claims, played, judged), beside, pdf)
    return pdf


def verdicts(claims: Claims, played: Frame) -> Frame:
    """One row per variant and world: what it did, whether its panel's law holds, the law's factor beside the measured one."""
    rows = []
    for panel in claims.panel:
        mine = played[played["panel"] == panel.title]
        for objective, world in itertools.product(mine["objective"].unique(), mine["world"].unique()):
            game = mine[(mine["objective"] == objective) & (mine["world"] == world)]
            first = game[game["iteration"] == 0].iloc[0]
            rows.append(
                {
                    "panel": panel.title,
                    "objective": objective,
                    "world": world,
                    "kl_initial": game["kl"].iloc[0],
                    "kl_iteration_0": first["kl"],
                    "kl_last": game["kl"].iloc[-1],
                    "kl_player_data_initial": game["kl_player_data"].iloc[0],
                    "kl_player_data_iteration_0": first["kl_player_data"],
                    "kl_player_data_last": game["kl_player_data"].iloc[-1],
                    "law_holds": keeps_its_law(panel, game),
                    "predicted_factor": first["predicted_factor"],
                    "error_factor": first["error_factor"],
                    "verdict": verdict(game),
                    "source": "games.csv",
                }
            )
    return pd.DataFrame(rows)


def curves(claims: Claims, played: Frame) -> Drawing:
    """KL(data || player), thin and dotted KL(player || data), against iteration, logarithmic: a row per world, a column per
    panel; rings: where the law puts the first.
    """
    rows, columns = len(claims.world), len(claims.panel)
    made = drawing(rows, columns, 2.45 * rows + 0.3, sharex=True, sharey=True)
    axes = iter(made.axes)
    for world in claims.world:
        for panel in claims.panel:
            axis = next(axes)
            mine = played[(played["panel"] == panel.title) & (played["world"] == world.name)]
            labels = list(dict.fromkeys(mine["objective"]))
            for label in labels:
                game = mine[mine["objective"] == label]
                style = small(labels, label)
                axis.plot(game["iteration"], game["kl"].clip(lower=FLOOR), label=label, **style)
                back = game["kl_player_data"].clip(lower=FLOOR)
                axis.plot(game["iteration"], back, color=style["color"], linewidth=0.7, linestyle=":")
                predicted = game[game["predicted_kl"].notna()]
                heights = predicted["predicted_kl"].astype(float).clip(lower=FLOOR)
                axis.plot(predicted["iteration"], heights, "o", markersize=6.5, fillstyle="none", color=GREY, linewidth=0)
                for row in game.to_dict("records"):
                    who = "initial policy" if row["iteration"] < 0 else f"{label}, iteration {row['iteration']}"
                    both = f"KL(data ‖ player) {_nats(row['kl'])} nats, KL(player ‖ data) {_nats(row['kl_player_data'])}"
                    made.say(axis, row["iteration"], max(row["kl"], FLOOR), f"{who}: {both}")
            axis.set_yscale("log")
            axis.set_ylim(FLOOR / 5, 3e3)
            axis.set_title(f"{panel.title}\n({world.name})", fontsize=7.5)
            iteration_axis(axis, claims.iterations, "i")
    for axis in made.axes[::columns]:
        axis.set_ylabel("KL, nats")
    for axis in made.axes[-columns:]:
        axis.set_xlabel("iteration")
        axis.legend(fontsize=6.5, loc="upper center", bbox_to_anchor=(0.5, -0.27), handlelength=2.5)
    return made


def _nats(value: float) -> str:
    return f"< {ATTAINED:.0e}" if value < ATTAINED else f"{value:.3g}"


def content(claims: Claims, played: Frame, judged: Frame) -> dict[str, Any]:
    """The page as blocks."""
    caption = (
        "KL(data ‖ player), and thin and dotted KL(player ‖ data), after every iteration of the exact game (i: initial policy); "
        "rings: where the panel's law puts the player by the first, given its exact opponent; values below "
        f"{FLOOR:g} nats are drawn on the lowest line. Numbers: games.csv."
    )
    return {
        "title": "With unlimited data and capacity",
        "name": "theory",
        "suite": f"{len(claims.world)} worlds",
        "suite_title": "exact self-play on a few outcomes",
        "sections": [
            section("Caveat", text(CAVEAT)),
            section("The curves", figure(FIGURE, caption)),
            section(
                "The laws", bullets(f"{p.title}: {p.claim} Source: {p.source}." for p in claims.panel), verdict_table(judged)
            ),
            section("The worlds", worlds_table(claims)),
        ],
    }


def verdict_table(judged: Frame) -> dict[str, Any] | None:
    rows = [
        [row["objective"], row["world"],
         *(f"{_nats(row[f'kl_{when}'])}; {_nats(row[f'kl_player_data_{when}'])}" for when in ("initial", "iteration_0", "last")),
         row["law_holds"], _factor(row["predicted_factor"]), _factor(row["error_factor"]), row["verdict"]]
        for row in judged.to_dict("records")
    ]  # fmt: skip
    header = ["objective", "world", "KL initial", "iter 0", "last", "law holds", "factor by law", "factor", "what it does"]
    caption = (
        "KL in nats: KL(data ‖ player); KL(player ‖ data). law holds: every player where the law puts it, to 1e-3 of both. "
        "factor: by what iteration 0 multiplied the centred log-error log(player / data), by the law and as played. Numbers: "
        "verdicts.csv."
    )
    return table(header, rows, caption, "llrrrlrrl", "000000001", 7)


def _factor(value: Any) -> str:
    return "–" if pd.isna(value) else f"{value:+.3f}".replace("+0.000", "0").replace("-0.000", "0")


def worlds_table(claims: Claims) -> dict[str, Any] | None:
    rows = [
        [world.name, name, ", ".join(f"{v:g}" for v in values)]
        for world in claims.world
        for name, values in (("data", world.data), ("initial policy", world.start), ("length in tokens", world.lengths))
    ]
    return table(
        ["world", "", "outcome by outcome"], rows, "The distributions played on: harness/theory/claims.toml.", "lll", "001", 8
    )
