"""Runs made up of known answers, without a folder: the facts, the tables, and the tables as the report reads them."""

import itertools
from pathlib import Path

import numpy as np
import pandas as pd

from harness.analysis.facts import RunResults
from harness.records import INITIAL
from harness.reporting.tables.comparisons import comparisons_table
from harness.reporting.tables.curves import stability_table
from harness.reporting.tables.leaderboard import leaderboard
from harness.reporting.tables.paired_scores import PairedScores
from harness.reporting.tables.ranking import ranking_table
from harness.reporting.tables.reading import Tables

TASKS = ("one", "two")
BASE = (INITIAL, None, -1)


def made(answers, seeds=(0,), iterations=1, clusters=None):
    """Facts of a run from {(objective, seed, iteration): {task: values}}; the initial policy's key is (INITIAL, None, -1)."""
    facts = RunResults.__new__(RunResults)
    facts.root, facts.suite_name = Path("made"), None
    labels = [objective for objective, _, _ in answers if objective != INITIAL]
    rows = [{"name": task, "label": task, "metric": "acc", "chance": 0.0} for task in TASKS]
    facts.record = {
        "suite": "s", "suites": {"s": {"name": "s", "version": "1", "task": rows}}, "seeds": list(seeds),
        "iterations": iterations, "variants": {label: entry_of(label) for label in labels}, "name": "made",
    }  # fmt: skip
    shared = {"items": "same", **({"clusters": clusters} if clusters else {})}
    facts.__dict__["item_scores"] = {
        key: {task: shared | {"values": list(values)} for task, values in tasks.items()} for key, tasks in answers.items()
    }
    facts.__dict__["scores"] = pd.DataFrame(
        [
            {"objective": o, "seed": s, "iteration": t, "task": task, "label": task, "suite": "s v1",
             "value": float(np.mean(values)), "stderr": 0.5, "n": len(values),
             "clusters": len(set(clusters)) if clusters else None}
            for (o, s, t), tasks in answers.items() for task, values in tasks.items()
        ]
    ).astype({"seed": "Int64"})  # fmt: skip
    return facts


def entry_of(label):
    """The record's entry of an objective; sft is the one that needs no generated responses."""
    needs = {"reference": label != "sft", "synthetic": int(label != "sft"), "proto": 0}
    return {"name": label, "folder": label, "title": label.upper(), "needs": [needs]}


def drawn(generator, items=30, share=0.5):
    return {task: (generator.random(items) < share).astype(float) for task in TASKS}


def played(share, seeds=(0, 1, 2), iterations=3, items=30, seed=0):
    """Objectives with these shares of right answers, by name and iteration."""
    generator = np.random.default_rng(seed)
    answers = {BASE: drawn(generator, items)}
    for label, s, t in itertools.product(share, seeds, range(iterations)):
        answers[label, s, t] = drawn(generator, items, share[label][t])
    return made(answers, seeds, iterations)


def tables(facts):
    arena = PairedScores(facts)
    board, curves, compared = leaderboard(facts, arena), stability_table(facts, arena), comparisons_table(arena)
    return board, curves, compared, ranking_table(arena, board, curves, compared)


class Written(Tables):
    """The tables of made-up facts as the report reads them."""

    def __init__(self, facts):
        super().__init__(facts)
        board, curves, compared, standing = tables(facts)
        self.__dict__ |= {"leaderboard": board, "stability": curves, "comparisons": compared, "ranking": standing}
