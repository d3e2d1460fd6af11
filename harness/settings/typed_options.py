"""Settings as they are typed: which option sets which, items of `--set`, lists of seeds."""

from __future__ import annotations

from typing import Any

from harness.errors import UserError
from harness.settings.numbers import parse_number
from harness.settings.toml_files import parse_toml_value

MAX_KEY_CHARS = 1_000
# Options of the command line by the setting they set.
CLI_OPTIONS = {
    "objectives": "--objectives", "iterations": "--iters", "seeds": "--seeds", "evaluation.suite": "--suite",
    "data.source": "--data", "data.max_examples": "--max-examples",
    "data.prompt_column": "--prompt-column", "data.response_column": "--response-column",
    "model.path": "--model", "model.trust_remote_code": "--trust-remote-code",
    "mirror": "--mirror", "recompute": "--recompute", "report_to": "--report-to",
}  # fmt: skip


def parse_setting(item: str) -> tuple[str, Any]:
    """Key and value of an item of `--set`."""
    key, separator, text = item.partition("=")
    key = key.strip()
    if not separator or not key:
        raise UserError(f"--set {item}: expected key=value, for example --set training.lr=1e-4")
    if len(key) > MAX_KEY_CHARS:
        raise UserError(f"--set {key[:80]}...: a key of {len(key):,} characters; the longest allowed has {MAX_KEY_CHARS:,}")
    return key, parse_toml_value(text.strip())


def parse_seeds(seeds: Any, source: str) -> Any:
    """The numbers of a text such as 0,1,2."""
    if not isinstance(seeds, str):
        return seeds
    numbers = [parse_number(part) for part in seeds.split(",")]
    if not all(isinstance(number, int) for number in numbers):
        raise UserError(f"{source} {seeds}: expected whole numbers, comma-separated, for example 0,1,2")
    return numbers
