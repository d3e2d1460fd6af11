"""How variants are typed: `space,spin:beta=0.5:history=0 as "SPIN, beta 0.5",./mine.py`; see docs/variants.md.

    variants  variant , variant , ...
    variant   NAME or PATH, then any number of :KEY=VALUE, then perhaps: as "LABEL"
    VALUE     a number, true, false, none or text; V|V|V is a schedule, one value per iteration, the last one repeated

A comma inside quotation marks belongs to the label. What is typed determines the folder of a variant, a label does not.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.errors import UserError
from harness.settings.numbers import parse_number
from harness.settings.safe_paths import NAME_RULE, RESERVED_FOLDERS, is_safe_name

MAX_LABEL_CHARS = 40  # a legend of seven lines, and the first column of a table, have room for so many
LABEL_EXAMPLE = 'for example: spin:beta=0.5 as "SPIN, beta 0.5"'
NEXT_MARK = re.compile(r""",|(?<=\s)as\s*(?P<quote>["'])""")  # the end of a variant, or the beginning of its label
LABEL_END = re.compile(r"\s*(,|$)")
MAX_BARE_CHARS = 200  # of the end of a variant, in which a label without quotation marks is looked for
BARE_LABEL = re.compile(r"\s(as)(?!\s+\S*\.py\b)(?:\s+[^/:]*)?$")  # `as` without quotation marks; a path may have the word in it


@dataclass(frozen=True)
class Spelling:
    """One variant as it was typed: `text` is all of it, `unlabelled` what is before its label, which may be None."""

    name: str
    settings: Mapping[str, Any]
    label: str | None
    unlabelled: str
    text: str

    def folder(self, known: Mapping[str, Path], source: str) -> str:
        """The name of the variant's folder: name and settings. known: the objectives' files by name. Raises UserError."""
        stem = known.get(self.name, Path(self.name)).stem
        suffix = "".join(f"-{key.rpartition('.')[2]}{_format_value(value)}" for key, value in self.settings.items())
        folder = re.sub(r"[^A-Za-z0-9._-]", "_", stem + suffix)
        if folder in RESERVED_FOLDERS:
            raise UserError(f'{source} {self.name}: "{folder}" is a reserved name in every run folder; rename the file')
        if not is_safe_name(folder):
            advice = f"put settings into the recipe's [objective.{stem[:40]}]" if self.settings else "see: harness objectives"
            folder_text = f"{folder[:40]} ({len(folder)} characters)"
            raise UserError(f"{source} {self.text[:80]}: its name, {folder_text}, names folders: {NAME_RULE}; {advice}")
        return folder

    def with_setting(self, key: str, value: str) -> str:
        """The spelling with a setting more, which its label says too."""
        spelled = f"{self.unlabelled}:{key}={value}"
        if self.label is None:
            return spelled
        suffix = f", {key.rpartition('.')[2]} {value}"
        quote = "'" if '"' in self.label else '"'
        return f"{spelled} as {quote}{self.label[: MAX_LABEL_CHARS - len(suffix)]}{suffix}{quote}"


def parse_spellings(text: str, source: str = "--objectives") -> list[Spelling]:
    """Every variant of a text; empty ones, as behind a last comma, are left out. Raises UserError with the position."""
    spellings, start, at = [], 0, 0
    while start <= len(text):
        mark = NEXT_MARK.search(text, at)
        end = mark.start() if mark else len(text)
        if mark is None or mark["quote"] is None:
            label, next_start = None, end + 1
            if bare := BARE_LABEL.search(text, max(start, end - MAX_BARE_CHARS), end):
                at_bare = _position(bare.start(1))
                raise UserError(f"{source}: {at_bare}, expected a label in quotation marks behind `as`, {LABEL_EXAMPLE}")
        else:
            label, next_start = _read_label(text, mark.end(), mark["quote"], source)
        if (item := text[start:end]).strip():
            whole = text[start : next_start - 1].strip()
            spellings.append(_parse_spelling(item, start, label, whole, source))
        elif label is not None:
            raise UserError(f"{source}: {_position(end)}, a label without a variant before it, {LABEL_EXAMPLE}")
        start = at = next_start
    return spellings


def _read_label(text: str, begin: int, quote: str, source: str) -> tuple[str, int]:
    """The label that begins at `begin`, behind its quotation mark, and where the next variant begins."""
    end = text.find(quote, begin)
    if end < 0:
        opened = text[begin - 1 : begin + 40]
        raise UserError(f"{source}: {_position(begin - 1)}, a quotation mark that is never closed: {opened}")
    rest = LABEL_END.match(text, end + 1)
    if rest is None:
        raise UserError(
            f"{source}: {_position(end + 1)}, expected a comma behind the label {quote}{text[begin:end][:60]}{quote}, found "
            f"{text[end + 1 : end + 100].strip()[:20]!r}"
        )
    label = text[begin:end].strip()
    if (problem := label_problem(label)) is not None:
        raise UserError(f"{source}: {_position(begin)}, the label {label[:60]!r} {problem}, {LABEL_EXAMPLE}")
    return label, rest.end() + (rest[1] == "")


def label_problem(label: str) -> str | None:
    """Why a text can be no label in tables and figures; None where it can."""
    if not label:
        return "is empty"
    if len(label) > MAX_LABEL_CHARS:
        return f"has {len(label)} characters, more than the {MAX_LABEL_CHARS} that figures and tables have room for"
    if not label.isprintable():
        return "holds a control or an invisible character"
    if not label[0].isalnum():
        return "does not begin with a letter or a digit (a spreadsheet would run some as a formula)"
    return "is the name of a folder or table of every run" if label.lower() in RESERVED_FOLDERS else None


def _parse_spelling(item: str, start: int, label: str | None, whole: str, source: str) -> Spelling:
    """A variant without its label. start: where it begins; whole: it and its label, as typed."""
    settings: dict[str, Any] = {}
    name, *parts = item.split(":")
    at = start + len(name) + 1
    for part in parts:
        key, separator, value = map(str.strip, part.partition("="))
        if not separator or not key or not value:
            stem = Path(name.strip()).stem
            problem = f'{_position(at)}, "{part.strip()}" is not key=value, for example {stem}:training.lr=1e-4'
            raise UserError(f"{source} {whole}: {problem}")
        if key in settings:
            raise UserError(f"{source} {whole}: {key} is given twice, again {_position(at)}; leave one out")
        settings[key] = parse_value(value)
        at += len(part) + 1
    return Spelling(name.strip(), settings, label, item.strip(), whole)


def _position(index: int) -> str:
    return f"at character {index + 1}"


def parse_value(text: str) -> Any:
    """int, float, true/false, none or text; `a|b` is a list. Digits are those of ASCII."""
    if "|" in text:
        return [parse_value(part) for part in text.split("|")]
    constants = {"true": True, "false": False, "none": None}
    if text.lower() in constants:
        return constants[text.lower()]
    number = parse_number(text)
    return text if number is None else number


def _format_value(value: Any) -> str:
    return "_".join(map(_format_value, value)) if isinstance(value, list) else str(value)
