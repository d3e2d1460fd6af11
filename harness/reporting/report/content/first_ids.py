"""Whether a response's first ids give away that it is synthetic."""

from __future__ import annotations

from harness.reporting.report.blocks import Block, section, table, text, visible
from harness.reporting.report.content.tables import Tables
from harness.reporting.tables.first_ids import telling_line

SHOWN = 12


def first_ids_section(tables: Tables) -> Block | None:
    found = tables.optional("tables/first_ids.csv")
    if found is None or found.empty:
        return None
    said = telling_line(found)
    worst = found.sort_values("accuracy", ascending=False, kind="stable").head(SHOWN)
    rows = [
        [r["objective"], str(r["seed"]), str(r["iteration"]), str(r["depth"]), str(r["n"]), f"{r['accuracy']:.3f}",
         f"{r['halves']:.3f} (at most {r['halves_high']:.3f})", visible(r["told_by"]), f"{r['real_share']:.0%}",
         f"{r['synthetic_share']:.0%}"]
        for r in worst.to_dict("records")
    ]  # fmt: skip
    return section(
        "What the first tokens give away",
        text(f"{said[0].upper()}{said[1:]}." if said else "In no set of samples do the first ids tell real from synthetic."),
        table(
            ["samples of", "seed", "iter", "ids", "n", "accuracy", "halves of the real", "most by", "real", "synthetic"],
            rows,
            "Accuracy of the best classifier that knows a response's first ids alone; beside it that between random halves of "
            f"the real responses. The {len(rows)} highest of {len(found)}; all: first_ids.csv. A dot is a space.",
            "lrrrrrllrr",
            "0000000100",
            7,
        ),
    )
