"""Tables of studies that nobody has played, with plausible numbers and the columns of the real ones, for their figures."""

import pandas as pd

from harness.reporting.figures.methods import looks
from harness.reporting.tables.comparisons import COLUMNS as COMPARISON_COLUMNS
from harness.reporting.tables.study import SCORE_COLUMNS

NONE = {"reference": False, "synthetic": 0, "proto": 0, "history": 0}
MANY = {name if n == 0 else f"{name}-beta{n}": name for n in range(4) for name in ("sft", "space", "spin", "mine")}
TITLES = {"sft": "Supervised fine-tuning", "space": "SPACE: a", "spin": "SPIN: b", "tspin": "T-SPIN: c", "sipo": "S-IPO: d",
          "ssimpo": "S-SimPO: e"}  # fmt: skip


def entries(variants):
    """run.json's entries of the variants. variants: label -> name of the objective."""
    return {
        label: {
            "name": name, "title": TITLES.get(name, name), "folder": label, "params": {}, "training": {}, "examples": None,
            "needs": [NONE if name == "sft" else {**NONE, "synthetic": 1}],
        }
        for label, name in variants.items()
    }  # fmt: skip


def looks_of(variants):
    return looks(entries(variants))


RATES = (3e-5, 1e-4, 3e-4, 1e-3, 3e-3)
PEAKS = {"sft": (80, 88, 93.5, 94.6, 93.2), "space": (76, 86, 92.4, 93.3, 93.9), "spin": (74, 80.1, 80.4, 71, 55),
         "tspin": (77, 84, 85.2, 60, 41), "sipo": (75, 85, 91, 90.4, 66), "ssimpo": (79.8, 78, 74, 60, 50)}  # fmt: skip


def chosen(scores=None, rates=RATES, seeds=3):
    """chosen.csv: objective -> the validation means in percent, None where one is missing."""
    rows = []
    for objective, means in (scores or PEAKS).items():
        known = [mean for mean in means if mean is not None]
        best = means.index(max(known)) if known else None
        for place, (rate, mean) in enumerate(zip(rates, means, strict=True)):
            is_chosen = place == best
            share = None if mean is None else mean / 100
            rows.append({
                "objective": objective, "key": "training.lr", "value": rate, "label": f"{objective}-lr{rate:g}",
                "suite": "lab-ten-validation", "seeds": seeds, "validation_last": share, "validation_best": share,
                "item_stderr_last": None if mean is None else 0.011, "chosen": is_chosen,
                "at_edge": is_chosen and place in (0, len(means) - 1),
            })  # fmt: skip
    return pd.DataFrame(rows)


def chosen_variants(scores=None, rates=RATES):
    return {f"{objective}-lr{rate:g}": objective for objective in (scores or PEAKS) for rate in rates}


ARMS = (
    ("space-examples300", "space", "self-play on n = 300", 300, 81.2, 4.1e6),
    ("spin-examples300", "spin", "self-play on n = 300", 300, 77.9, 7.4e6),
    ("tspin-examples300", "tspin", "self-play on n = 300", 300, 70.1, 6.2e6),
    ("sft-examples300", "sft", "SFT on n", 300, 79.0, 1.8e6),
    ("sft-examples600", "sft", "SFT on 2n", 600, 86.6, 3.6e6),
    ("sft", "sft", "SFT on 4n, all 1,200", None, 94.7, 7.2e6),
    ("sft-examples300-epochs5", "sft", "SFT on n, tokens of SPACE (5 epochs)", 300, 82.9, 4.4e6),
    ("sft-examples300-epochs9", "sft", "SFT on n, tokens of SPIN (9 epochs)", 300, 83.4, 7.6e6),
)


def arms(rows=ARMS, last=4, seeds=5):
    """study.csv of arms (label, objective, note, pairs, mean in percent, token passes)."""
    table = []
    for label, _, note, pairs, mean, passes in rows:
        scores = (mean / 100, mean / 100 - 0.018, mean / 100 + 0.018, 0.009, seeds)
        table.append({"objective": label, "note": note, "pairs": pairs} | {
            f"{name}_iteration_{last}": value for name, value in zip(SCORE_COLUMNS, scores, strict=True)
        } | {"token_passes": passes, "seconds": passes / 1e5})  # fmt: skip
    return pd.DataFrame(table).astype({"pairs": "Int64"})


def arm_variants(rows=ARMS):
    return {label: objective for label, objective, *_ in rows}


MU_ARMS = (("space", "mu 1, K 1", 1.0), ("space-mu3", "mu 3, K 3", 2.1), ("space-mu7", "mu 7, K 7", 4.0),
           ("space-mu3-samples1", "mu 3, K 1", 1.05), ("space-mu7-samples1", "mu 7, K 1", 1.08))  # fmt: skip


def played(arms_of=MU_ARMS, iterations=3, seeds=3, lead=2.5):
    """(arms, leaderboard, cost.csv): (label, note, tokens of an iteration in units of 600 k)."""
    board = [("initial", -1, None, 0.61, 0.02, None, None)]
    costs = []
    for place, (label, _, share) in enumerate(arms_of):
        for t in range(iterations):
            mean = 0.61 + 0.33 * (1 - 0.35 ** (t + 1)) + (lead * place / 100) / (1 + t)
            board.append((label, t, seeds, mean, 0.01, mean - 0.02, mean + 0.02))
            for seed in range(seeds):
                for phase, part in (("generate", 0.04), ("score", 0.06), ("train", 0.9)):
                    costs.append((label, seed, t, phase, round(share * part * 6e5)))
                costs.append((label, seed, t, "evaluate", None))
    columns = ["objective", "iteration", "seeds", "mean", "item_stderr", "mean_low", "mean_high"]
    tokens = pd.DataFrame(costs, columns=["objective", "seed", "iteration", "phase", "tokens"]).astype({"tokens": "Int64"})
    return [{"label": label, "note": note} for label, note, _ in arms_of], pd.DataFrame(board, columns=columns), tokens


QUESTIONS = (
    ("SPACE: fresh responses at iteration 1 against 4 epochs on iteration 0's", "space", 0.019, 0.008, 0.030, 0.004),
    ("SPIN: fresh responses at iteration 1 against 4 epochs on iteration 0's", "spin", 0.023, -0.004, 0.05, 0.09),
    ("T-SPIN: fresh responses at iteration 1 against 4 epochs on iteration 0's", "tspin", -0.027, -0.041, -0.013, 0.0004),
)


def comparisons(questions=QUESTIONS):
    """comparisons.csv of the study's own questions (question, a, difference, low, high, p), and of a pair that is none."""
    rows = [
        {"panel": "study", "question": question, "a": a, "iteration_a": 1, "b": f"{a}-epochs4", "iteration_b": 0, "task": "mean",
         "difference": difference, "low": low, "high": high, "p": p, "p_holm": p, "seeds": 5, "over": "items and seeds"}
        for question, a, difference, low, high, p in questions
    ]  # fmt: skip
    other = {"panel": "", "question": "", "a": "space", "b": "spin", "task": "mean", "difference": 0.5, "seeds": 5}
    return pd.DataFrame([*rows, other], columns=COMPARISON_COLUMNS)
