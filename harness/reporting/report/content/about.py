"""What was played and with what: objectives, their deviations, settings, suite, provenance."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from harness.analysis.facts import Facts
from harness.reporting.report.blocks import Block, section, table, variants, visible
from harness.reporting.report.content.tables import Tables
from harness.reporting.tables.printed import MISSING, beside_note, ranges_note
from harness.security.redact import masked_command
from harness.store.versions import shortened

PROVENANCE = (
    "Where the numbers come from: run.json and, for what a phase was made with, the manifests of the phases; where phases "
    "differ, every version with the folders it is true of (all of them in versions.csv)."
)


def about_sections(tables: Tables) -> list[Block]:
    facts = tables.facts
    return [
        section("Objectives", variants([variant_entry(facts, label) for label in facts.variants])),
        section(
            "Settings and provenance",
            table(
                ["shared setting", "value"], settings_rows(facts.record["identity"]), "Settings all cells share.", "ll", "01", 7.5
            ),
            table(["provenance", ""], provenance_rows(tables), PROVENANCE, "ll", "01", 7.5),
            table(["data", "count"], data_rows(facts), "The annotated pairs: data/manifest.json.", "lr", "00", 7.5),
            suite_block(facts),
        ),
    ]


def suite_block(facts: Facts) -> Block | None:
    limit = facts.record["config"]["evaluation"]["limit"]
    clustered = any(t.get("cluster") for t in facts.suite["task"])
    rows = [
        [t["name"], t["stands_for"] or MISSING, str(t["shots"]), t["metric"], t["filter"],
         f"{t['chance']:.2f}" if facts.scales[t["name"]].counted else MISSING, str(t["limit"] or limit or "all"),
         *([visible(t.get("cluster") or MISSING)] if clustered else [])]
        for t in facts.suite["task"]
    ]  # fmt: skip
    header = ["task", "stands for", "shots", "metric", "filter", "chance", "items", *(["cluster"] if clustered else [])]
    said = "; cluster: what items share that are drawn together, errors count clusters" if clustered else ""
    caption = f"The suite {facts.suite['name']} v{facts.suite['version']}{ranges_note(facts)}{beside_note(facts)}{said}."
    more = len(header) - 7
    return table(header, rows, caption, "llrllrr" + "l" * more, "0100000" + "0" * more, 8)


def settings_rows(identity: dict[str, Any]) -> list[list[str]]:
    return [
        [f"{section}.{key}", visible(json.dumps(value))] for section, values in identity.items() for key, value in values.items()
    ]


def variant_entry(facts: Facts, label: str) -> dict[str, Any]:
    """Title, citation, settings of every iteration and deviations from the shared training settings of one variant."""
    variant = facts.record["variants"][label]
    resolved = variant["resolved"]
    parameters = []
    for key in resolved[0]:
        values = [step[key] for step in resolved]
        same = all(v == values[0] for v in values)
        parameters.append([key, visible(values[0]) if same else " → ".join(visible(v) for v in values) + " (by iteration)"])
    cited = variant["citation"]
    needs = variant["needs"][-1]
    return {
        "label": label,
        "title": visible(variant["title"]),
        "citation": visible(f"{cited['label']}: {cited['title']}. {cited['where']}."),
        "url": visible(cited["url"]),
        "parameters": parameters,
        "needs": ", ".join(k if v is True else f"{k} {v}" for k, v in needs.items() if v) or "nothing",
        "deviations": [
            *([f"training.{k}", visible(v)] for k, v in variant["training"].items()),
            *([["data.examples", str(variant["examples"])]] if variant.get("examples") else []),
        ],
        "digest": variant["source_digest"],
    }


def data_rows(facts: Facts) -> list[list[str]]:
    manifest = facts.played.manifest("data")
    return [[key, str(value)] for key, value in manifest["counts"].items()] if manifest else []


def provenance_rows(tables: Tables) -> list[list[str]]:
    facts, made_with = tables.facts, version_rows(tables)
    record = facts.record
    of_phases = set(tables.versions["name"])
    dirty = {True: " with uncommitted changes", False: "", None: ""}[record["git_dirty"]]
    step0 = facts.costs["step0"].dropna()
    return [
        ["program", f"selfplay-harness {record['created_by_version']}"],
        ["commit", f"{record['git_commit'] or 'not run from a checkout'}{dirty}"],
        ["command", visible(" ".join(masked_command(record["command"])))],
        ["base model digest", str(record["base_digest"])],
        *([["base model commit on the hub", visible(record["base_commit"])]] if record.get("base_commit") else []),
        ["prompt template", record["template"]],
        *[[f"hardware: {k}", visible(_plain(v))] for k, v in record["hardware"].items() if k not in of_phases],
        *made_with,
        ["judge", visible(facts.judge)] if facts.judge else ["lm-eval pinned by suite", facts.suite["lm_eval"]],
        ["step-0 invariant", f"|log-ratio| per token before an update ≤ {step0.max():.2g} nats" if len(step0) else MISSING],
    ]  # fmt: skip


def _plain(value: Any) -> str:
    """What run.json says of the machine as a reader takes it in: names with their values, lists in a line."""
    if isinstance(value, Mapping):
        return "; ".join(f"{name} {_plain(one)}" for name, one in value.items()) or MISSING
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def version_rows(tables: Tables) -> list[list[str]]:
    """One row per library and part of the machine: the version of all phases, or each version with how many it is true of."""
    rows = []
    for name, mine in tables.versions.groupby("name", sort=False):
        versions = mine.to_dict("records")
        parts = [
            f"{row['version'] or 'not recorded'} in {row['phases']} of {row['of']} phases ({shortened(row['where'].split())})"
            for row in versions
        ]
        only = versions[0]["version"] if len(versions) == 1 else "; ".join(parts)
        rows.append([f"made with: {visible(name)}", visible(only)])
    return rows
