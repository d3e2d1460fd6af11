"""How well the first token ids alone distinguish real from synthetic responses, for every set of samples of a run."""

from __future__ import annotations

import json

import pandas as pd

from harness.analysis.facts import Frame, RunResults
from harness.records import INITIAL

FILE = "first_ids.json"
COLUMNS = ["objective", "seed", "iteration", "depth", "n", "accuracy", "halves", "halves_high", "telling", "told_by",
           "real_share", "synthetic_share", "source"]  # fmt: skip


def first_ids_table(results: RunResults) -> Frame:
    """One row per set of samples and depth; the initial policy's samples, which iteration 0 of a seed shares, are one set."""
    rows = [
        {**key, **{name: entry[name] for name in COLUMNS[3:-1]}, "source": results.relative_path(folder / FILE)}
        for key, folder, manifest in results.sample_sets()
        if FILE in manifest["outputs"]
        for entry in json.loads(results.read_text(folder, manifest, FILE))["first_ids"]
    ]
    return pd.DataFrame(rows, columns=COLUMNS)


def first_ids_sentence(table: Frame) -> str | None:
    """One sentence on the sets of samples in which the first ids are informative beyond chance; None where there are none."""
    telling = table[table["telling"].astype(bool)]
    if telling.empty:
        return None
    worst = telling.loc[telling["accuracy"].idxmax()]
    num_sets, num_telling = table["source"].nunique(), telling["source"].nunique()
    where = "the start" if worst["objective"] == INITIAL else worst["objective"]
    return (
        f"the first ids of a response alone tell real from synthetic in {num_telling} of {num_sets} sets of samples, most in "
        f"those of {where} (seed {worst['seed']}, iteration {worst['iteration']}): accuracy {worst['accuracy']:.2f} with "
        f"{worst['depth']} id(s), at most {worst['halves_high']:.2f} between halves of the real ones (n = {worst['n']}); most by "
        f"{worst['told_by']}: real {worst['real_share']:.0%}, synthetic {worst['synthetic_share']:.0%}"
    )
