"""What a number was made with: package versions, the checkout's commit, the process's peak memory."""

from __future__ import annotations

import contextlib
import platform
import subprocess
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

PROGRAM = "selfplay-harness"
# The version of this program's own numbers. Raise it with every change after which equal inputs give other numbers: how text
# becomes token ids, what is sampled, trained, scored or measured, in which order or precision. A run is not continued, and no
# phase is reused, across versions. 2: log-probabilities are summed in float64. 3: they, and the tokens that a uniform draws, come
# from sums in other parts, and the opponent's kept ones are its references whatever the vocabulary.
NUMBERS_VERSION = "3"
FIRST_NUMBERS_VERSION = "1"  # of runs made before the version was recorded
NUMBERS_KEY = f"{PROGRAM} numbers"
RECORDED_PACKAGES = (
    "torch", "transformers", "peft", "lm_eval", "datasets", "tokenizers", "numpy", "safetensors", "jinja2", "bitsandbytes",
    "nltk", "scikit-learn", "sacrebleu", "rouge_score", PROGRAM, "vllm",
)  # fmt: skip
PROC_STATUS, PROC_CLEAR_REFS = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def reset_peak_memory() -> None:
    """Count the peak from now on, where the system can (Linux); elsewhere it is the process's peak so far."""
    with contextlib.suppress(OSError):
        PROC_CLEAR_REFS.write_text("5")


def peak_memory_bytes() -> int:
    """Largest resident memory since `reset_peak_memory`; the training core records device memory in its counts."""
    with contextlib.suppress(OSError):
        for line in PROC_STATUS.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    import resource

    scale = 1 if platform.system() == "Darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * scale


@cache
def package_versions() -> dict[str, str]:
    """Name -> version of everything installed that bears on numbers, and of this program's own numbers."""
    versions = {NUMBERS_KEY: NUMBERS_VERSION, "python": platform.python_version()}
    for name in RECORDED_PACKAGES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    return versions


def git_state(folder: Path) -> dict[str, Any]:
    """Commit and dirty flag of the checkout this program runs from; both None outside one."""

    def git(*arguments: str) -> str | None:
        try:
            completed = subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True, timeout=10, check=True)
        except (OSError, subprocess.SubprocessError):
            return None
        return completed.stdout.strip()

    top = git("rev-parse", "--show-toplevel")
    if top is None or not (Path(top) / "harness" / "store" / "run_folder.py").exists():
        return {"git_commit": None, "git_dirty": None}
    status = git("status", "--porcelain", "--", "harness", "objectives", "pyproject.toml")
    return {"git_commit": git("rev-parse", "HEAD"), "git_dirty": None if status is None else bool(status)}
