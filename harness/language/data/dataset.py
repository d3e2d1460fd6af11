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
from harness.language.data.formats import Pair, read_pairs_of
from harness.language.encoding import NoSeam, encode_pair
from harness.language.records import Example
from harness.language.text.templates import Template
from harness.language.text.tokens import control_tokens
from harness.records import digest, keyed_seed
from harness.sources.rows import rows_of
from harness.world import Dataset

# The counts that are rows left out, of the source and of a source of held-out pairs.
LEFT_OUT = tuple(f"{of}{reason}" for of in ("", "heldout_") for reason in ("empty", "duplicate", "overlong"))


@dataclass(frozen=True)
class TextDataset(Dataset):
    """conversations: pairs whose prompt has several turns."""

    conversations: int = 0


def load_examples(settings: DataConfig, tokenizer: Any, template: Template, context: int, mirror: Path | None) -> TextDataset:
    """Read, clean, order and split the pairs. `context` is the model's limit in tokens for prompt and response together.

    The order is keyed by the pairs themselves, so the training subset and the held-out pairs do not depend on the run's
    seeds. Several answers to one prompt are pairs of their own, which stay on one side of the split. Raises UserError when rows
    are malformed, no pair is left, held-out prompts are trained on, or a pair does not fit (unless overlong is "drop").
    """
    counts: Counter[str] = Counter()
    pairs, said = _read(settings, settings.source, mirror)
    notes = [said]
    pairs = _clean(pairs, counts)
    _check_roles(pairs, tokenizer, template)
    fitting = _fitting(pairs, settings, tokenizer, template, context, counts)
    fitting.sort(key=lambda example: keyed_seed("order", example.id))
    asked = _prompts_of(pairs)
    groups = Counter(asked(example) for example in fitting)
    if repeated := [n for n in groups.values() if n > 1]:
        notes.append(f"{len(repeated)} prompts have several answers, {sum(repeated)} pairs in all, which are kept and not split")
    if settings.heldout is not None:
        dropped: Counter[str] = Counter()
        own = settings.model_copy(update={"split": settings.heldout_split or settings.split})
        others, said = _read(own, settings.heldout, mirror)
        notes += [said] if said.partition(": ")[2] != notes[0].partition(": ")[2] else []
        others = _clean(others, dropped)
        _check_roles(others, tokenizer, template)
        heldout = _fitting(others, settings, tokenizer, template, context, dropped)
        counts.update({f"heldout_{reason}": n for reason, n in dropped.items()})
        notes += _overlap(settings, heldout, _prompts_of(others), groups)
        pairs = [*pairs, *others]
    else:
        heldout, fitting = _split(fitting, asked, groups, min(settings.heldout_examples, len(fitting) // 5))
    train = fitting[: settings.max_examples]
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
    """The pairs as they stand, and what was read of which columns."""
    return read_pairs_of(rows_of(settings, source, mirror), settings, source)


def _clean(pairs: Sequence[Pair], counts: Counter[str]) -> list[Pair]:
    """Empty and repeated pairs left out, counted; white space around a text makes no other pair, and is kept."""
    kept: dict[tuple[str, str], Pair] = {}
    counts["rows"] += len(pairs)
    for pair in pairs:
        if pair.is_empty:
            counts["empty"] += 1
        elif (key := (pair.asked, pair.real.strip())) in kept:
            counts["duplicate"] += 1
        else:
            kept[key] = pair
    return list(kept.values())


def _prompts_of(pairs: Sequence[Pair]) -> Callable[[Example], str]:
    """An example's prompt as prompts are compared."""
    asked = {(pair.prompt, pair.real): pair.asked for pair in pairs}
    return lambda example: asked[example.prompt, example.real]


def _split(
    ordered: Sequence[Example], asked: Callable[[Example], str], groups: Mapping[str, int], size: int
) -> tuple[list[Example], list[Example]]:
    """(held out, to train on): the first prompts with all their answers, as far as these are at most `size` pairs.

    Where no prompt has so few answers, the one with the fewest is held out.
    """
    chosen: dict[str, None] = {}
    room = size
    for prompt in dict.fromkeys(map(asked, ordered)):
        if groups[prompt] <= room:
            chosen[prompt] = None
            room -= groups[prompt]
    if size and not chosen and len(groups) > 1:
        chosen[min(dict.fromkeys(map(asked, ordered)), key=lambda prompt: groups[prompt])] = None
    heldout = [example for example in ordered if asked(example) in chosen]
    return heldout, [example for example in ordered if asked(example) not in chosen]


def _overlap(
    settings: DataConfig, heldout: Sequence[Example], asked: Callable[[Example], str], trained: Mapping[str, int]
) -> list[str]:
    """What is to be said of held-out pairs whose prompts are trained on. Raises UserError where that is not allowed."""
    shared = [example for example in heldout if asked(example) in trained]
    if not shared:
        return []
    said = f"the prompts of {len(shared)} of {len(heldout)} held-out pairs are also in data.source"
    if settings.allow_heldout_overlap:
        return [f"{said} (allowed by data.allow_heldout_overlap)"]
    raise UserError(
        f"data.heldout={settings.heldout}: {said} (as {reprlib.repr(shared[0].prompt)}); separate them, or go on with "
        "--set data.allow_heldout_overlap=true"
    )


def _check_roles(pairs: Sequence[Pair], tokenizer: Any, template: Template) -> None:
    """Raises UserError where the template leaves out a whole turn, as some do with a system's or a tool's, in silence."""
    known: set[tuple[str, ...]] = set()
    for pair in pairs:
        roles = tuple(turn["role"] for turn in pair.turns)
        if roles in known:
            continue
        known.add(roles)
        turns = [{"role": role, "content": f"a{n}b"} for n, role in enumerate(roles)]
        try:
            rendered = template.render(tokenizer, turns) if turns else ""
        except (TemplateError, TypeError, ValueError):
            continue  # refused with the template's own words when the pair is rendered
        for turn in turns:
            if turn["content"] not in rendered:
                raise UserError(
                    f"{pair.where}: the model's chat template leaves out the turn of {turn['role']!r}; leave such rows out, "
                    f"{_other_ways([turn])}"
                )


def _other_ways(turns: Sequence[Mapping[str, str]]) -> str:
    """What can be typed where a chat template does not take some turns."""
    if any(turn["role"] == "system" for turn in turns):
        return "use --set data.template=instruction, or go on without the system's turn with --set data.ignore_columns=system"
    return "or use --set data.template=instruction"


def _fitting(
    pairs: Sequence[Pair],
    settings: DataConfig,
    tokenizer: Any,
    template: Template,
    context: int,
    counts: Counter[str],
) -> list[Example]:
    """The pairs that fit into the context, rendered. A prompt must leave room for one response token at least.

    Every pair is tokenised as it is trained on: counted are those whose seam lies earlier than the template's, and those with
    text that looks like a control token. Raises UserError naming the row where there is no seam.
    """
    found: list[Example] = []
    looks_like = control_tokens(tokenizer).found_in
    for pair in pairs:
        prompt, real, where = pair.prompt, pair.real, pair.where
        turns = pair.turns or ({"role": "user", "content": prompt},)
        try:
            rendered = template.render(tokenizer, pair.turns or prompt)
            alike = len(turns) < 2 or template.answers_alike(tokenizer, turns, rendered)
            ids = encode_pair(tokenizer, rendered, real, template)
        except NoSeam as error:
            other = "" if template.kind == "instruction" else ", or use --set data.template=instruction"
            raise UserError(f"{where}: {error}; leave such rows out{other}") from error
        except TemplateError as error:
            raise UserError(
                f"{where}: the model's chat template refuses it ({error}); leave such rows out, {_other_ways(turns)}"
            ) from error
        except (UnicodeEncodeError, TypeError, ValueError) as error:
            raise UserError(f"{where}: text that cannot be encoded ({error})") from error
        if not alike:
            raise UserError(
                f"{where}: the model's chat template renders its answer otherwise than to a single prompt; "
                "use --set data.template=instruction or --set data.turns=first"
            )
        prompt_tokens, response_tokens = len(ids.prompt_ids), len(ids.response_ids)
        limit = settings.max_response_tokens
        if prompt_tokens + response_tokens > context or (limit is not None and response_tokens > limit):
            if settings.overlong == "error":
                raise UserError(
                    f"{where}: prompt of {prompt_tokens} and response of {response_tokens} tokens do not fit the context of "
                    f"{context}" + (f" or data.max_response_tokens={limit}" if limit else "") +
                    "; use --set data.overlong=drop to leave such pairs out"
                )  # fmt: skip
            counts["overlong"] += 1
            continue
        counts.update(["seam_moved"] if ids.moved else [])
        counts.update(["control_text"] if any(map(looks_like, (*(turn["content"] for turn in turns), real))) else [])
        found.append(Example(digest(prompt, real), prompt, real, rendered))
    return found
