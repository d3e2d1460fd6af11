"""A whole model: a base with a trained adapter merged into its weights, written as transformers reads it.

W becomes W + s B A, by peft, in the base's own precision. In float32 log-probabilities equal those of base and adapter but for
rounding; in half precision the sum is rounded to the base's digits, of which a small adapter may lose some.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from harness.errors import UserError
from harness.files import commit_folder, folder_bytes
from harness.language.policy import Policy

MERGED_FOLDER = "merged"  # within a package


def write_merged(policy: Policy, to: Path) -> int:
    """Write the policy's loaded checkpoint as a whole model with its tokenizer into `to`, whole or not at all; returns its bytes.

    The policy cannot be used afterwards. Raises UserError where `to` exists, or the base is quantised.
    """
    if policy.quantized:
        raise UserError("--merged: an adapter cannot be added to a quantised base; push it without --merged")
    if to.exists():
        raise UserError(f"{to}: exists; name a new folder with --to")
    partial = to.with_name(f"{to.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    merged: Any = policy.model.merge_and_unload()
    merged.save_pretrained(partial)
    policy.tokenizer.save_pretrained(partial)
    commit_folder(partial, to)
    return folder_bytes(to)
