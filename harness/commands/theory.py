"""Command `theory`: exact self-play iterations on a few outcomes, written as a page."""

from __future__ import annotations

from pathlib import Path

from harness.commands.console import echo
from harness.store.output_folders import check_report


def theory_command(objectives: str | None, iterations: int | None, reports: Path) -> None:
    check_report(reports / "theory.pdf", "--reports")
    from harness.theory.claims import load_claims
    from harness.theory.view import write_theory

    variant_texts = [item.strip() for item in objectives.split(",") if item.strip()] if objectives is not None else None
    pdf = write_theory(load_claims(variant_texts, iterations), reports)
    echo(f"report  {pdf}")
    echo(f"numbers {pdf.with_suffix('') / 'games.csv'}, verdicts.csv")
