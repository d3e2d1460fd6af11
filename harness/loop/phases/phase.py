"""A phase: one block of work of an iteration, run once and committed to a folder of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from harness.discovery.variants import Variant
from harness.loop.context import Iteration, RunContext
from harness.loop.trials import Checkpoint, Trial
from harness.store.phase_writer import PhaseWriter
from harness.store.run_folder import PhaseResult

if TYPE_CHECKING:
    from harness.planning.cost_estimate import Sizes
    from harness.planning.throughput import Throughput
    from objectives import Needs


@dataclass(frozen=True)
class Cost:
    """Cost of one or several phases: prompts or items processed, tokens, seconds in one process, bytes on disk."""

    count: float = 0.0
    tokens: float = 0.0
    seconds: float = 0.0
    disk_bytes: float = 0.0

    def __add__(self, other: Cost) -> Cost:
        return Cost(
            self.count + other.count, self.tokens + other.tokens, self.seconds + other.seconds, self.disk_bytes + other.disk_bytes
        )


@dataclass
class Phase:
    """Base of every phase. A subclass gives at least `kind`, `inputs` and `run`, and stands in `loop.plan.PHASES`.

    A phase is finished when its folder holds a manifest with these inputs and settings; it is then read instead of run. `folder`,
    `of` and `cost` are asked while a run is only planned, when nothing is loaded.
    """

    iteration: Iteration

    kind: ClassVar[str]  # name on disk
    title: ClassVar[str] = ""  # name in tables and messages, where it is another
    letter: ClassVar[str] = ""  # in the table of `harness status`; phases without one are left out of it
    shared: ClassVar[bool] = False  # computed once for all trials
    measures_initial_policy: ClassVar[bool] = False  # run on the initial policy too
    read_later: ClassVar[bool] = True  # later phases read its files; else a record of it in the small files is enough
    may_be_linked: ClassVar[bool] = True  # from another run with equal inputs and settings

    @classmethod
    def is_needed(cls, needs: Needs) -> bool:
        """Whether an iteration whose objective has these needs has this phase."""
        return True

    @classmethod
    def of(cls, iteration: Iteration) -> Sequence[Phase]:
        """The phases of this class that an iteration needs."""
        needed = cls.measures_initial_policy if iteration.trial is None else cls.is_needed(iteration.needs)
        return [cls(iteration)] if needed else []

    @classmethod
    def path_in_iteration(cls, suite: str) -> str:
        """Its folder within the iteration's."""
        return cls.kind

    @property
    def folder(self) -> str:
        """Its folder within the run's."""
        return f"{self.iteration.folder}/{self.path_in_iteration(self.context.suite)}"

    @property
    def context(self) -> RunContext:
        return self.iteration.context

    @property
    def trial(self) -> Trial:
        assert self.iteration.trial is not None
        return self.iteration.trial

    @property
    def opponent(self) -> Checkpoint:
        assert self.iteration.opponent is not None
        return self.iteration.opponent

    @property
    def variant(self) -> Variant | None:
        """The variant it belongs to; None where it belongs to the initial policy, which all trials share."""
        return None if self.shared or self.iteration.trial is None else self.iteration.trial.variant

    @property
    def responses_per_prompt(self) -> int:
        """Responses that it generates."""
        return 0

    # ------------------------------------------------------------ what the runner asks

    @property
    def inputs(self) -> dict[str, str]:
        """Digests of what the phase is made from."""
        raise NotImplementedError

    @property
    def settings(self) -> dict[str, Any]:
        """Settings that change its results."""
        return {}

    @property
    def checkpoint(self) -> Checkpoint | None:
        """The checkpoint that is loaded before it runs; None: `run` needs none."""
        return None

    @property
    def progress(self) -> tuple[str, int | None, str] | None:
        """Label, total and unit of its progress bar; None: it is too short for one."""
        return None

    def run(self, draft: PhaseWriter) -> None:
        """Do the work: write files into `draft.path`, numbers into `draft.counts`, call `draft.advance(n)` on the way."""
        raise NotImplementedError

    def hand_on(self, result: PhaseResult) -> None:
        """Put what later phases need into the iteration; called when the phase is finished, now or before."""

    def cost(self, throughput: Throughput, sizes: Sizes) -> Cost:
        """What running it will cost."""
        return Cost()
