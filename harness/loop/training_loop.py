"""The central loop: cells x iterations x phases, read top to bottom. Never touches a tensor and knows no objective by name.

For each cell the player starts as the initial policy. In each iteration the opponent is the player; it generates, if the
objective needs synthetic responses; it scores, if the objective needs a reference; a main player is trained from it, evaluated
and probed, and becomes the player.
"""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from harness.discovery.process_state import kept_state
from harness.errors import EvaluationError, UserError, asks_to_end
from harness.loop.phase_runner import Rounds
from harness.loop.trials import Cell
from harness.store.finished_phases import Played
from harness.store.small_files import SHARED, keep
from harness.train.nonfinite import BadNumbers

BAD_BASE = "use another model, or --set model.dtype=float32"


@dataclass
class Game:
    """The cells of a run and the phases they are played with. Made by `prepare.prepare`."""

    cells: list[Cell]
    rounds: Rounds
    write_tables: Callable[[Path], object] | None = None  # called with the run folder now and then, for whoever watches
    next_refresh: float = 0.0  # on the monotonic clock

    def play(self) -> dict[str, str]:
        """Play every cell, one after the other; returns the cells that failed, with their error. The others are complete."""
        to_play = self.to_play()
        self.play_initial(to_play)
        failed: dict[str, str] = {}
        for cell in to_play:
            error = self.attempt(cell, self.refresh)
            keep(self.rounds.run.root, SHARED, again=False)
            if error is not None:
                failed[cell.name] = error
                self.refresh()
        return failed

    def to_play(self) -> list[Cell]:
        """All cells but those of which only the small files are here: these are finished (see `remaining`)."""
        played = Played(self.rounds.run.root)
        return [cell for cell in self.cells if not played.small_only(cell.name)]

    def play_initial(self, to_play: Sequence[Cell]) -> None:
        """Evaluate and probe the initial policy, which the cells to play start from. Raises UserError when it is not finished,
        or when its numbers are not finite: no cell could do better.
        """
        self.rounds.reporter.say("initial policy")
        initial = self.rounds.initial_player(self.rounds.config.seeds[0])
        try:
            self.rounds.evaluate(initial, "initial")
            if to_play or self.rounds.run.recorded("initial/probe") is None:
                self.rounds.probe(initial, "initial")
        except EvaluationError as error:
            raise UserError(f"initial policy: {error}; what was done is kept, repeat the same command to go on") from None
        except BadNumbers as error:
            raise UserError(f"initial policy: {error}; {BAD_BASE}") from None
        keep(self.rounds.run.root, SHARED, again=False)
        self.refresh()

    def play_shared(self, to_play: Sequence[Cell]) -> None:
        """What these cells would otherwise make when they first need it: the initial policy's samples and log-probabilities.

        Raises UserError where its numbers are not finite.
        """
        try:
            self._shared(to_play)
        except BadNumbers as error:
            raise UserError(f"initial policy: {error}; {BAD_BASE}") from None
        keep(self.rounds.run.root, SHARED, again=False)

    def _shared(self, to_play: Sequence[Cell]) -> None:
        needs = [(cell.seed, cell.variant.objective(0).needs) for cell in to_play]
        for seed in dict.fromkeys(seed for seed, _ in needs):
            self.rounds.record_initial_adapter(seed)
            most = max(max(need.synthetic, need.proto) for s, need in needs if s == seed)
            for index in range(most):
                self.rounds.initial_samples(seed, index)
        if any(need.reference for _, need in needs):
            self.rounds.initial_scores()

    def attempt(self, cell: Cell, progressed: Callable[[], None]) -> str | None:
        """Play one cell; whatever breaks it is recorded and returned, so that it does not cost the others.

        An objective that ends the program (`sys.exit`) ends its cell alone, whatever exit code it asks for.
        """
        try:
            self.play_cell(cell, progressed)
        except UserError:
            raise
        except BaseException as error:
            if asks_to_end(error):
                raise
            ended = " (its code told the program to end)" if isinstance(error, SystemExit) else ""
            reason = f"{type(error).__name__}: {error}{ended}"
            self.rounds.run.journal("cell failed", cell=cell.name, error=reason, traceback=traceback.format_exc())
            self.rounds.reporter.say(f"{cell.name} failed: {reason}")
            return reason
        return None

    def play_cell(self, cell: Cell, progressed: Callable[[], None]) -> None:
        """One cell, iteration by iteration; `progressed` is called when there is something new to see."""
        rounds = self.rounds
        rounds.record_initial_adapter(cell.seed)
        player = rounds.initial_player(cell.seed)
        probed = rounds.probe(player, "initial")
        for iteration in range(rounds.config.iterations):
            rounds.reporter.say(f"{cell.variant.label}, seed {cell.seed}, iteration {iteration}")
            objective = cell.variant.objective(iteration)
            opponent, made = player, rounds.made
            groups, sources = rounds.training_set(cell, opponent, iteration, objective.needs)
            scores = rounds.score(cell, opponent, iteration, groups, sources) if objective.needs.reference else None
            with self._as_found(cell):
                player = rounds.train(cell, opponent, iteration, objective, groups, sources, scores)
            rounds.evaluate(player, cell.folder(iteration))
            probed = rounds.probe(player, cell.folder(iteration), opponent, probed)
            if rounds.made > made:
                keep(rounds.run.root, cell.name, again=False)
                progressed()

    @contextmanager
    def _as_found(self, cell: Cell) -> Iterator[None]:
        """Within, the objective's code runs; what it changed in the process is put back and named."""
        changed: list[str] = []
        try:
            with kept_state() as changed:
                yield
        finally:
            if changed:
                said = f"its objective changed {', '.join(changed)}; put back"
                self.rounds.run.journal("process changed", cell=cell.name, said=said)
                self.rounds.reporter.say(f"WARNING {cell.name}: {said}")

    def refresh(self) -> None:
        """Draw what a watcher looks at, unless that was done lately: it may take a tenth of the time, not more."""
        now = time.monotonic()
        if self.write_tables is None or now < self.next_refresh:
            return
        self.write_tables(self.rounds.run.root)
        self.next_refresh = time.monotonic() + 10 * (time.monotonic() - now)
