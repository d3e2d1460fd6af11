"""The training loop: trials x iterations x phases. Contains no tensor code and no objective's name.

For each trial the checkpoint starts as the initial policy. In each iteration the current checkpoint is the opponent: it
generates, if the objective needs synthetic responses, and scores, if it needs a reference. A main player is trained from it,
evaluated, measured by the diagnostics, and becomes the next checkpoint.
"""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from harness.discovery.process_state import preserve_process_state
from harness.errors import EvaluationError, UserError, is_termination
from harness.loop.phase_runner import PhaseRunner
from harness.loop.trials import Trial
from harness.store.finished_phases import FinishedPhases
from harness.store.small_files import SHARED_UNIT, update_small_file
from harness.train.nonfinite import NonFiniteError

NONFINITE_BASE_ADVICE = "use another model, or --set model.dtype=float32"


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
            update_small_file(self.runner.run.root, SHARED_UNIT, verify=False)
            if error is not None:
                failed[trial.name] = error
                self.refresh()
        return failed

    def pending_trials(self) -> list[Trial]:
        """All trials but those of which only the small files are here: these are finished (see `planning.remaining`)."""
        finished_phases = FinishedPhases(self.runner.run.root)
        return [trial for trial in self.trials if not finished_phases.only_small_file(trial.name)]

    def evaluate_base(self, pending: Sequence[Trial]) -> None:
        """Evaluation and diagnostics of the initial policy, from which the pending trials start. Raises UserError when they
        cannot be finished, or their numbers are not finite: every trial would fail too.
        """
        self.runner.reporter.show_line("initial policy")
        initial = self.runner.initial_checkpoint(self.runner.config.seeds[0])
        try:
            self.runner.evaluate(initial, "initial")
            if pending or self.runner.run.small_file_manifest("initial/probe") is None:
                self.runner.run_diagnostics(initial, "initial")
        except EvaluationError as error:
            raise UserError(f"initial policy: {error}; what was done is kept, repeat the same command to go on") from None
        except NonFiniteError as error:
            raise UserError(f"initial policy: {error}; {NONFINITE_BASE_ADVICE}") from None
        update_small_file(self.runner.run.root, SHARED_UNIT, verify=False)
        self.refresh()

    def prepare_shared(self, pending: Sequence[Trial]) -> None:
        """Compute what the pending trials share before they start: the initial policy's samples and log-probabilities.

        Raises UserError where its numbers are not finite.
        """
        try:
            self._prepare_shared(pending)
        except NonFiniteError as error:
            raise UserError(f"initial policy: {error}; {NONFINITE_BASE_ADVICE}") from None
        update_small_file(self.runner.run.root, SHARED_UNIT, verify=False)

    def _prepare_shared(self, pending: Sequence[Trial]) -> None:
        needs = [(trial.seed, trial.variant.objective(0).needs) for trial in pending]
        for seed in dict.fromkeys(seed for seed, _ in needs):
            self.runner.save_initial_adapter(seed)
            num_samples = max(max(need.synthetic, need.proto) for s, need in needs if s == seed)
            for index in range(num_samples):
                self.runner.initial_samples(seed, index)
        if any(need.reference for _, need in needs):
            self.runner.initial_scores()

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
            self.runner.run.journal("cell failed", cell=trial.name, error=reason, traceback=traceback.format_exc())
            self.runner.reporter.show_line(f"{trial.name} failed: {reason}")
            return reason
        return None

    def run_trial(self, trial: Trial, on_progress: Callable[[], None]) -> None:
        """One trial, iteration by iteration; `on_progress` is called after every iteration that computed something."""
        runner = self.runner
        runner.save_initial_adapter(trial.seed)
        checkpoint = runner.initial_checkpoint(trial.seed)
        diagnostics = runner.run_diagnostics(checkpoint, "initial")
        for iteration in range(runner.config.iterations):
            runner.reporter.show_line(f"{trial.variant.label}, seed {trial.seed}, iteration {iteration}")
            objective = trial.variant.objective(iteration)
            opponent, phases_before = checkpoint, runner.phases_run
            groups, sources = runner.training_set(trial, opponent, iteration, objective.needs)
            scores = runner.score(trial, opponent, iteration, groups, sources) if objective.needs.reference else None
            with self._preserve_state(trial):
                checkpoint = runner.train(trial, opponent, iteration, objective, groups, sources, scores)
            runner.evaluate(checkpoint, trial.folder(iteration))
            diagnostics = runner.run_diagnostics(checkpoint, trial.folder(iteration), opponent, diagnostics)
            if runner.phases_run > phases_before:
                update_small_file(runner.run.root, trial.name, verify=False)
                on_progress()

    @contextmanager
    def _preserve_state(self, trial: Trial) -> Iterator[None]:
        """Within, the objective's code runs; what it changed in the process is restored and reported."""
        changed: list[str] = []
        try:
            with preserve_process_state() as changed:
                yield
        finally:
            if changed:
                message = f"its objective changed {', '.join(changed)}; put back"
                self.runner.run.journal("process changed", cell=trial.name, said=message)
                self.runner.reporter.show_line(f"WARNING {trial.name}: {message}")

    def refresh(self) -> None:
        """Redraw tables and figures, at most so often that it takes a tenth of the run's time."""
        started = time.monotonic()
        if self.write_tables is None or started < self.next_refresh:
            return
        self.write_tables(self.runner.run.root)
        self.next_refresh = time.monotonic() + 10 * (time.monotonic() - started)
