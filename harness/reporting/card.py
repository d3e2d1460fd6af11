"""A trained player as others take it: a folder in peft's own format with a model card, made from a run's files alone.

What stands in the card is what the run measured: objective and equation, settings, data, scores with their errors and n. Text of
the run is escaped for Markdown; the header is JSON, which is YAML.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import pandas as pd

from harness.analysis.facts import Facts
from harness.errors import UserError, did_you_mean
from harness.files import MANIFEST, make_folder, write_bytes
from harness.reporting.tables.leaderboard import leaderboard
from harness.reporting.tables.printed import MISSING, beside_note, own, percent, with_interval
from harness.security.escaping import markdown
from harness.store.adapter_files import ADAPTER_FILE, CONFIG_FILE, name_in_file
from harness.store.versions import phases_made_with

CARD = "README.md"
WEB = re.compile(r"https?://[A-Za-z0-9][^\s<>\"`\\\x00-\x1f]*", re.ASCII)


def find_player(facts: Facts, label: str, seed: int | None, iteration: int | None) -> tuple[Path, int, int]:
    """The folder of a player's adapter, its seed and iteration (by default the run's first seed and last iteration).

    Raises UserError for a player that the run has not finished.
    """
    if label not in facts.record["variants"]:
        raise UserError(f'{facts.root}: no objective "{label}"{did_you_mean(label, facts.record["variants"])}')
    seed = int(facts.record["seeds"][0]) if seed is None else seed
    iteration = int(facts.record["iterations"]) - 1 if iteration is None else iteration
    folder = facts.root / label / f"seed-{seed}" / f"iteration-{iteration}" / "train" / "adapter"
    if not (folder / ADAPTER_FILE).is_file() and facts.played.small_only(f"{label}/seed-{seed}"):
        raise UserError(
            f"{folder}: no adapter, only the small files of {label}/seed-{seed} are here; push it from the machine that played it"
        )
    if not (folder / ADAPTER_FILE).is_file() or not (folder.parent / MANIFEST).is_file():
        raise UserError(
            f"{folder}: no adapter of a finished training; see what is complete with: harness status {facts.record['name']}"
        )
    return folder, seed, iteration


def write_package(facts: Facts, label: str, seed: int, iteration: int, adapter: Path, to: Path) -> Path:
    """The adapter, its settings and its card, in the folder `to`, which is new, empty or begun by the same; returns `to`.

    Every file is there whole or not at all, and peft's settings, without which nothing loads the folder, are the last.
    Raises UserError, and writes nothing, where `to` holds anything else.
    """
    from safetensors.numpy import load_file, save

    weights = load_file(adapter / ADAPTER_FILE)
    plain_names = {name_in_file(name): w for name, w in weights.items()}  # older runs kept the slot's name
    files = {
        CARD: card(facts, label, seed, iteration).encode("utf-8"),
        ADAPTER_FILE: save(plain_names, metadata={"format": "pt"}),
        CONFIG_FILE: (adapter / CONFIG_FILE).read_bytes(),
    }
    begun = {f"{name}.tmp" for name in files}
    for path in sorted(to.iterdir()) if to.is_dir() else ():
        if path.name not in begun and (path.name not in files or not path.is_file() or path.read_bytes() != files[path.name]):
            raise UserError(f"{to}: not an empty folder ({path.name} is not what would be written there); name a new one")
    if to.exists() and not to.is_dir():
        raise UserError(f"--to {to}: a file, not a folder; name a new one")
    make_folder(to)
    for name, content in files.items():
        write_bytes(to / name, content)
    return to


def card(facts: Facts, label: str, seed: int, iteration: int) -> str:
    """The model card of one player."""
    record = facts.record
    variant = record["variants"][label]
    cited = variant["citation"]
    header = {
        "library_name": "peft",
        "base_model": record["identity"]["model"]["path"],
        "tags": ["lora", "self-play-fine-tuning", variant["name"]],
    }
    settings = {
        **{f"objective: {k}": v for k, v in variant["resolved"][iteration].items()},
        **{f"training.{k}": v for k, v in {**record["identity"]["training"], **variant["training"]}.items()},
        **{f"data.{k}": v for k, v in record["identity"]["data"].items() if v is not None},
        **{f"generation.{k}": v for k, v in record["identity"]["generation"].items()},
    }
    return "\n".join(
        [
            "---",
            *(f"{key}: {json.dumps(value)}" for key, value in header.items()),
            "---",
            "",
            f"# {markdown(label)}, seed {seed}, iteration {iteration}",
            "",
            f"{markdown(variant['title'])}. A LoRA adapter trained by self-play fine-tuning, run `{markdown(record['name'])}`.",
            "",
            f"Objective: {markdown(cited['label'])}, *{markdown(cited['title'])}*, {markdown(cited['where'])}, "
            f"{link(cited['url'])}. Source digest {markdown(variant['source_digest'])}.",
            "",
            "## Scores",
            "",
            *scores(facts, label, seed, iteration),
            "",
            "## Settings",
            "",
            "| setting | value |",
            "| --- | --- |",
            *(f"| {markdown(key)} | {markdown(json.dumps(value))} |" for key, value in settings.items()),
            "",
            "## Provenance",
            "",
            f"selfplay-harness {markdown(record['created_by_version'])}, commit "
            f"{markdown(record['git_commit'] or 'not run from a checkout')}; "
            f"base model digest {markdown(record['base_digest'])}.",
            "",
            *versions(facts, f"{label}/seed-{seed}/iteration-{iteration}"),
        ]
    )


def scores(facts: Facts, label: str, seed: int, iteration: int) -> list[str]:
    """A line per task of this very player, then the mean over tasks of this player and of its objective over seeds."""
    table = facts.scores
    mine = table[(table["objective"] == label) & (table["seed"] == seed) & (table["iteration"] == iteration)]
    if mine.empty:
        return ["This player has not been evaluated."]
    suite = facts.suite
    shares = {task: not pd.isna(c) and c < n for task, c, n in zip(mine["task"], mine["clusters"], mine["n"], strict=True)}
    lines = [
        f"Suite {markdown(suite['name'])} v{markdown(suite['version'])}; ±: standard error of sampling test items"
        f"{', of clusters of them where they share a question' if any(shares.values()) else ''}.",
        "",
        "| task | shots | metric | score | n |",
        "| --- | --- | --- | --- | --- |",
    ]
    for row in mine.to_dict("records"):
        error = "" if pd.isna(row["stderr"]) else f" ± {own(row['stderr'])}"
        said = (
            with_interval(row["value"], error=row["stderr"]) if facts.scales[row["task"]].percent else own(row["value"]) + error
        )
        n = f"{row['n']} in {row['clusters']} clusters" if shares[row["task"]] else str(row["n"])
        lines.append(f"| {markdown(row['task'])} | {row['shots']} | {markdown(row['metric'])} | {said} | {n} |")
    board = leaderboard(facts)
    (over,) = board[(board["objective"] == label) & (board["iteration"] == iteration)].to_dict("records")
    counted = facts.shares
    counted = counted[(counted["objective"] == label) & (counted["seed"] == seed) & (counted["iteration"] == iteration)]
    whole = len(mine) == len(suite["task"]) and len(counted)
    mean = percent(counted["value"].mean()) if whole else MISSING
    seeds = "no interval over seeds: n = " if pd.isna(over["mean_low"]) else "95 % interval over items and seeds, n = "
    return [
        *lines,
        "",
        f"Mean over tasks{beside_note(facts, markdown)}: {mean} (this seed); "
        f"{with_interval(over['mean'], over['mean_low'], over['mean_high'], over['item_stderr'])} "
        f"(its objective at this iteration; {seeds}{over['seeds']}).",
    ]


def versions(facts: Facts, player: str) -> list[str]:
    """A line per phase of the player in the folder `player`: libraries and machine, said once where phases have the same."""
    phases: dict[str, list[str]] = {}
    for folder, made in phases_made_with(facts.root).items():
        if folder.startswith(player + "/"):
            said = ", ".join(markdown(f"{name} {version}") for name, version in made.items())
            phases.setdefault(said, []).append(folder.removeprefix(player + "/"))
    return [line for said, names in phases.items() for line in (f"Made with ({markdown(', '.join(names))}): {said}.", "")]


def link(address: str) -> str:
    """An address of the web as a link, whatever else as text."""
    return f"<{address}>" if WEB.fullmatch(address) else markdown(address)
