"""Data set rows -> Examples: read, clean, split off the held-out pairs, render. Never sees synthetic data.

Nothing is dropped silently: every row that does not become an Example is counted under a reason, and the counts are kept in
the data folder's manifest and shown in the report.
"""

from __future__ import annotations

import reprlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import TemplateError

from harness.config import DataConfig
from harness.errors import UserError
from harness.language.data.formats import Pair, pairs_from_rows
from harness.language.encoding import SeamError, encode_pair
from harness.language.records import Example
from harness.language.text.templates import Template
from harness.language.text.tokens import control_tokens
from harness.records import digest, keyed_seed
from harness.sources.rows import read_rows
from harness.world import Dataset

# The counts that are rows left out, of the source and of a source of held-out pairs.
DROPPED_COUNTS = tuple(f"{of}{reason}" for of in ("", "heldout_") for reason in ("empty", "duplicate", "overlong"))


@dataclass(frozen=True)
class TextDataset(Dataset):
    """conversations: pairs whose prompt has several turns."""

    conversations: int = 0


def load_examples(
    settings: DataConfig, tokenizer: Any, template: Template, context_length: int, mirror: Path | None
) -> TextDataset:
    """Read, clean, order and split the pairs. context_length: the model's limit in tokens for prompt and response together.

    The order is keyed by the pairs themselves, so the training subset and the held-out pairs do not depend on the run's
    seeds. Several answers to one prompt are pairs of their own, which stay on one side of the split. Raises UserError when rows
    are malformed, no pair is left, held-out prompts are trained on, or a pair does not fit (unless overlong is "drop").
    """

    def load(source: str, split: str) -> tuple[list[Pair], list[Example], str, Counter[str]]:
        counts: Counter[str] = Counter()
        pairs, note = _read(settings.model_copy(update={"split": split}), source, mirror)
        pairs = _clean(pairs, counts)
        _check_roles(pairs, tokenizer, template)
        return pairs, _drop_too_long(pairs, settings, tokenizer, template, context_length, counts), note, counts

    pairs, examples, note, counts = load(settings.source, settings.split)
    notes = [note]
    examples.sort(key=lambda example: keyed_seed("order", example.id))
    prompt_of = _prompt_lookup(pairs)
    pairs_per_prompt = Counter(map(prompt_of, examples))
    if repeat_counts := [n for n in pairs_per_prompt.values() if n > 1]:
        notes.append(
            f"{len(repeat_counts)} prompts have several answers, {sum(repeat_counts)} pairs in all, which are kept and not split"
        )
    if settings.heldout is not None:
        heldout_pairs, heldout, note, heldout_counts = load(settings.heldout, settings.heldout_split or settings.split)
        notes += [note] if note.partition(": ")[2] != notes[0].partition(": ")[2] else []
        counts.update({f"heldout_{reason}": n for reason, n in heldout_counts.items()})
        notes += _check_overlap(settings, heldout, _prompt_lookup(heldout_pairs), pairs_per_prompt)
        pairs += heldout_pairs
    else:
        max_heldout = min(settings.heldout_examples, len(examples) // 5)
        heldout, examples = _split_heldout(examples, prompt_of, pairs_per_prompt, max_heldout)
    train = examples[: settings.max_examples]
    if not train or not heldout:
        raise UserError(
            f"data.source={settings.source}: {len(train)} pairs to train on and {len(heldout)} held out after cleaning "
            f"({dict(counts)}); at least one of each is needed"
            + ("; name pairs to hold out with --set data.heldout=FILE" if settings.heldout is None and len(train) else "")
        )
    counts.update(train=len(train), heldout=len(heldout))
    return TextDataset(train, heldout, dict(counts), tuple(notes), sum(bool(pair.turns) for pair in pairs))


def read_pairs(settings: DataConfig, source: str, mirror: Path | None) -> list[Pair]:
    """The pairs of a file, a folder or a hub data set, as they stand. Raises UserError."""
    return _read(settings, source, mirror)[0]


def _read(settings: DataConfig, source: str, mirror: Path | None) -> tuple[list[Pair], str]:
    """The pairs as they stand, and a note on which columns were read."""
    return pairs_from_rows(read_rows(settings, source, mirror), settings, source)


def _clean(pairs: Sequence[Pair], counts: Counter[str]) -> list[Pair]:
    """Empty and repeated pairs left out, counted; white space around a text makes no other pair, and is kept."""
    unique_pairs: dict[tuple[str, str], Pair] = {}
    counts["rows"] += len(pairs)
    for pair in pairs:
        if pair.is_empty:
            counts["empty"] += 1
        elif (key := (pair.normalized_prompt, pair.real.strip())) in unique_pairs:
            counts["duplicate"] += 1
        else:
            unique_pairs[key] = pair
    return list(unique_pairs.values())


def _prompt_lookup(pairs: Sequence[Pair]) -> Callable[[Example], str]:
    """An example's prompt as prompts are compared."""
    normalized = {(pair.prompt, pair.real): pair.normalized_prompt for pair in pairs}
    return lambda example: normalized[example.prompt, example.real]


def _split_heldout(
    examples: Sequence[Example], prompt_of: Callable[[Example], str], pairs_per_prompt: Mapping[str, int], max_pairs: int
) -> tuple[list[Example], list[Example]]:
    """(held out, to train on): the first prompts with all their answers, as far as these are at most `max_pairs` pairs.

    Where no prompt has so few answers, the one with the fewest is held out.
    """
    prompts, heldout_prompts, remaining = dict.fromkeys(map(prompt_of, examples)), set(), max_pairs
    for prompt in prompts:
        if pairs_per_prompt[prompt] <= remaining:
            heldout_prompts.add(prompt)
            remaining -= pairs_per_prompt[prompt]
    if max_pairs and not heldout_prompts and len(prompts) > 1:
        heldout_prompts.add(min(prompts, key=lambda prompt: pairs_per_prompt[prompt]))
    heldout = [example for example in examples if prompt_of(example) in heldout_prompts]
    return heldout, [example for example in examples if prompt_of(example) not in heldout_prompts]


def _check_overlap(
    settings: DataConfig, heldout: Sequence[Example], prompt_of: Callable[[Example], str], training_prompts: Mapping[str, int]
) -> list[str]:
    """A note on held-out pairs whose prompts are trained on. Raises UserError where that is not allowed."""
    overlapping = [example for example in heldout if prompt_of(example) in training_prompts]
    if not overlapping:
        return []
    message = f"the prompts of {len(overlapping)} of {len(heldout)} held-out pairs are also in data.source"
    if settings.allow_heldout_overlap:
        return [f"{message} (allowed by data.allow_heldout_overlap)"]
    raise UserError(
        f"data.heldout={settings.heldout}: {message} (as {reprlib.repr(overlapping[0].prompt)}); separate them, or go on with "
        "--set data.allow_heldout_overlap=true"
    )


def _check_roles(pairs: Sequence[Pair], tokenizer: Any, template: Template) -> None:
    """Raises UserError where the template leaves out a whole turn, as some do with a system's or a tool's, in silence."""
    checked_roles: set[tuple[str, ...]] = set()
    for pair in pairs:
        roles = tuple(turn["role"] for turn in pair.turns)
        if roles in checked_roles:
            continue
        checked_roles.add(roles)
        turns = [{"role": role, "content": f"a{n}b"} for n, role in enumerate(roles)]
        try:
            rendered = template.render(tokenizer, turns) if turns else ""
        except (TemplateError, TypeError, ValueError):
            continue  # refused with the template's own message when the pair is rendered
        for turn in turns:
            if turn["content"] not in rendered:
                raise UserError(
                    f"{pair.where}: the model's chat template leaves out the turn of {turn['role']!r}; leave such rows out, "
                    f"{_template_hint([turn])}"
                )


def _template_hint(turns: Sequence[Mapping[str, str]]) -> str:
    """What can be typed where a chat template does not take some turns."""
    if any(turn["role"] == "system" for turn in turns):
        return "use --set data.template=instruction, or go on without the system's turn with --set data.ignore_columns=system"
    return "or use --set data.template=instruction"


def _drop_too_long(
    pairs: Sequence[Pair], settings: DataConfig, tokenizer: Any, template: Template, context_length: int, counts: Counter[str]
) -> list[Example]:
    """The pairs that fit into the context, rendered. A prompt must leave room for one response token at least.

    Every pair is tokenised as it is trained on: counted are those whose seam lies earlier than the template's, and those with
    text that looks like a control token. Raises UserError naming the row where there is no seam.
    """
    examples: list[Example] = []
    find_control_tokens = control_tokens(tokenizer).find_in
    for pair in pairs:
        prompt, real, where = pair.prompt, pair.real, pair.where
        turns = pair.turns or ({"role": "user", "content": prompt},)
        try:
            prompt_text = template.render(tokenizer, pair.turns or prompt)
            is_consistent = len(turns) < 2 or template.renders_consistently(tokenizer, turns, prompt_text)
            encoded = encode_pair(tokenizer, prompt_text, real, template)
        except SeamError as error:
            other = "" if template.kind == "instruction" else ", or use --set data.template=instruction"
            raise UserError(f"{where}: {error}; leave such rows out{other}") from error
        except TemplateError as error:
            raise UserError(
                f"{where}: the model's chat template refuses it ({error}); leave such rows out, {_template_hint(turns)}"
            ) from error
        except (UnicodeEncodeError, TypeError, ValueError) as error:
            raise UserError(f"{where}: text that cannot be encoded ({error})") from error
        if not is_consistent:
            raise UserError(
                f"{where}: the model's chat template renders its answer otherwise than to a single prompt; "
                "use --set data.template=instruction or --set data.turns=first"
            )
        prompt_tokens, response_tokens = len(encoded.prompt_ids), len(encoded.response_ids)
        max_response_tokens = settings.max_response_tokens
        if prompt_tokens + response_tokens > context_length or response_tokens > (max_response_tokens or context_length):
            if settings.overlong == "error":
                raise UserError(
                    f"{where}: prompt of {prompt_tokens} and response of {response_tokens} tokens do not fit the context of "
                    f"{context_length}" + (f" or data.max_response_tokens={max_response_tokens}" if max_response_tokens else "") +
                    "; use --set data.overlong=drop to leave such pairs out"
                )  # fmt: skip
            counts["overlong"] += 1
            continue
        counts.update(["seam_moved"] if encoded.seam_shift else [])
        counts.update(["control_text"] if any(map(find_control_tokens, (*(turn["content"] for turn in turns), real))) else [])
        examples.append(Example(digest(prompt, real), prompt, real, prompt_text))
    return examples
