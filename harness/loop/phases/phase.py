"""A phase: one block of work of an iteration, run once and committed to a folder of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from harness.discovery.variants import Variant
from harness.loop.context import Iteration, RunContext
from harness.loop.costs import Cost, Sizes, Throughput
from harness.loop.trials import Checkpoint
from harness.progress.reporter import Total
from harness.store.phase_writer import PhaseWriter
from harness.store.run_folder import PhaseResult


@dataclass
class Phase:
    """Base of every phase. A subclass gives at least `kind`, `inputs` and `run` and stands in `loop.plan.PHASES`.

    A phase is finished when its folder holds a manifest with its inputs and settings; it is then read instead of run. `of`,
    `folder` and `cost` are asked while a run is only planned, when nothing is loaded.
    """

    iteration: Iteration

    kind: ClassVar[str]  # name on disk
    title: ClassVar[str] = ""  # name in tables and messages, where it is another
    letter: ClassVar[str] = ""  # in the table of `harness status`; phases without one are left out of it
    requires: ClassVar[str] = ""  # the entry of an objective's needs without which an iteration has no such phase
    shared: ClassVar[bool] = False  # computed once for all trials
    measures_initial_policy: ClassVar[bool] = False  # run on the initial policy too
    read_later: ClassVar[bool] = True  # later phases read its files; else a record of it in the small files is enough
    may_be_linked: ClassVar[bool] = True  # from another run with equal inputs and settings

    @classmethod
    def is_needed(cls, needs: Any) -> bool:
        """Whether an iteration of an objective with these needs has this phase."""
        return not cls.requires or bool(getattr(needs, cls.requires))

    @classmethod
    def of(cls, iteration: Iteration) -> Sequence[Phase]:
        """The phases of this class that an iteration has."""
        needed = cls.measures_initial_policy if iteration.is_initial else cls.is_needed(iteration.needs)
        return [cls(iteration)] if needed else []

    @classmethod
    def path_in_iteration(cls, suite: str) -> str:
        return cls.kind

    @property
    def folder(self) -> str:
        """Within the run's folder."""
        return f"{self.iteration.folder}/{self.path_in_iteration(self.context.suite)}"

    @property
    def context(self) -> RunContext:
        return self.iteration.context

    @property
    def variant(self) -> Variant | None:
        """The variant it belongs to; None where it belongs to the initial policy, which all trials share."""
        return None if self.shared or self.iteration.is_initial else self.iteration.trial.variant

    @property
    def checkpoint(self) -> Checkpoint | None:
        """The checkpoint that is loaded before it runs."""
        return self.iteration.checkpoint

    @property
    def inputs(self) -> dict[str, str]:
        """Digests of what the phase is made from."""
        return {}

    @property
    def settings(self) -> dict[str, Any]:
        """Settings that change its results."""
        return {}

    @property
    def arithmetic(self) -> dict[str, str]:
        """How scoring and training multiply, for their settings; nothing where it is as in runs that record none."""
        name = self.context.config.model.arithmetic
        return {} if name == "dtype" else {"arithmetic": name}

    @property
    def progress(self) -> tuple[str, Total, str] | None:
        """Label, total and unit of its progress; None: it is too short for one."""
        return None

    def run(self, draft: PhaseWriter) -> None:
        """Do the work: write files into `draft.path`, numbers into `draft.counts`, call `draft.advance(n)` on the way."""
        raise NotImplementedError

    def hand_on(self, result: PhaseResult) -> None:
        """Put what later phases need into the iteration; called when the phase is finished, now or before."""

    @property
    def responses_per_prompt(self) -> int:
        """Responses that it generates."""
        return 0

    def cost(self, throughput: Throughput, sizes: Sizes) -> Cost:
        """What running it will cost."""
        return Cost()
