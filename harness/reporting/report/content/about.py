"""What was run and with what: objectives, their deviations, settings, suite, provenance."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from harness.analysis.facts import RunResults
from harness.reporting.figures.stale import figures_choice
from harness.reporting.report.blocks import Block, display_text, section, table, variants
from harness.reporting.report.content.tables import Tables
from harness.reporting.tables.formatting import DASH, ranges_note, unaveraged_note
from harness.security.redact import redact_command
from harness.store.versions import shorten_list

SETTINGS = "Settings all trials share."
PROVENANCE = (
    "Where the numbers come from: run.json and, for what a phase was made with, the manifests of the phases; where phases "
    "differ, every version with the folders it is true of (all of them in versions.csv)."
)


def objectives_section(tables: Tables) -> Block:
    return section("Objectives", variants([variant_entry(tables.results, label) for label in tables.results.variants]))


def settings_section(tables: Tables) -> Block:
    results = tables.results
    return section(
        "Settings and provenance",
        table(["shared setting", "value"], settings_rows(results.record["identity"]), SETTINGS, "ll", "01", 7.5),
        table(["provenance", ""], provenance_rows(tables), PROVENANCE, "ll", "01", 7.5),
        table(["data", "count"], data_rows(results), "The annotated pairs: data/manifest.json.", "lr", "00", 7.5),
        suite_block(results),
    )


def suite_block(results: RunResults) -> Block | None:
    limit = results.record["config"]["evaluation"]["limit"]
    has_clusters = any(t.get("cluster") for t in results.suite["task"])
    rows = [
        [t["name"], t["stands_for"] or DASH, str(t["shots"]), t["metric"], t["filter"],
         f"{t['chance']:.2f}" if results.scales[t["name"]].in_mean else DASH, str(t["limit"] or limit or "all"),
         *([display_text(t.get("cluster") or DASH)] if has_clusters else [])]
        for t in results.suite["task"]
    ]  # fmt: skip
    header = ["task", "stands for", "shots", "metric", "filter", "chance", "items", *(["cluster"] if has_clusters else [])]
    cluster_note = "; cluster: what dependent items share; errors are those of sampling clusters" if has_clusters else ""
    notes = ranges_note(results) + unaveraged_note(results) + cluster_note
    caption = f"The suite {results.suite['name']} v{results.suite['version']}{notes}."
    num_extra = len(header) - 7
    return table(header, rows, caption, "llrllrr" + "l" * num_extra, "0100000" + "0" * num_extra, 8)


def settings_rows(identity: dict[str, Any]) -> list[list[str]]:
    values = ((f"{section}.{key}", value) for section, keys in identity.items() for key, value in keys.items())
    return [[name, display_text(json.dumps(value))] for name, value in values]


def variant_entry(results: RunResults, label: str) -> dict[str, Any]:
    """Title, citation, settings of every iteration and deviations from the shared training settings of one variant."""
    variant = results.record["variants"][label]
    resolved = variant["resolved"]
    parameters = []
    for key in resolved[0]:
        values = [step[key] for step in resolved]
        is_constant = all(v == values[0] for v in values)
        schedule = " → ".join(map(display_text, values)) + " (by iteration)"
        parameters.append([key, display_text(values[0]) if is_constant else schedule])
    citation = variant["citation"]
    needs = variant["needs"][-1]
    return {
        "label": label,
        "title": display_text(variant["title"]),
        "citation": display_text(f"{citation['label']}: {citation['title']}. {citation['where']}."),
        "url": display_text(citation["url"]),
        "parameters": parameters,
        "needs": ", ".join(k if v is True else f"{k} {v}" for k, v in needs.items() if v) or "nothing",
        "deviations": [
            *([f"training.{k}", display_text(v)] for k, v in variant["training"].items()),
            *([["data.examples", str(variant["examples"])]] if variant.get("examples") else []),
        ],
        "digest": variant["source_digest"],
    }


def data_rows(results: RunResults) -> list[list[str]]:
    manifest = results.finished_phases.manifest("data")
    return [[key, str(value)] for key, value in manifest["counts"].items()] if manifest else []


def provenance_rows(tables: Tables) -> list[list[str]]:
    results, made_with = tables.results, version_rows(tables)
    record = results.record
    names_of_phases = set(tables.versions["name"])
    dirty = {True: " with uncommitted changes", False: "", None: ""}[record["git_dirty"]]
    drawn_with = figures_choice(results.root / "plots").as_typed()
    step0 = results.costs["step0"].dropna()
    pinned = ["lm-eval pinned by suite", results.suite["lm_eval"]]
    benchmark_version = ["judge", display_text(results.judge_name)] if results.judge_name else pinned
    return [
        ["program", f"selfplay-harness {record['created_by_version']}"],
        ["commit", f"{record['git_commit'] or 'not run from a checkout'}{dirty}"],
        ["command", display_text(" ".join(redact_command(record["command"])))],
        *([["figures drawn with", display_text(drawn_with)]] if drawn_with else []),
        ["base model digest", str(record["base_digest"])],
        *([["base model commit on the hub", display_text(record["base_commit"])]] if record.get("base_commit") else []),
        ["prompt template", record["template"]],
        *[[f"hardware: {k}", display_text(_format_value(v))] for k, v in record["hardware"].items() if k not in names_of_phases],
        *made_with,
        benchmark_version,
        ["step-0 invariant", f"|log-ratio| per token before an update ≤ {step0.max():.2g} nats" if len(step0) else DASH],
    ]  # fmt: skip


def _format_value(value: Any) -> str:
    """A value of run.json's hardware as text: names with their values, lists in a line."""
    if isinstance(value, Mapping):
        return "; ".join(f"{name} {_format_value(inner)}" for name, inner in value.items()) or DASH
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def version_rows(tables: Tables) -> list[list[str]]:
    """One row per library and part of the machine: the version of all phases, or each version with its number of phases."""
    rows = []
    for name, name_rows in tables.versions.groupby("name", sort=False):
        versions = name_rows.to_dict("records")
        parts = [
            f"{row['version'] or 'not recorded'} in {row['phases']} of {row['of']} phases ({shorten_list(row['where'].split())})"
            for row in versions
        ]
        shown_versions = versions[0]["version"] if len(versions) == 1 else "; ".join(parts)
        rows.append([f"made with: {display_text(name)}", display_text(shown_versions)])
    return rows
