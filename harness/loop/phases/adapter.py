"""The adapter that every trial of a seed starts from.

It follows from the seed and the weights' names, but another library or machine may initialize it differently, and a replay needs
the same one.
"""

from __future__ import annotations

from typing import Any

from harness.loop.phases.phase import Phase
from harness.loop.trials import initial_adapter_folder
from harness.store.phase_writer import PhaseWriter


class InitialAdapter(Phase):
    """The adapter of the seed of the iteration's checkpoint."""

    kind, shared = "adapter", True

    @property
    def folder(self) -> str:
        return initial_adapter_folder(self.iteration.checkpoint.seed)

    @property
    def inputs(self) -> dict[str, str]:
        return {"base": self.context.policy.base_digest}

    @property
    def settings(self) -> dict[str, Any]:
        return {"seed": self.iteration.checkpoint.seed, "lora": self.context.config.lora.model_dump()}

    def run(self, draft: PhaseWriter) -> None:
        self.context.policy.save_adapter(draft.path)  # loaded as any checkpoint: for want of a stored one it is reset
