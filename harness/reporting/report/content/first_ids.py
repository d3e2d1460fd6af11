"""Whether a response's first token ids reveal that it is synthetic."""

from __future__ import annotations

from harness.reporting.display_text import display_text
from harness.reporting.report.blocks import Block, section, table, text
from harness.reporting.tables.first_ids import first_ids_sentence
from harness.reporting.tables.reading import Tables

NUM_SHOWN = 5


def first_ids_section(tables: Tables) -> Block | None:
    first_ids = tables.optional("tables/first_ids.csv")
    if first_ids is None or first_ids.empty:
        return None
    sentence = first_ids_sentence(first_ids)
    highest = first_ids.sort_values("accuracy", ascending=False, kind="stable").head(NUM_SHOWN)
    rows = [
        [r["objective"], str(r["seed"]), str(r["iteration"]), str(r["depth"]), str(r["n"]), f"{r['accuracy']:.3f}",
         f"{r['halves']:.3f} (at most {r['halves_high']:.3f})", display_text(r["told_by"]), f"{r['real_share']:.0%}",
         f"{r['synthetic_share']:.0%}"]
        for r in highest.to_dict("records")
    ]  # fmt: skip
    header = ["samples of", "seed", "iter", "ids", "n", "accuracy", "halves of the real", "most by", "real", "synthetic"]
    caption = (
        "Accuracy of the best classifier on a response's first ids alone; beside it that between random halves of "
        f"the real responses. The {len(rows)} highest of {len(first_ids)}; all: first_ids.csv. A dot is a space."
    )
    none_telling = "In no set of samples do the first ids distinguish real from synthetic."
    telling = text(f"{sentence[0].upper()}{sentence[1:]}." if sentence else none_telling)
    return section("What the first tokens reveal", telling, table(header, rows, caption, "lrrrrrllrr", "0000000100", 7))
