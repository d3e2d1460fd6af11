"""What the lab says, as Markdown out of the studies' csv files alone: the objectives' table and the claims of the papers.

A study that was not played is "not played", a pair that a study does not have is a dash. A claim's verdict follows from its
interval: above 0, below 0, or neither.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from harness.analysis.frames import Frame, select
from harness.analysis.stats import MIN_SEEDS_FOR_INTERVAL
from harness.reporting.generated_docs import rewrite
from tests.bench.measure import ROOT
from tests.bench.speed_table import markdown

STUDIES = ROOT / "results" / "reference"
STARTS = {"base": "study-stability", "sft": "study-stability-from-sft"}
PANELS = {"common": "at the common setting", "own": "each at its tuned setting"}
README = ROOT / "results" / "README.md"
EQUAL_COST = 0.05  # a difference of tokens that is not worth a word
NOT_PLAYED, DASH = "not played", "–"


@dataclass(frozen=True)
class Interval:
    value: float
    low: float
    high: float
    seeds: int = MIN_SEEDS_FOR_INTERVAL  # of which it is

    @classmethod
    def of(cls, row: pd.Series, name: str) -> Interval:
        """The columns NAME, NAME_low and NAME_high, or difference, low and high."""
        low, high = ("low", "high") if name in ("difference", "value") else (f"{name}_low", f"{name}_high")
        seeds = row.get("seeds", MIN_SEEDS_FOR_INTERVAL)
        known = MIN_SEEDS_FOR_INTERVAL if pd.isna(seeds) else int(seeds)
        return cls(float(row[name]), float(row[low]), float(row[high]), known)

    def shown(self, unit: float = 100.0, sign: str = "", digits: int = 1) -> str:
        value, low, high = (f"{unit * v:{sign}.{digits}f}" for v in (self.value, self.low, self.high))
        return value if pd.isna(self.low) else f"{value} [{low}, {high}]"

    @property
    def verdict(self) -> str:
        if self.seeds < MIN_SEEDS_FOR_INTERVAL:  # items alone: no result
            return f"{self.seeds} seed{'s' * (self.seeds != 1)}, no result"
        return "yes" if self.low > 0 else "no, the reverse" if self.high < 0 else "not shown"


@dataclass(frozen=True)
class Study:
    """The tables of one played study. Folder: `results/reference` unless a test has its own."""

    name: str
    folder: Path

    @property
    def is_played(self) -> bool:
        return (self.folder / self.name / "tables/comparisons.csv").is_file()

    def table(self, name: str) -> Frame:
        return pd.read_csv(self.folder / self.name / "tables" / name)

    def standing(self, panel: str) -> dict[str, pd.Series]:
        """The rows of a panel by objective, whatever its own setting is called: space for space-lr0.001."""
        rows = _of_panel(self.table("standing.csv"), panel)
        return {row["objective"].partition("-lr")[0]: row for _, row in rows.iterrows()}

    def difference(self, panel: str, one: str, other: str) -> Interval | None:
        """Mean over the tasks at the last iteration, one minus the other, paired."""
        rows = select(_of_panel(self.table("comparisons.csv"), panel), task="mean")
        for _, row in rows[rows["question"].isna()].iterrows():
            pair = row["a"].partition("-lr")[0], row["b"].partition("-lr")[0]
            if pair == (one, other):
                return Interval.of(row, "difference")
            if pair == (other, one):
                turned = Interval.of(row, "difference")
                return Interval(-turned.value, -turned.high, -turned.low, turned.seeds)
        return None

    def answer(self, question: str) -> Interval | None:
        """Of a contrast that the study names."""
        rows = select(self.table("comparisons.csv"), question=question, task="mean")
        return Interval.of(rows.iloc[0], "difference") if len(rows) else None

    def cost(self, question: str) -> float | None:
        """Tokens through the model of a contrast's first side, as a multiple of the other's."""
        if not (self.folder / self.name / "tables/compute.csv").is_file():
            return None
        ratios = select(self.table("compute.csv"), question=question)["token_passes_ratio"].dropna()
        return float(ratios.iloc[0]) if len(ratios) else None

    def drift(self, label: str, name: str) -> Interval:
        rows = select(self.table("drift.csv"), objective=label, name=name)
        return Interval.of(rows.loc[rows["iteration"].idxmax()], "value")


def _of_panel(table: Frame, panel: str) -> Frame:
    """A study whose rates are not chosen yet has no panels: all of it is at the common setting."""
    if table["panel"].isin(list(PANELS.values())).any():
        return select(table, panel=panel)
    return table[table["panel"].isna()] if panel == PANELS["common"] else table.iloc[:0]


def objectives_table(folder: Path = STUDIES) -> str:
    """One row per start, setting and objective: last mean, drop from the best, churn, KL in both directions, with intervals."""
    body: list[list[str]] = []
    for start, name in STARTS.items():
        study = Study(name, folder)
        if not study.is_played:
            body.append([start, NOT_PLAYED, *[DASH] * 6])
            continue
        initial = select(study.table("leaderboard.csv"), objective="initial").iloc[0]
        error = f"{100 * initial['mean']:.1f} ± {100 * initial['item_stderr']:.1f}"
        kls = [study.drift("initial", f"kl_{direction}") for direction in ("data_policy", "policy_data")]
        body.append([start, "untouched", error, DASH, DASH, *(f"{kl.value:.2f}" for kl in kls), DASH])
        common = study.standing(PANELS["common"])
        for setting, panel in PANELS.items():
            for objective, row in study.standing(panel).items():
                if setting == "own" and row["objective"] == common[objective]["objective"]:
                    continue
                measured = [Interval.of(row, column).shown() for column in ("last", "drop", "churn")]
                kls = [study.drift(row["objective"], f"kl_{d}").shown(1, digits=2) for d in ("data_policy", "policy_data")]
                body.append([start, _setting(row["objective"]), *measured, *kls, str(row["seeds"])])
    head = ["start", "objective", "last", "drop from best", "churn", "KL(data ‖ policy)", "KL(policy ‖ data)", "seeds"]
    return markdown(head, body)


def _setting(label: str) -> str:
    name, _, rate = label.partition("-lr")
    return f"{name}, own rate {float(rate):g}" if rate else name


@dataclass(frozen=True)
class Claim:
    """A sentence of a paper; what it says of one start and setting, or of a study's contrasts."""

    text: str
    of_panel: Callable[[Study, str], str] | None = None
    study: str = ""
    questions: Sequence[str] = ()


def _against(other: str, *names: str) -> Callable[[Study, str], str]:
    return lambda study, panel: _said([(name, study.difference(panel, name, other)) for name in names])


def _steadier(study: Study, panel: str) -> str:
    """Lower churn, lower largest fall; of two intervals over seeds, so "not shown" where they overlap."""
    standing = study.standing(panel)
    if not {"space", "spin"} <= set(standing):
        return DASH
    space, spin = standing["space"], standing["spin"]
    return "; ".join(
        f"{words}: {_lower(Interval.of(space, name), Interval.of(spin, name), 100, 1)}"
        for name, words in (("churn", "churn"), ("largest_fall", "largest fall"))
    )


def _closer(study: Study, panel: str) -> str:
    standing = study.standing(panel)
    if not {"space", "spin"} <= set(standing):
        return DASH
    labels = [standing[name]["objective"] for name in ("space", "spin")]
    texts = []
    for name, words in (("kl_data_policy", "KL(data ‖ policy)"), ("kl_policy_data", "KL(policy ‖ data)")):
        texts.append(f"{words}: {_lower(*(study.drift(label, name) for label in labels), 1, 2)}")
    return "; ".join(texts)


def _lower(one: Interval, other: Interval, unit: float, digits: int) -> str:
    verdict = "yes" if one.high < other.low else "no, the reverse" if other.high < one.low else "not shown"
    return f"{one.shown(unit, digits=digits)} against {other.shown(unit, digits=digits)}, {verdict}"


CLAIMS = (
    Claim("SPACE scores above SPIN (SPACE)", _against("spin", "space")),
    Claim("T-SPIN scores above SPIN (T-SPIN)", _against("spin", "tspin")),
    Claim(
        "Self-play scores above SFT on the same pairs (SPIN, T-SPIN)", _against("sft", "space", "spin", "tspin", "sipo", "ssimpo")
    ),
    Claim("SPACE is steadier than SPIN (SPACE)", _steadier),
    Claim("SPACE comes closer to the data's distribution than SPIN (SPACE, its theory)", _closer),
    Claim("More synthetic responses per real one help (SPACE, mu 7 against 1, K = mu)", None, "study-mu", (
        "mu 7 against mu 1, K = mu, iteration 0", "mu 7 against mu 1, K = mu, iteration 1",
        "mu 7 against mu 1, K = mu, last iteration",
    )),
    Claim("Self-play on n pairs is worth SFT on 4n (T-SPIN, its figure 4a; n = 300)", None, "study-data", (
        "SPACE on n against SFT on 4n", "SPIN on n against SFT on 4n", "T-SPIN on n against SFT on 4n",
    )),
    Claim("Self-play on n beats SFT on n of as many tokens", None, "study-data", (
        "SPACE on n against SFT on n of as many tokens", "SPIN on n against SFT on n of as many tokens",
    )),
    Claim("Fresh responses beat more epochs on the old ones (SPIN)", None, "study-resample", tuple(
        f"{name}: fresh responses at iteration 1 against 4 epochs on iteration 0's" for name in ("SPACE", "SPIN", "T-SPIN")
    )),
)  # fmt: skip


def claims_table(folder: Path = STUDIES) -> str:
    """One row per claim: the paired difference in points with its 95 % interval and what follows, per start and setting."""
    columns = [(start, setting) for start in STARTS for setting in PANELS]
    head = ["claim", *(f"{start}, {'common rate' if setting == 'common' else 'own rates'}" for start, setting in columns)]
    return markdown(head, [[claim.text, *(_cell(claim, *column, folder) for column in columns)] for claim in CLAIMS])


def _cell(claim: Claim, start: str, setting: str, folder: Path) -> str:
    if claim.of_panel is not None:
        study = Study(STARTS[start], folder)
        return claim.of_panel(study, PANELS[setting]) if study.is_played else NOT_PLAYED
    if (start, setting) != ("base", "common"):  # these studies are played from the base, at the common rate
        return DASH
    study = Study(claim.study, folder)
    if not study.is_played:
        return NOT_PLAYED
    return "; ".join(f"{question}: {_shown(study.answer(question), study.cost(question))}" for question in claim.questions)


def _shown(interval: Interval | None, cost: float | None = None) -> str:
    if interval is None:
        return DASH
    at = "" if cost is None or abs(cost - 1) < EQUAL_COST else f" at {cost:.1f} times the tokens"
    return f"{interval.shown(sign='+')}{at}, {interval.verdict}"


def _said(found: Sequence[tuple[str, Interval | None]]) -> str:
    return "; ".join((f"{name}: " if len(found) > 1 else "") + _shown(interval) for name, interval in found)


def blocks(folder: Path = STUDIES) -> dict[str, str]:
    """Markdown by the name of the block that holds it."""
    return {"lab objectives": objectives_table(folder), "lab claims": claims_table(folder)}


def write_readme(folder: Path = STUDIES) -> None:
    for name, block in blocks(folder).items():
        rewrite(README, name, block)
