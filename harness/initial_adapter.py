"""The adapter that every cell of a seed starts from: recorded once per run, and put back from what is recorded.

It follows from the seed and the weights' names, but a draw of it by another library or on another machine may differ.
"""

from __future__ import annotations

from harness.errors import DamagedError
from harness.files import AGAIN, file_digest
from harness.model.adapter_files import ADAPTER_FILE
from harness.policy import Policy
from harness.store import RunFolder


def initial_adapter_folder(seed: int) -> str:
    """Where it lies in the run folder."""
    return f"initial/seed-{seed}/adapter"


def become_initial(policy: Policy, run: RunFolder, seed: int) -> None:
    """Put the initial policy of a seed into the slot. Raises DamagedError where the recorded adapter is another."""
    done = run.finished(initial_adapter_folder(seed))
    if done is None:
        policy.become_initial(seed)
        return
    if (found := file_digest(done.path / ADAPTER_FILE)) != done.digest_of(ADAPTER_FILE):
        raise DamagedError(f"{done.path / ADAPTER_FILE}: damaged (digest {found}); {AGAIN}")
    policy.become(done.path)
