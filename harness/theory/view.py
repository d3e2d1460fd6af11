"""The theory page: games.csv and verdicts.csv, their curves, and the PDF and HTML page with the caveat."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pandas as pd

from harness.analysis.frames import Frame, select
from harness.errors import UserError
from harness.files import make_folder, write_text
from harness.reporting.figures import save_figure
from harness.reporting.figures.methods import looks
from harness.reporting.figures.style import GREY, Drawing, house_style, iteration_axis, make_drawing
from harness.reporting.report import write_pdf_and_html
from harness.reporting.report.blocks import bullets, figure, section, table, text
from harness.security.escaping import to_csv_text
from harness.theory.claims import KL_TOLERANCE, Claims, describe, iteration_table, law_holds

CAVEAT = (
    "These are population optima. Every expectation is exact, the policy can represent every distribution over the outcomes, "
    "and every iteration is trained to convergence. A language model sees a few pairs once or twice, cannot represent every "
    "distribution and stops early; an objective whose optimum is far from the data may do well in practice, and the reverse."
)
KL_FLOOR = 1e-10  # nats; KL below it is drawn at it
FIGURE = "kl_curves"
MAX_TICKS = 10


def write_theory(claims: Claims, reports: Path) -> Path:
    """Solve the claims and write reports/theory.pdf, .html and theory/ (csv, figure); returns the PDF's path."""
    iteration_rows = iteration_table(claims)
    verdict_rows = verdicts(claims, iteration_rows)
    pdf = reports / "theory.pdf"
    folder = pdf.with_suffix("")
    try:
        make_folder(folder)
        write_text(folder / "games.csv", to_csv_text(iteration_rows))
        write_text(folder / "verdicts.csv", to_csv_text(verdict_rows))
        with house_style():
            save_figure(curves(claims, iteration_rows), folder / FIGURE)
    except OSError as error:
        raise UserError(f"{pdf}: cannot be written ({error.strerror}); use --reports DIR") from error
    write_pdf_and_html(content(claims, iteration_rows, verdict_rows), folder, pdf)
    return pdf


def verdicts(claims: Claims, iteration_rows: Frame) -> Frame:
    """One row per variant and setting: what it did, whether its panel's law holds, the law's factor beside the measured one."""
    rows = []
    for panel in claims.panel:
        panel_rows = select(iteration_rows, panel=panel.title)
        for objective, setting in itertools.product(panel_rows["objective"].unique(), claims.world):
            games = select(panel_rows, objective=objective, world=setting.name)
            moments = {"initial": games.iloc[0], "iteration_0": games.iloc[1], "last": games.iloc[-1]}
            rows.append(
                {
                    "panel": panel.title,
                    "objective": objective,
                    "world": setting.name,
                    **{f"{kl}_{when}": row[kl] for kl in ("kl", "kl_player_data") for when, row in moments.items()},
                    "law_holds": law_holds(panel, games),
                    **moments["iteration_0"][["predicted_factor", "error_factor"]],
                    "verdict": describe(games),
                    "source": "games.csv",
                }
            )
    return pd.DataFrame(rows)


def curves(claims: Claims, iteration_rows: Frame) -> Drawing:
    """KL(data || policy), thin and dotted KL(policy || data), against iteration, logarithmic: a row per setting, a column per
    panel; rings: the law's prediction of the first.
    """
    rows, columns = len(claims.world), len(claims.panel)
    plot = make_drawing(rows, columns, 2.45 * rows + 0.3, sharex=True, sharey=True)
    for axis, (setting, panel) in zip(plot.axes, itertools.product(claims.world, claims.panel), strict=True):
        panel_rows = select(iteration_rows, panel=panel.title, world=setting.name)
        labels = list(dict.fromkeys(panel_rows["objective"]))
        for label, look in looks({label: {"name": label.partition("-")[0]} for label in labels}).items():
            games = select(panel_rows, objective=label)
            axis.plot(games["iteration"], games["kl"].clip(lower=KL_FLOOR), label=label, **look.thin_style())
            reverse_kl = games["kl_player_data"].clip(lower=KL_FLOOR)
            axis.plot(games["iteration"], reverse_kl, color=look.colour, linewidth=0.7, linestyle=":")
            predicted = games.dropna(subset="predicted_kl")
            predicted_kl = predicted["predicted_kl"].astype(float).clip(lower=KL_FLOOR)
            axis.plot(predicted["iteration"], predicted_kl, "o", markersize=6.5, fillstyle="none", color=GREY, linewidth=0)
            for row in games.to_dict("records"):
                name = "initial policy" if row["iteration"] < 0 else f"{label}, iteration {row['iteration']}"
                forward, backward = _format_nats(row["kl"]), _format_nats(row["kl_player_data"])
                tooltip = f"{name}: KL(data ‖ policy) {forward} nats, KL(policy ‖ data) {backward}"
                plot.add_tooltip(axis, row["iteration"], max(row["kl"], KL_FLOOR), tooltip)
        axis.set_yscale("log")
        axis.set_ylim(KL_FLOOR / 5, 3e3)
        axis.set_title(f"{panel.title}\n({setting.name})", fontsize=7.5)
        iteration_axis(axis, claims.iterations, at_most=MAX_TICKS)
    for axis in plot.axes[::columns]:
        axis.set_ylabel("KL, nats")
    for axis in plot.axes[-columns:]:
        axis.set_xlabel("iteration")
        axis.legend(fontsize=6.5, loc="upper center", bbox_to_anchor=(0.5, -0.27), handlelength=2.5)
    return plot


def _format_nats(value: float) -> str:
    return f"< {KL_TOLERANCE:.0e}" if value < KL_TOLERANCE else f"{value:.3g}"


def content(claims: Claims, iteration_rows: Frame, verdict_rows: Frame) -> dict[str, Any]:
    """The page's blocks."""
    caption = (
        "KL(data ‖ policy), and thin and dotted KL(policy ‖ data), after every iteration of exact self-play from the start, the "
        "initial policy; "
        "rings: the first as the panel's law predicts it from the exact opponent; values below "
        f"{KL_FLOOR:g} nats are drawn on the lowest line. Numbers: games.csv."
    )
    laws = bullets(f"{p.title}: {p.claim} Source: {p.source}." for p in claims.panel)
    sections = [
        section("Caveat", text(CAVEAT)),
        section("The curves", figure(FIGURE, caption)),
        section("The laws", laws, verdict_table(verdict_rows)),
        section("The worlds", settings_table(claims)),
    ]
    suite = {"suite": f"{len(claims.world)} worlds", "suite_title": "exact self-play on a few outcomes"}
    return {"title": "With unlimited data and capacity", "name": "theory", **suite, "sections": sections}


def verdict_table(verdict_rows: Frame) -> dict[str, Any] | None:
    rows = []
    for row in verdict_rows.to_dict("records"):
        pairs = ((row[f"kl_{when}"], row[f"kl_player_data_{when}"]) for when in ("initial", "iteration_0", "last"))
        nats = ["; ".join(map(_format_nats, pair)) for pair in pairs]
        factors = [_format_factor(row[name]) for name in ("predicted_factor", "error_factor")]
        rows.append([row["objective"], row["world"], *nats, row["law_holds"], *factors, row["verdict"]])
    header = ["objective", "world", "KL initial", "iter 0", "last", "law holds", "factor by law", "factor", "what it does"]
    caption = (
        "KL in nats: KL(data ‖ policy); KL(policy ‖ data). law holds: every policy is as the law predicts, to 1e-3 of both. "
        "factor: of the centred log-error log(policy / data) in iteration 0, by the law and as solved. Numbers: "
        "verdicts.csv."
    )
    return table(header, rows, caption, "llrrrlrrl", "000000001", 7)


def _format_factor(value: Any) -> str:
    return "–" if pd.isna(value) else f"{value:+.3f}".replace("+0.000", "0").replace("-0.000", "0")


def settings_table(claims: Claims) -> dict[str, Any] | None:
    rows = [
        [setting.name, name, ", ".join(f"{v:g}" for v in values)]
        for setting in claims.world
        for name, values in (("data", setting.data), ("initial policy", setting.start), ("length in tokens", setting.lengths))
    ]
    return table(["world", "", "outcome by outcome"], rows, "The distributions: harness/theory/claims.toml.", "lll", "001", 8)
