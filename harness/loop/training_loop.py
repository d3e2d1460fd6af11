"""The training loop: trials x iterations x phases. Contains no tensor code and no objective's name.

For each trial the checkpoint starts as the initial policy. In each iteration the current checkpoint is the opponent: it
generates, if the objective needs synthetic responses, and scores, if it needs a reference. A main player is trained from it,
evaluated, measured by the diagnostics, and becomes the next checkpoint.
"""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.errors import EvaluationError, UserError, is_termination
from harness.loop.context import Iteration
from harness.loop.phase_runner import PhaseRunner
from harness.loop.phases.adapter import InitialAdapter
from harness.loop.phases.evaluate import Evaluate
from harness.loop.phases.phase import Phase
from harness.loop.plan import phases_of, planned_iterations, without_repeats
from harness.loop.trials import Trial
from harness.progress.reporter import TrialEnded
from harness.store.finished_phases import FinishedPhases
from harness.store.small_files import SHARED_UNIT, update_small_file
from harness.store.versions import check_suite_version
from harness.train.nonfinite import NonFiniteError


@dataclass
class TrainingLoop:
    """The trials of a run and the runner of their phases. Built by `planning.prepare.build_loop`."""

    trials: list[Trial]
    runner: PhaseRunner
    write_tables: Callable[[Path], object] | None = None  # called with the run folder while the run goes on
    next_refresh: float = 0.0  # on the monotonic clock

    def run(self) -> dict[str, str]:
        """Run every trial, one after the other; returns the trials that failed, with their error. The others are complete."""
        pending = self.pending_trials()
        self.evaluate_base(pending)
        failed: dict[str, str] = {}
        for trial in pending:
            error = self.run_trial_safely(trial, self.refresh)
            update_small_file(self.root, SHARED_UNIT, verify=False)
            if error is not None:
                failed[trial.name] = error
                self.refresh()
        return failed

    def run_trial(self, trial: Trial, on_progress: Callable[[], None]) -> None:
        """One trial, iteration by iteration; `on_progress` is called after every iteration that computed something."""
        iteration = self._initial_policy(trial.seed)
        for phase in [InitialAdapter(iteration), *phases_of(iteration)]:
            if phase.read_later:
                self.runner.ensure(phase)
        for _ in range(self.runner.context.config.iterations):
            iteration, phases_before = iteration.following(trial), self.runner.phases_run
            for phase in phases_of(iteration):
                self.runner.ensure(phase)
            if self.runner.phases_run > phases_before:
                update_small_file(self.root, trial.name, verify=False)
                on_progress()

    def run_trial_safely(self, trial: Trial, on_progress: Callable[[], None]) -> str | None:
        """Run one trial; its error is recorded and returned, so that the other trials still run.

        An objective that ends the program (`sys.exit`) ends its trial alone, whatever the exit code.
        """
        try:
            self.run_trial(trial, on_progress)
        except UserError:
            raise
        except BaseException as error:
            if is_termination(error):
                raise
            exit_note = " (its code ended the program)" if isinstance(error, SystemExit) else ""
            reason = f"{type(error).__name__}: {error}{exit_note}"
            self.runner.context.run.journal("cell failed", cell=trial.name, error=reason, traceback=traceback.format_exc())
            self.runner.reporter.send(TrialEnded(trial.name, reason))
            return reason
        self.runner.reporter.send(TrialEnded(trial.name, None))
        return None

    # ------------------------------------------------------------ what trials share

    def evaluate_base(self, pending: Sequence[Trial]) -> None:
        """Evaluation and diagnostics of the initial policy, from which the pending trials start.

        Raises UserError when they cannot be finished, or their numbers are not finite: every trial would fail too.
        """
        context = self.runner.context
        phases = phases_of(self._initial_policy(context.config.seeds[0]))
        self._ensure_shared(phase for phase in phases if pending or context.run.small_file_manifest(phase.folder) is None)
        self.refresh()

    def prepare_shared(self, pending: Sequence[Trial]) -> None:
        """Compute what the pending trials share before they start: the initial policy's adapters, samples and log-probabilities.

        Raises UserError where its numbers are not finite.
        """
        shared: list[Phase] = [InitialAdapter(self._initial_policy(trial.seed)) for trial in pending]
        for trial in pending:
            for iteration in planned_iterations(self.runner.context, trial):
                shared += [phase for phase in phases_of(iteration) if phase.shared]
        self._ensure_shared(without_repeats(shared))

    def _ensure_shared(self, phases: Iterable[Phase]) -> None:
        try:
            for phase in phases:
                self.runner.ensure(phase)
        except EvaluationError as error:
            raise UserError(f"initial policy: {error}; what was done is kept, repeat the same command to go on") from None
        except NonFiniteError as error:
            raise UserError(f"initial policy: {error}; use another model, or --set model.dtype=float32") from None
        update_small_file(self.root, SHARED_UNIT, verify=False)

    def check_same_benchmark(self) -> None:
        """Raises UserError when the initial policy's scores were made with another suite, limit or judge than asked for now."""
        context = self.runner.context
        check_suite_version(context.run, context.suite, context.benchmark.suite.version)
        self.runner.lookup(Evaluate(self._initial_policy(context.config.seeds[0])))

    def pending_trials(self) -> list[Trial]:
        """All but the finished trials of which only small files, or these and adapters, are here (see `planning.remaining`)."""
        finished_phases = FinishedPhases(self.root)
        return [
            trial
            for trial in self.trials
            if not finished_phases.only_small_file(trial.name)
            and not (finished_phases.pruned_phases(trial.name) and self._is_finished(trial, finished_phases))
        ]

    def _is_finished(self, trial: Trial, finished_phases: FinishedPhases) -> bool:
        iterations = planned_iterations(self.runner.context, trial)
        return all(finished_phases.is_finished(phase.folder) for iteration in iterations for phase in phases_of(iteration))

    def refresh(self) -> None:
        """Redraw tables and figures, at most so often that it takes a tenth of the run's time."""
        started = time.monotonic()
        if self.write_tables is None or started < self.next_refresh:
            return
        self.write_tables(self.root)
        self.next_refresh = time.monotonic() + 10 * (time.monotonic() - started)

    @property
    def root(self) -> Path:
        return self.runner.context.run.root

    def _initial_policy(self, seed: int) -> Iteration:
        context = self.runner.context
        return Iteration(context, checkpoint=context.initial_checkpoint(seed))
