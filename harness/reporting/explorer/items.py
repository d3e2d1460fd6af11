"""The items of a run's suite and every player's answers to them, as the explorer's page holds them.

A player is a checkpoint: the initial policy, or an objective after an iteration in one seed. Answers stand by item, not by
player: what players said to one item is alike, and a compressor that looks back 32 kB finds it only there.
"""

from __future__ import annotations

import json
import string
from collections.abc import Mapping, Sequence
from typing import Any

from harness.analysis.facts import CheckpointKey, RunResults
from harness.reporting.explorer.metrics import plain
from harness.store.item_answers import ANSWERS_FILE, ASKED_FILE

DIGITS = string.digits + string.ascii_lowercase  # the place of an option as one character
TEXTS = ("prompts", "template", "ids", "options", "wanted", "topic", "topics")
TEMPLATE_ENDS = ">\n"  # where a chat template, or the shots before a question, end


def players(results: RunResults) -> list[CheckpointKey]:
    """Every evaluated checkpoint that has item scores, in the order of the run."""
    return [checkpoint for checkpoint in results.checkpoints if checkpoint.key in results.item_scores]


def tasks(results: RunResults) -> list[dict[str, Any]]:
    """Per row of the suite: how it is shown, its items, and every player's score and answer on each."""
    shown, derived = players(results), _derived(results)
    asked = next((json.loads(files[ASKED_FILE]) for files in derived if ASKED_FILE in files), {})
    answers = [json.loads(files[ANSWERS_FILE]) if ANSWERS_FILE in files else {} for files in derived]
    entries = []
    for row in results.suite["task"]:
        name, scale = row["name"], results.scales[row["name"]]
        scores = [results.item_scores[player.key].get(name, {}) for player in shown]
        entry = {
            "name": name, "label": row["label"], "metric": row["metric"], "percent": scale.shown_in_percent,
            "in_mean": scale.in_mean, "up": scale.higher_is_better, "metric_id": f"task:{name}",
        }  # fmt: skip
        if scores and all(score.get("values") for score in scores) and len({score["items"] for score in scores}) == 1:
            entry |= _item_scores(scores)
            entry |= _asked(asked.get(name, {}), entry["n"])
            entry |= _answers([answer.get(name, {}) for answer in answers], entry["n"])
        entries.append(entry)
    return entries


def _derived(results: RunResults) -> list[Mapping[str, str]]:
    """What is kept of every player's samples, {} where nothing is."""
    phases = {c.key: (folder, manifest) for c, folder, manifest in results.iter_phases(f"evaluate/{results.suite['name']}")}
    found: list[Mapping[str, str]] = []
    for player in players(results):
        folder, manifest = phases[player.key]
        found.append(results.finished_phases.derived(results.relative_path(folder), manifest))
    return found


def _item_scores(scores: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """digest of the items, n, clusters; bits: a player's items as 0 and 1 where each is right or wrong, else values; chosen: the
    place of the option taken, a character an item."""
    first = scores[0]
    entry: dict[str, Any] = {"digest": first["items"], "n": len(first["values"]), "parts": first.get("parts")}
    if "clusters" in first:
        entry["clusters"] = first["clusters"]
    if all(value in (0, 1) for score in scores for value in score["values"]):
        entry["bits"] = ["".join("1" if value else "0" for value in score["values"]) for score in scores]
    else:
        entry["values"] = [[plain(value) for value in score["values"]] for score in scores]
    if all("chosen" in score and max(score["chosen"]) < len(DIGITS) for score in scores):
        entry["chosen"] = ["".join(DIGITS[place] for place in score["chosen"]) for score in scores]
    return entry


def _asked(asked: Mapping[str, Any], n: int) -> dict[str, Any]:
    """prompts without what all of them begin and end with up to the end of a template, which is in `template` once."""
    if len(asked.get("prompts", ())) != n:
        return {}
    prompts, head, tail = asked["prompts"], "", ""
    if n > 1:
        head = _common_start(prompts)
        head = head[: max(head.rfind(end) for end in TEMPLATE_ENDS) + 1]
        rest = [prompt[len(head) :] for prompt in prompts]
        backwards = _common_start([prompt[::-1] for prompt in rest])[::-1]
        starts = [place for place in (backwards.find("<"), backwards.find("\n")) if place >= 0]
        tail = backwards[min(starts) :] if starts else ""
        prompts = [prompt[: len(prompt) - len(tail)] for prompt in rest]
    shown = {"prompts": prompts, "template": [head, tail] if head or tail else None}
    return shown | {name: asked[name] for name in TEXTS if name in asked and name not in shown}


def _common_start(texts: Sequence[str]) -> str:
    """What all of them begin with."""
    first, last = min(texts), max(texts)  # in the order of the alphabet, what these share all share
    return first[: next((i for i, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), len(first))]


def share_items(runs: Sequence[dict[str, Any]]) -> None:
    """Leave the texts of equal items with the first run that has them; the page gives them to the others again."""
    seen = set()
    for task in (task for run in runs for task in run["tasks"] if "prompts" in task):
        if task["digest"] in seen:
            for name in TEXTS:
                task.pop(name, None)
        seen.add(task["digest"])


def _answers(answers: Sequence[Mapping[str, Any]], n: int) -> dict[str, Any]:
    """said: per item the different answers, each a text, or [text, what the filter took] where that is another; says: per player
    the number of its answer to every item, None for a player whose answers are not kept."""
    if not any(len(answer.get("texts", ())) == n for answer in answers):
        return {}
    said: list[dict[tuple[str, str], int]] = [{} for _ in range(n)]
    says: list[list[int] | None] = []
    for answer in answers:
        texts = answer.get("texts", ())
        if len(texts) != n:
            says.append(None)
            continue
        taken = answer.get("taken") or texts
        says.append([said[i].setdefault((texts[i], taken[i]), len(said[i])) for i in range(n)])
    return {"said": [[text if text == take else [text, take] for text, take in item] for item in said], "says": says}


def held_out(results: RunResults, prompts: int) -> dict[str, Any]:
    """The first held-out prompts with the real response and every checkpoint's: said[place of the prompt] = [[objective, seed,
    iteration, text, whether it ended, its log-probability], ...]. Empty for a world whose samples are no texts."""
    rows: dict[str, dict[str, Any]] = {}
    for (objective, seed, iteration), samples in results.held_out_samples.items():
        for sample in samples[:prompts]:
            if not isinstance(sample.get("text"), str):
                return {"prompts": []}
            asked = {"id": sample["example_id"], "prompt": sample["prompt"], "real": sample["real"], "said": []}
            row = rows.setdefault(sample["example_id"], asked)
            row["said"].append([objective, seed, iteration, sample["text"], sample.get("finished"), plain(sample.get("logp"))])
    return {"prompts": list(rows.values())}
