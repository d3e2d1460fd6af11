"""One example through a run: its row, the responses to it, their log-probabilities, the optimizer steps that used it.

Reads JSON lines alone, from the phases' folders or, where only those are here, from the small files, and says what is not here.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from harness.errors import UserError
from harness.files import MANIFEST, read_jsonl, stored_path
from harness.records import INITIAL
from harness.security.escaping import one_line
from harness.store.finished_phases import FinishedPhases
from harness.store.run_folder import RunFolder
from harness.store.small_files import SAMPLES_FILE, STEPS_FILE, small_file_path, unit_of

SCORES_FILE = "scores.jsonl"
MAX_CANDIDATES = 5  # named in one message
PROMPT_CHARS = 40  # of each of them
UNITS = {
    "log_prob": "natural logarithm of the response's probability given the prompt, summed over its tokens, under the opponent: "
    "the checkpoint before this iteration; nats",
    "log_ratio": "log-probability under the policy in training minus that under the opponent, mean over the step's responses of "
    "that role, before the step; nats; at an iteration's first step 0 but for rounding",
    "loss": "the objective's, mean over the step's prompts; its unit is the objective's own",
    "response": "ROLE ITERATION.INDEX; real: of the data; synthetic: drawn from the opponent of that iteration; proto: from the "
    "initial policy",
}


@dataclass(frozen=True)
class TraceLine:
    """One use of the example. kind: sample (training draws), answer (to a held-out prompt), score or step. fields: by kind."""

    file: str
    kind: str
    fields: Mapping[str, Any]


@dataclass
class Trace:
    """Everything that a run has of one example. not_here: a line for whatever was made with it and is not in this folder."""

    run: str
    example_id: str
    split: str
    prompt: str
    real: str
    lines: list[TraceLine] = field(default_factory=list)
    not_here: list[str] = field(default_factory=list)

    def document(self) -> dict[str, Any]:
        """The content of `harness trace --json`."""
        return {**asdict(self), "units": UNITS}


def trace_example(run: RunFolder, text: str) -> Trace:
    """Follow the example whose id begins with `text`. Raises UserError where none or several do, before anything is returned."""
    finished_phases = FinishedPhases(run.root)
    examples = _examples(finished_phases)
    if not examples:
        raise UserError(
            f"{run.root}: holds no examples and no responses (tables alone, or its data is not finished); trace {text} on the "
            "machine that ran it, or repeat the run's command to make them"
        )
    example_id = _find_id(run.root, examples, text, _has_data(finished_phases))
    split, prompt, real = examples[example_id]
    trace = Trace(str(run.root), example_id, split, prompt, real)
    for phase in finished_phases.phases():
        trace.lines += _phase_lines(finished_phases, phase, example_id)
    trace.not_here = list(_not_here(run, finished_phases))
    return trace


def _examples(finished_phases: FinishedPhases) -> dict[str, tuple[str, str, str]]:
    """Id -> (split, prompt, real response): of the data, else of the held-out prompts that the small files have."""
    if _has_data(finished_phases):
        rows = [
            (row, split) for split in ("train", "heldout") for row in read_jsonl(finished_phases.root / "data" / f"{split}.jsonl")
        ]
        return {row["id"]: (split, str(row.get("prompt")), str(row.get("real"))) for row, split in reversed(rows)}
    answers = _rows(finished_phases, f"{INITIAL}/probe", SAMPLES_FILE)
    return {row["example_id"]: ("heldout", str(row.get("prompt")), str(row.get("real"))) for row in answers}


def _has_data(finished_phases: FinishedPhases) -> bool:
    return (finished_phases.root / "data" / MANIFEST).is_file()


def _find_id(root: Path, examples: Mapping[str, tuple[str, str, str]], text: str, has_data: bool) -> str:
    matches = [text] if text in examples else sorted(id_ for id_ in examples if id_.startswith(text))
    if len(matches) == 1:
        return matches[0]
    if not matches:
        where = f"take an id from {root / 'data' / 'train.jsonl'}"
        if not has_data:
            ids = ", ".join(sorted(examples)[:3])
            where = f"only {len(examples)} held-out prompts are here (small files alone), {ids} among them"
        raise UserError(f"{text}: no example of {root} has an id that begins so; {where}")
    named = "; ".join(f"{id_} {_shorten(examples[id_][1])}" for id_ in matches[:MAX_CANDIDATES])
    more = f"; and {len(matches) - MAX_CANDIDATES} more" if len(matches) > MAX_CANDIDATES else ""
    raise UserError(f"{text or 'an empty id'}: {len(matches)} examples have an id that begins so; name more of it: {named}{more}")


def _shorten(text: str) -> str:
    line = one_line(text)
    return repr(line if len(line) <= PROMPT_CHARS else line[:PROMPT_CHARS] + "…")


def _rows(finished_phases: FinishedPhases, phase: str, name: str) -> list[dict[str, Any]]:
    """Rows of a phase's file; of held-out answers in small files the first alone; none where the phase has no such file here."""
    if (summary := finished_phases.from_small_file(phase).get(phase)) is not None:
        return [json.loads(line) for line in summary.files.get(name, "").splitlines()]
    path = stored_path(finished_phases.root / phase / name)
    return read_jsonl(path) if path.is_file() else []


def _phase_lines(finished_phases: FinishedPhases, phase: str, example_id: str) -> Iterator[TraceLine]:
    kind = "answer" if phase.endswith("/probe") else "sample"
    for row in _rows(finished_phases, phase, SAMPLES_FILE):
        if row["example_id"] == example_id:
            fields = {name: row.get(name) for name in ("iteration", "index", "text", "finished")}
            yield TraceLine(_file(finished_phases, phase, SAMPLES_FILE), kind, fields)
    for row in _rows(finished_phases, phase, SCORES_FILE):
        if row["example_id"] == example_id:
            fields = {"response": f"{row['role']} {row['iteration']}.{row['index']}", "tokens": row["length"]}
            yield TraceLine(_file(finished_phases, phase, SCORES_FILE), "score", fields | {"log_prob": row["reference_logp"]})
    for row in _rows(finished_phases, phase, STEPS_FILE):
        ids = row.get("example_ids", [])  # the small files have none
        if example_id in ids:
            pairs = zip(ids, row.get("example_iterations", []), strict=False)  # absent in old runs
            fields = {name: row[name] for name in ("step", "epoch", "loss", "log_ratio")}
            fields |= {"prompts": len(ids), "sample_iterations": [t for id_, t in pairs if id_ == example_id]}
            yield TraceLine(_file(finished_phases, phase, STEPS_FILE), "step", fields)


def _file(finished_phases: FinishedPhases, phase: str, name: str) -> str:
    """The file within the run folder that the rows come from."""
    root = finished_phases.root
    if phase in finished_phases.from_small_file(phase):
        return f"{small_file_path(root, unit_of(phase)).relative_to(root).as_posix()}: {phase}/{name}"
    return stored_path(root / phase / name).relative_to(root).as_posix()


def _not_here(run: RunFolder, finished_phases: FinishedPhases) -> Iterator[str]:
    record = run.record() or {}
    if not _has_data(finished_phases):
        yield "data: the training examples, and all but the first held-out ones"
    if record and not any((run.root / INITIAL).glob("seed-*/generate/*")):
        yield "initial: the initial policy's responses to the training prompts"
    for trial in (f"{label}/seed-{seed}" for label in record.get("variants", {}) for seed in record.get("seeds", [])):
        if finished_phases.only_small_file(trial):
            yield f"{trial}: its samples, their log-probabilities, which step used which example (small files only)"
        elif finished_phases.pruned_phases(trial):
            yield f"{trial}: its samples and their log-probabilities (pruned; its steps are here)"
        elif not finished_phases.has_folder(trial):
            yield f"{trial}: nothing yet"
