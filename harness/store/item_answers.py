"""What an evaluation asked and what a checkpoint answered, in little room: for the small files, from an evaluation's samples.

`asked.json`, of what all trials share: row of the suite -> {ids, prompts, options, wanted, topic, topics} of its items.
`answers.json`, of every checkpoint: row -> {texts, taken}, what was generated and what a filter took from it; of a row with
options items.json has the place of the one chosen already. Items stand in the order of items.json: by lm-eval task, then by
document. Long texts are shortened in the middle, where least of what decides lies.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.store.verification import read_verified

ANSWERS_FILE, ASKED_FILE = "answers.json", "asked.json"
MAX_PROMPT_CHARS, MAX_OPTION_CHARS, MAX_ANSWER_CHARS = 2000, 300, 500
TAIL_SHARE = 0.6  # of a shortened text: a prompt ends with its question, an answer with its result
MAX_OPTIONS = 26
Sample = Mapping[str, Any]


def has_answers(manifest: Mapping[str, Any]) -> bool:
    """Whether a phase is an evaluation with samples, from which answers can be read."""
    outputs = manifest["outputs"]
    return "items.json" in outputs and any(name.startswith("samples_") for name in outputs)


def read_answers(folder: Path, manifest: Mapping[str, Any]) -> str:
    """The content of `answers.json` for a finished evaluation's folder. Raises DamagedError where a file is not what was
    committed."""
    filters, found = _filters(folder, manifest), {}
    for row, items in _items(folder, manifest).items():
        if "chosen" not in items and (answers := _answers(_samples(folder, manifest, row, items, filters))):
            found[row] = answers
    return json.dumps(found)


def read_asked(folder: Path, manifest: Mapping[str, Any]) -> str:
    """The content of `asked.json`, in the same way."""
    filters, found = _filters(folder, manifest), {}
    for row, items in _items(folder, manifest).items():
        if samples := _samples(folder, manifest, row, items, filters):
            found[row] = _asked(items, samples)
    return json.dumps(found)


def _items(folder: Path, manifest: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Row of the suite -> its entry in items.json."""
    return json.loads(read_verified(folder, manifest, "items.json"))


def _filters(folder: Path, manifest: Mapping[str, Any]) -> dict[str, str]:
    """Row of the suite -> the filter that its score is of."""
    records = json.loads(read_verified(folder, manifest, "scores.json"))["records"]
    return {record["task"]: record["filter"] for record in records}


def _samples(
    folder: Path, manifest: Mapping[str, Any], row: str, items: Mapping[str, Any], filters: Mapping[str, str]
) -> list[Sample]:
    """A row's samples by item, those of its filter alone; none where they are not one for one with the item scores."""
    name = f"samples_{row}.jsonl"
    if name not in manifest["outputs"]:
        return []
    samples = [json.loads(line) for line in read_verified(folder, manifest, name).splitlines()]
    if samples and "question_id" in samples[0]:
        samples = _by_question(samples)
    else:
        samples = [s for s in samples if s["filter"] == filters.get(row)]
        samples.sort(key=lambda s: (s.get("task", ""), s["doc_id"]))
    return samples if len(samples) == len(items.get("values") or samples) else []


def _by_question(samples: Sequence[Sample]) -> list[Sample]:
    """A judge's samples, one a turn, as one a question."""
    turns: dict[Any, list[Sample]] = {}
    for sample in samples:
        turns.setdefault(sample["question_id"], []).append(sample)
    return [
        {
            "doc_id": question,
            "prompt": "\n\n".join(str(s["question"]) for s in parts),
            "target": "\n\n".join(str(s["reference"]) for s in parts if s.get("reference")),
            "filtered_resps": ["\n\n".join(str(s["answer"]) for s in parts)],
        }
        for question, parts in turns.items()
    ]


def _answers(samples: Sequence[Sample]) -> dict[str, list[str]]:
    """texts: as generated; taken: by the filter, where that is another text for any item."""
    taken = [_first_text(sample.get("filtered_resps")) for sample in samples]
    if not samples or None in taken:
        return {}
    texts = [_first_text(sample.get("resps")) or str(text) for sample, text in zip(samples, taken, strict=True)]
    answers = {"texts": [shorten(text, MAX_ANSWER_CHARS) for text in texts]}
    if any(text.strip() != str(other).strip() for text, other in zip(texts, taken, strict=True)):
        answers["taken"] = [shorten(str(text), MAX_ANSWER_CHARS) for text in taken]
    return answers


def _first_text(responses: Any) -> str | None:
    """The first text in lm-eval's nested lists of responses; None for log-likelihoods."""
    while isinstance(responses, list) and responses:
        responses = responses[0]
    return responses if isinstance(responses, str) else None


def _asked(items: Mapping[str, Any], samples: Sequence[Sample]) -> dict[str, Any]:
    prompts, options = zip(*map(_prompt_and_options, samples), strict=True)
    asked: dict[str, Any] = {"prompts": list(prompts)}
    ids = [f"{s['task']} {s['doc_id']}" if "task" in s else str(s["doc_id"]) for s in samples]
    if ids != [str(n) for n in range(len(ids))]:
        asked["ids"] = ids
    if any(options):
        asked["options"] = list(options)
    asked["wanted"] = [_wanted(s, texts) for s, texts in zip(samples, options, strict=True)]
    if clusters := items.get("clusters"):
        asked |= _topics(samples, clusters)
    return asked


def _prompt_and_options(sample: Sample) -> tuple[str, list[str]]:
    """The context, and of a row with options their texts; where the contexts differ (a blank filled in) these stand before the
    options' continuations."""
    if "prompt" in sample:
        return shorten(str(sample["prompt"]), MAX_PROMPT_CHARS), []
    pairs = [(str(pair[0]), pair[1]) for pair in _arguments(sample)]
    if not pairs:
        return "", []
    if not all(isinstance(continuation, str) for _, continuation in pairs):
        return shorten(pairs[0][0], MAX_PROMPT_CHARS), []
    contexts = [context for context, _ in pairs]
    same = len(set(contexts)) == 1
    options = [shorten(continuation.strip() if same else context[-200:] + continuation, MAX_OPTION_CHARS)
               for context, continuation in pairs[:MAX_OPTIONS]]  # fmt: skip
    return shorten(contexts[0] if same else "", MAX_PROMPT_CHARS), options


def _arguments(sample: Sample) -> list[Any]:
    """lm-eval's arguments: a list of pairs, or, once logged, a mapping of mappings."""
    arguments = sample.get("arguments") or []
    if isinstance(arguments, Mapping):
        return [[pair.get("arg_0", ""), pair.get("arg_1", "")] for pair in arguments.values()]
    return list(arguments)


def _wanted(sample: Sample, options: Sequence[str]) -> int | str:
    """The place of the right option, or the right text."""
    target = sample.get("target", "")
    if isinstance(target, str) and target.isdecimal() and options:
        target = int(target)
    if isinstance(target, int) and not isinstance(target, bool) and 0 <= target < len(options):
        return target
    text = shorten(target if isinstance(target, str) else json.dumps(target), MAX_OPTION_CHARS)
    return options.index(text.strip()) if text.strip() in options else text


def _topics(samples: Sequence[Sample], clusters: Sequence[int]) -> dict[str, Any]:
    """topic: the column that the clusters were made from, which is the one that groups the documents in the same way; topics: the
    value of every cluster."""
    docs = [sample.get("doc") for sample in samples]
    if not all(isinstance(doc, Mapping) for doc in docs) or len(docs) != len(clusters):
        return {}
    for column in docs[0] or ():
        values = [str((doc or {}).get(column)) for doc in docs]
        by_cluster = dict(zip(clusters, values, strict=True))
        if len(set(values)) == len(by_cluster) == len(set(by_cluster.values())) and all(
            by_cluster[cluster] == value for cluster, value in zip(clusters, values, strict=True)
        ):
            return {"topic": str(column), "topics": [shorten(by_cluster[n], 80) for n in sorted(by_cluster)]}
    return {}


def shorten(text: str, chars: int) -> str:
    """At most so many characters: beginning and end, " … " between them."""
    if len(text) <= chars:
        return text
    tail = round(chars * TAIL_SHARE)
    return f"{text[: chars - tail - 3]} … {text[-tail:]}"
