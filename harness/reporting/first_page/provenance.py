"""What was run, in a line, and where the numbers come from, in another."""

from __future__ import annotations

from harness.reporting.display_text import display_text
from harness.reporting.first_page.numbers import capital, counted
from harness.reporting.first_page.page import Link
from harness.reporting.tables.reading import Tables
from harness.security.redact import redact_command

LAB = "lab"  # the distribution of the lab's data


def lead(tables: Tables) -> str:
    """Objectives, iterations, seeds, tasks, items and model; then the caveat that matters most."""
    record = tables.results.record
    variants = tables.results.variants
    methods = {record["variants"][label]["name"] for label in variants}
    what = counted(len(methods), "objective")
    items = sorted({int(n) for n in tables.results.scores["n"]})
    of_items = f" of {items[0]:,} items" if len(items) == 1 else f" of {items[0]:,} to {items[-1]:,} items" if items else ""
    parts = [
        what if len(methods) == len(variants) else f"{counted(len(variants), 'variant')} of {what}",
        counted(record["iterations"], "iteration"),
        counted(tables.seeds, "seed"),
        counted(len(tables.results.suite["task"]), "task") + of_items,
        f"started from {display_text(record['config']['model']['path'])}",
    ]
    is_lab = record["identity"]["data"].get("distribution") == LAB
    caveat = " A small world: it says nothing about large models." if is_lab else ""
    return f"{capital(', '.join(parts))}.{caveat}"


def provenance(tables: Tables) -> tuple[Link, ...]:
    record, suite = tables.results.record, tables.results.suite
    name = display_text(record["name"])
    commit = str(record["git_commit"] or "")
    dirty = " with uncommitted changes" if record["git_dirty"] else ""
    begun = record.get("begun")
    return (
        Link(f"begun {display_text(begun)}" if begun else "date not recorded"),
        Link(f"commit {commit[:10]}{dirty}" if commit else f"version {record['created_by_version']}, not run from a checkout"),
        Link(display_text(" ".join(redact_command(record["command"])))),
        Link(f"suite {display_text(suite['name'])} v{suite['version']}, lm-eval {suite['lm_eval']}"),
        Link(f"item by item: {name}.html"),
        Link(f"every number: {name}/*.csv"),
    )
