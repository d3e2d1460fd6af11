"""A trained checkpoint as a package for others: a folder in peft's own format with a model card, made from a run's files alone.

The card has what the run measured: objective and equation, settings, data, scores with their errors and n. Text of the run is
escaped for Markdown.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import pandas as pd

from harness.analysis.facts import RunResults
from harness.analysis.frames import select
from harness.errors import UserError
from harness.files import make_folder, write_bytes
from harness.reporting.tables.formatting import DASH, own_unit, percent, unaveraged_note, with_interval
from harness.reporting.tables.leaderboard import leaderboard
from harness.security.escaping import escape_invisible, escape_markdown
from harness.store.adapter_files import ADAPTER_FILE, CONFIG_FILE, to_peft_name
from harness.store.versions import versions_by_phase

CARD_FILE = "README.md"
WHOLE_MODEL_FOLDERS = ("merged", "merged.partial")  # beside the adapter, as `harness push --merged` writes it
WEB_URL = re.compile(r"https?://[A-Za-z0-9][^\s<>\"`\\\x00-\x1f]*", re.ASCII)


def write_adapter_package(results: RunResults, label: str, seed: int, iteration: int, adapter: Path, to: Path) -> Path:
    """Write the adapter, its settings and its card to `to`, a folder that is new, empty or left by an interrupted call.

    Every file is complete or missing, and peft's settings, without which nothing loads the folder, are written last.
    Raises UserError, and writes nothing, where `to` holds anything else.
    """
    from safetensors.numpy import load_file, save

    weights = load_file(adapter / ADAPTER_FILE)
    peft_weights = {to_peft_name(name): w for name, w in weights.items()}  # older runs saved the names of the adapter slot
    files = {
        CARD_FILE: model_card(results, label, seed, iteration).encode("utf-8"),
        ADAPTER_FILE: save(peft_weights, metadata={"format": "pt"}),
        CONFIG_FILE: (adapter / CONFIG_FILE).read_bytes(),
    }
    ignored_names = {*(f"{name}.tmp" for name in files), *WHOLE_MODEL_FOLDERS}
    for path in sorted(to.iterdir()) if to.is_dir() else ():
        is_other = path.name not in files or not path.is_file() or path.read_bytes() != files[path.name]
        if path.name not in ignored_names and is_other:
            raise UserError(f"{to}: not an empty folder ({path.name} is not what would be written there); name a new one")
    if to.exists() and not to.is_dir():
        raise UserError(f"--to {to}: a file, not a folder; name a new one")
    make_folder(to)
    for name, content in files.items():
        write_bytes(to / name, content)
    return to


def model_card(results: RunResults, label: str, seed: int, iteration: int) -> str:
    from huggingface_hub import ModelCardData

    record = results.record
    identity, variant = record["identity"], record["variants"][label]
    citation = {key: escape_markdown(value) for key, value in variant["citation"].items()}
    header = ModelCardData(
        library_name="peft",
        base_model=escape_invisible(identity["model"]["path"]),
        tags=["lora", "self-play-fine-tuning", variant["name"]],
    )
    settings = {
        **{f"objective: {k}": v for k, v in variant["resolved"][iteration].items()},
        **{f"training.{k}": v for k, v in {**identity["training"], **variant["training"]}.items()},
        **{f"data.{k}": v for k, v in identity["data"].items() if v is not None},
        **{f"generation.{k}": v for k, v in identity["generation"].items()},
    }
    setting_rows = "\n".join(f"| {escape_markdown(k)} | {escape_markdown(json.dumps(v))} |" for k, v in settings.items())
    scores = "\n".join(score_lines(results, label, seed, iteration))
    versions = "\n\n".join(version_lines(results, f"{variant['folder']}/seed-{seed}/iteration-{iteration}"))
    return (
        f"""---
{header.to_yaml()}
---

# {escape_markdown(label)}, seed {seed}, iteration {iteration}

{escape_markdown(variant["title"])}. A LoRA adapter trained by self-play fine-tuning, run `{escape_markdown(record["name"])}`.

Objective: {citation["label"]}, *{citation["title"]}*, {citation["where"]}, \
{markdown_link(variant["citation"]["url"])}. Source digest {escape_markdown(variant["source_digest"])}.

## Scores

{scores}

## Settings

| setting | value |
| --- | --- |
{setting_rows}

## Provenance

selfplay-harness {escape_markdown(record["created_by_version"])}, commit \
{escape_markdown(record["git_commit"] or "not run from a checkout")}; base model digest {escape_markdown(record["base_digest"])}.

{versions}""".rstrip()
        + "\n"
    )


def score_lines(results: RunResults, label: str, seed: int, iteration: int) -> list[str]:
    """A line per task of this checkpoint, then the mean over tasks of this checkpoint and of its objective over seeds."""
    checkpoint = {"objective": label, "seed": seed, "iteration": iteration}
    scores, suite = select(results.scores, **checkpoint), results.suite
    if scores.empty:
        return ["This checkpoint has not been evaluated."]
    in_clusters = list((scores["clusters"] < scores["n"]).fillna(False))
    lines = [
        f"Suite {escape_markdown(suite['name'])} v{escape_markdown(suite['version'])}; ±: standard error of sampling test items"
        f"{', of clusters of them where they share a question' if any(in_clusters) else ''}.",
        "",
        "| task | shots | metric | score | n |",
        "| --- | --- | --- | --- | --- |",
    ]
    for row, is_clustered in zip(scores.to_dict("records"), in_clusters, strict=True):
        error = "" if pd.isna(row["stderr"]) else f" ± {own_unit(row['stderr'])}"
        in_percent = results.scales[row["task"]].shown_in_percent
        score = with_interval(row["value"], error=row["stderr"]) if in_percent else own_unit(row["value"]) + error
        n = f"{row['n']} in {row['clusters']} clusters" if is_clustered else str(row["n"])
        lines.append(f"| {escape_markdown(row['task'])} | {row['shots']} | {escape_markdown(row['metric'])} | {score} | {n} |")
    (averages,) = select(leaderboard(results), objective=label, iteration=iteration).to_dict("records")
    unit_scores = select(results.unit_scores, **checkpoint)
    is_complete = len(scores) == len(suite["task"]) and len(unit_scores)
    mean = percent(unit_scores["value"].mean()) if is_complete else DASH
    interval = "no interval over seeds: n = " if pd.isna(averages["mean_low"]) else "95 % interval over items and seeds, n = "
    return [
        *lines,
        "",
        f"Mean over tasks{unaveraged_note(results, escape_markdown)}: {mean} (this seed); "
        f"{with_interval(averages['mean'], averages['mean_low'], averages['mean_high'], averages['item_stderr'])} "
        f"(its objective at this iteration; {interval}{averages['seeds']}).",
    ]


def version_lines(results: RunResults, checkpoint_folder: str) -> list[str]:
    """Libraries and machine of a checkpoint's phases: one line per distinct combination, with the phases it is true of."""
    phases: dict[str, list[str]] = {}
    for folder, made_with in versions_by_phase(results.root).items():
        if folder.startswith(checkpoint_folder + "/"):
            description = ", ".join(escape_markdown(f"{name} {version}") for name, version in made_with.items())
            phases.setdefault(description, []).append(folder.removeprefix(checkpoint_folder + "/"))
    return [f"Made with ({escape_markdown(', '.join(names))}): {description}." for description, names in phases.items()]


def markdown_link(address: str) -> str:
    """A web address as a link, anything else as escaped text."""
    return f"<{address}>" if WEB_URL.fullmatch(address) else escape_markdown(address)
