"""The runner of phases: reuse, sharing between runs, progress, commit, and what is left of a number that is not finite.

What a phase computes is said in `phases/`, where it is written in `store/`. A phase is looked up in the run folder first and
reused when it is finished there; what all trials share lies in `initial/` and is computed once per run.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from harness.loop.context import RunContext
from harness.loop.phases.phase import Phase
from harness.progress import Reporter
from harness.progress.reporter import PhaseEnded
from harness.store.phase_cache import PhaseCache
from harness.store.run_folder import PhaseResult
from harness.train.nonfinite import dump_on_error


@dataclass
class PhaseRunner:
    """Runs the phases of one process. phase_cache: the finished phases of other runs, where they may be linked."""

    context: RunContext
    reporter: Reporter
    phase_cache: PhaseCache | None = None
    phases_run: int = 0  # phases committed so far

    def ensure(self, phase: Phase) -> PhaseResult | None:
        """The finished phase: reused, else linked from another run, else run now, and handed on to the phases after it.

        None where only the small files hold it and no later phase reads it. Raises UserError where it was made from something
        else.
        """
        run, inputs, settings = self.context.run, phase.inputs, phase.settings
        result = run.lookup(phase.folder, inputs, settings)
        if result is None:
            if not phase.read_later and run.small_file_manifest(phase.folder) is not None:
                self.reporter.send(PhaseEnded(phase.folder, None))
                return None
            if self._link(phase, inputs, settings):
                self.reporter.send(PhaseEnded(phase.folder, None))
            else:
                self._run(phase, inputs, settings)
            result = run.find_phase(phase.folder)
            assert result is not None
            self.phases_run += 1
        else:
            self.reporter.send(PhaseEnded(phase.folder, None))
        phase.hand_on(result)
        return result

    def lookup(self, phase: Phase) -> PhaseResult | None:
        """The phase where its folder is finished. Raises UserError where it was made from something else."""
        return self.context.run.lookup(phase.folder, phase.inputs, phase.settings)

    def _link(self, phase: Phase, inputs: dict[str, str], settings: dict[str, Any]) -> bool:
        """Whether another run's phase was linked into this one."""
        cache = self.phase_cache if phase.may_be_linked else None
        return cache is not None and cache.link_into_run(phase.folder, inputs, settings)

    def _run(self, phase: Phase, inputs: dict[str, str], settings: dict[str, Any]) -> None:
        context = self.context
        progress = phase.progress or (phase.title or phase.kind, None, "")
        with (
            self.reporter.phase(phase.folder, progress) as advance,
            dump_on_error(context.run.root, phase.folder, inputs.get("player"), context.policy.decode),
            context.run.write_phase(phase.folder, inputs, settings) as draft,
        ):
            if phase.checkpoint is not None:
                context.load_checkpoint(phase.checkpoint)
            draft.advance = advance
            phase.run(draft)
