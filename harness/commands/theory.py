"""Command `theory`: exact self-play iterations on a few outcomes, written as a page."""

from __future__ import annotations

from pathlib import Path

from harness.commands.console import echo
from harness.discovery.declared import check_declared
from harness.discovery.variants import parse_variants
from harness.store.output_folders import check_report


def theory_command(objectives: str | None, iterations: int | None, reports: Path) -> None:
    check_report(reports / "theory.pdf", "--reports")
    variant_texts = [item.strip() for item in objectives.split(",") if item.strip()] if objectives is not None else None
    if variant_texts is not None:
        for variant in parse_variants(",".join(variant_texts)):
            check_declared(variant)
    from harness.theory.claims import load_claims  # torch and pandas take seconds to load; a mistake in an option is found by now
    from harness.theory.view import write_theory

    pdf = write_theory(load_claims(variant_texts, iterations), reports)
    echo(f"report  {pdf}")
    echo(f"numbers {pdf.with_suffix('') / 'games.csv'}, verdicts.csv")
