"""Command `sample`: trained checkpoints answer a prompt, side by side."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.commands.console import echo
from harness.errors import UserError, did_you_mean
from harness.records import INITIAL
from harness.store.opening import open_run
from harness.store.run_folder import RunFolder
from harness.store.trained_adapter import find_adapter, initial_adapter
from harness.store.untrusted import explain_malformed

if TYPE_CHECKING:
    from harness.config import RunConfig
    from harness.language.answers import Base, NamedAdapter


@dataclass(frozen=True)
class SampleOptions:
    """count: answers of each checkpoint; seed: of the draws; the others replace the run's own settings where they are given."""

    count: int
    seed: int
    temperature: float | None
    max_new_tokens: int | None
    mirror: str | None
    trust_remote_code: bool = False


def sample_command(run: str, words: Sequence[str], options: SampleOptions, results: Path) -> None:
    run_folder = open_run(run, results)
    with explain_malformed(run_folder.root):
        record = run_folder.record() or {}
        names, prompt = split_words(words, record["variants"])
        checkpoints = [_find_checkpoint(run_folder, name, record) for name in names]
        if not prompt.strip():
            raise UserError("the prompt is empty; type it last, in quotation marks, or pipe it in")
        base = base_of_run(run_folder, options.mirror, options.trust_remote_code, _generation_changes(options))
        from harness.language.answers import answer  # torch and transformers take seconds; a wrong name is found by now

        for checkpoint, completions in answer(base, checkpoints, prompt, options.count, options.seed):
            for index, completion in enumerate(completions):
                number = f" {index + 1}" if options.count > 1 else ""
                cut_off = "" if completion.finished else f"  (cut off at {len(completion.token_ids)} tokens)"
                echo(f"{checkpoint.name}{number}: {completion.text}{cut_off}")


def split_words(words: Sequence[str], variants: Mapping[str, Any]) -> tuple[list[str], str]:
    """Checkpoints and prompt: the last word is the prompt unless it names a checkpoint; then standard input has it."""
    *names, last = words
    if _names_checkpoint(last, variants):
        names.append(last)
        if sys.stdin.isatty():
            raise UserError('no prompt; type it last, in quotation marks ("..."), or pipe it in')
        prompt = sys.stdin.read().removesuffix("\n")
    else:
        prompt = last
    if not names:
        known = ", ".join([*variants, INITIAL])
        raise UserError(f"no checkpoint before the prompt; name one or more of: {known} (as space@4 for iteration 4)")
    return names, prompt


def _parse_name(text: str) -> tuple[str, str, str]:
    """(label, seed, iteration) of LABEL[/seed-N][@T], the latter two as typed or empty."""
    trial, _, iteration = text.partition("@") if text.rpartition("@")[2].isdecimal() else (text, "", "")
    label, _, seed = trial.partition("/seed-")
    return label, seed, iteration


def _names_checkpoint(text: str, variants: Mapping[str, Any]) -> bool:
    label, _, iteration = _parse_name(text)
    return label in variants or label == INITIAL or bool(iteration)


def _find_checkpoint(run: RunFolder, text: str, record: Mapping[str, Any]) -> NamedAdapter:
    """The checkpoint that a word names. Raises UserError in one line for one that is not here."""
    label, seed_text, iteration_text = _parse_name(text)
    if seed_text and not seed_text.isdecimal():
        raise UserError(f"{text}: seed {seed_text!r} is no number; name it as {label}/seed-0@4")
    seed = int(seed_text) if seed_text else int(record["seeds"][0])
    from harness.language.answers import NamedAdapter

    if label == INITIAL:
        return NamedAdapter(text, initial_adapter(run, seed), seed)
    if label not in record["variants"]:
        known = [*record["variants"], INITIAL]
        raise UserError(f'{run.root}: no objective "{label}"{did_you_mean(label, known)}')
    adapter, seed, iteration = find_adapter(run, label, seed, int(iteration_text) if iteration_text else None)
    run.verify_phases([adapter.parent.relative_to(run.root).as_posix()], recompute=False)
    return NamedAdapter(f"{label}@{iteration}" if not seed_text else f"{label}/seed-{seed}@{iteration}", adapter, seed)


def _generation_changes(options: SampleOptions) -> dict[str, Any]:
    changes = {"temperature": options.temperature, "max_new_tokens": options.max_new_tokens}
    return {name: value for name, value in changes.items() if value is not None}


def base_of_run(run: RunFolder, mirror: str | None, trust_remote_code: bool, generation: Mapping[str, Any]) -> Base:
    """What the run's base is loaded from, with other settings of generation. Raises UserError for a run of another world."""
    from harness.language.answers import Base
    from harness.planning.prepare import template_date
    from harness.planning.request import find_mirror
    from harness.sources.offline import go_offline

    record = run.record() or {}
    config = recorded_config(run, generation, trust_remote_code)
    if config.world != "language":
        raise UserError(f"{run.root}: of the world {config.world!r}; only checkpoints of the world of text answer prompts")
    folder = find_mirror(config if mirror is None else config.model_copy(update={"mirror": mirror}))
    if folder is not None:
        go_offline()
    return Base(config, folder, record.get("base_commit"), template_date(run), record["base_digest"])


def recorded_config(run: RunFolder, generation: Mapping[str, Any], trust_remote_code: bool) -> RunConfig:
    """The settings in run.json, with other ones of generation. Raises UserError where they are not this program's.

    A run folder is data: that its model's repository may run code here is never taken from it.
    """
    from pydantic import ValidationError

    from harness.config import RunConfig
    from harness.settings.renamed_keys import RENAMED_KEYS
    from harness.settings.validation import format_error

    tree = json.loads(json.dumps((run.record() or {}).get("config") or {}))
    for old, new in RENAMED_KEYS.items():
        section, key = old.split(".")
        if key in tree.get(section, {}):
            tree[section][new.split(".")[1]] = tree[section].pop(key)
    tree.setdefault("generation", {}).update(generation)
    tree.setdefault("model", {})["trust_remote_code"] = trust_remote_code
    try:
        return RunConfig.model_validate(tree)
    except ValidationError as error:
        raise UserError(f"{run.root / 'run.json'} and what was typed: {format_error(error, RunConfig)}") from None
