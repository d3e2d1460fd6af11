"""What was run and with what: objectives, their deviations, settings, suite, provenance."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from harness.analysis.facts import RunResults
from harness.reporting.display_text import display_text
from harness.reporting.figures.methods import display_names
from harness.reporting.figures.stale import figures_choice
from harness.reporting.report.blocks import Block, section, table, text, variants
from harness.reporting.tables.formatting import DASH, ranges_note, unaveraged_note
from harness.reporting.tables.reading import Tables
from harness.security.redact import redact_command
from harness.settings.toml_files import get_nested
from harness.store.versions import shorten_list

MAX_VERSIONS_CHARS = 1500
PROVENANCE = (
    "Where the numbers come from: run.json and, for what a phase was made with, the manifests of the phases; where phases "
    "differ, every version with the folders it is true of (all of them in versions.csv)."
)


def objectives_section(tables: Tables) -> Block:
    return section("Objectives", variants(variant_entries(tables.results)))


def settings_section(tables: Tables) -> Block:
    results = tables.results
    rows, recipe = changed_settings(results.record), display_text(results.record["config"].get("recipe"))
    note = f"Settings that are not the recipe's ({recipe}) or the defaults, and what gave them. All of them: run.json."
    return section(
        "Settings and provenance",
        table(["setting", "value", "from"], rows, note, "lll", "010", 7),
        None if rows else text(f"Every setting is the recipe's ({recipe}) or a default: run.json."),
        table(["provenance", ""], provenance_rows(tables), PROVENANCE, "ll", "01", 7),
        table(["data", "count"], data_rows(results), "The annotated pairs: data/manifest.json.", "lr", "00", 7),
        suite_block(results),
    )


def changed_settings(record: dict[str, Any]) -> list[list[str]]:
    """The settings whose source is neither the recipe nor a default; of runs that recorded no sources all that trials share."""
    sources, config = record.get("sources"), record["config"]
    if sources is None:
        return [[*row, DASH] for row in settings_rows(record["identity"])]
    recipe = str(config.get("recipe"))
    changed = {
        key: source for key, source in sources.items() if not source.startswith((f"builtin:recipes/{recipe}.toml", recipe))
    }
    return [[key, display_text(json.dumps(get_nested(config, key))), display_text(source)] for key, source in changed.items()]


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


def variant_entries(results: RunResults) -> list[dict[str, Any]]:
    """One entry per objective, with the settings of each of its variants."""
    entries: dict[str, dict[str, Any]] = {}
    names = display_names(results.record["variants"])
    for label in results.variants:
        variant = results.record["variants"][label]
        entry = entries.setdefault(variant["source_digest"], _objective_entry(variant))
        entry["variants"].append({"label": names[label], "settings": variant_settings(variant)})
    return list(entries.values())


def _objective_entry(variant: Mapping[str, Any]) -> dict[str, Any]:
    citation, needs = variant["citation"], variant["needs"][-1]
    return {
        "title": display_text(variant["title"]),
        "citation": display_text(f"{citation['label']}: {citation['title']}. {citation['where']}."),
        "url": display_text(citation["url"]),
        "needs": ", ".join(k if v is True else f"{k} {v}" for k, v in needs.items() if v) or "nothing",
        "digest": variant["source_digest"],
        "variants": [],
    }


def variant_settings(variant: Mapping[str, Any]) -> str:
    """Hyper-parameters of every iteration, then what deviates from the settings that all trials share."""
    resolved = variant["resolved"]
    parts = []
    for key in resolved[0]:
        values = [step[key] for step in resolved]
        is_constant = all(v == values[0] for v in values)
        schedule = " → ".join(map(display_text, values)) + " (by iteration)"
        parts.append(f"{key} = {display_text(values[0]) if is_constant else schedule}")
    shared = [f"training.{key} = {display_text(value)}" for key, value in variant["training"].items()]
    shared += [f"data.examples = {variant['examples']}"] if variant.get("examples") else []
    return "; ".join([*parts, *(f"{part} (own)" for part in shared)]) or "no hyper-parameters"


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
        ["hardware", _hardware(record["hardware"], names_of_phases)],
        *made_with,
        benchmark_version,
        ["step-0 invariant", f"|log-ratio| per token before an update ≤ {step0.max():.2g} nats" if len(step0) else DASH],
    ]  # fmt: skip


def _hardware(hardware: Mapping[str, Any], elsewhere: set[str]) -> str:
    parts = [f"{name} {_format_value(value)}" for name, value in hardware.items() if name not in elsewhere]
    return display_text(", ".join(parts), MAX_VERSIONS_CHARS) if parts else DASH


def _format_value(value: Any) -> str:
    """A value of run.json's hardware as text: names with their values, lists in a line."""
    if isinstance(value, Mapping):
        return "; ".join(f"{name} {_format_value(inner)}" for name, inner in value.items()) or DASH
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def version_rows(tables: Tables) -> list[list[str]]:
    """What all phases were made with, in one row; then a row for each library or part of the machine that differs."""
    same, different = [], []
    for name, name_rows in tables.versions.groupby("name", sort=False):
        versions = name_rows.to_dict("records")
        if len(versions) == 1:
            same.append(f"{name} {versions[0]['version']}")
            continue
        parts = [
            f"{row['version'] or 'not recorded'} in {row['phases']} of {row['of']} phases ({shorten_list(row['where'].split())})"
            for row in versions
        ]
        different.append([f"made with: {display_text(name)}", display_text("; ".join(parts))])
    return [*([["made with", display_text(", ".join(same), MAX_VERSIONS_CHARS)]] if same else []), *different]
