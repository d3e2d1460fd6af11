"""Several cells at once, one process each: the parent hands out cells and draws the views, workers play.

Cells share nothing that is still being made: what all of them start from is complete before the first is handed out, and a
cell's numbers do not depend on how many cores or processes there are (see `lanes`). A worker that dies, with whatever exit code,
costs its own cell only, and another takes its place; a parent that dies takes its workers with it.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing import forkserver
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

from harness.config import RunConfig
from harness.errors import UserError
from harness.loop.training_loop import Game
from harness.planning.prepare import assemble
from harness.progress import Reporter
from harness.store.run_folder import RunFolder

END = os._exit  # as it is; while an objective's code runs, the name leads elsewhere (see process_state)


def choose_jobs(asked: int | None, config: RunConfig, cells: int) -> int:
    """How many cells to play at once: as asked, else one per GPU or CPU core; never more than there are cells."""
    return max(1, min(asked or places(config), cells))


def places(config: RunConfig) -> int:
    """GPUs, or CPU cores where there is no GPU; 1 where the configuration names one GPU."""
    import torch

    device = config.model.device
    if device == "cpu" or (device == "auto" and not torch.cuda.is_available()):
        return config.model.cores or os.cpu_count() or 1
    return torch.cuda.device_count() if device in ("auto", "cuda") else 1


@dataclass
class Worker:
    """One process, the line to it, which of how many it is, and the number of the cell it is playing."""

    process: Any
    line: Connection
    slot: int
    cell: int | None = None


def play(game: Game, jobs: int) -> dict[str, str]:
    """Play every cell of `game`, `jobs` at a time; returns the cells that failed, with their error."""
    if jobs < 2:
        return game.play()
    to_play = game.to_play()
    game.play_initial(to_play)
    game.play_shared(to_play)
    reporter, cells = game.rounds.reporter, game.cells
    names = {cell.name for cell in to_play}
    waiting = deque(number for number, cell in enumerate(cells) if cell.name in names)
    failed: dict[str, str] = {}
    workers = start(jobs)
    try:
        for worker in workers:
            _open(worker, game)
            _hand_out(worker, waiting)
        while lines := {worker.line: worker for worker in workers if worker.cell is not None}:
            for line in wait(list(lines)):
                worker = lines[line]  # type: ignore[index]
                assert worker.cell is not None
                name = cells[worker.cell].name
                try:
                    kind, text = worker.line.recv()
                except (EOFError, OSError):  # nobody at the other end any more
                    worker.process.join(timeout=10)  # it may go on with the line closed
                    worker.process.kill()
                    worker.process.join()
                    kind, text = "failed", f"its process ended with exit code {worker.process.exitcode}"
                    reporter.say(f"{name} failed: {text}")
                    workers.remove(worker)
                    worker.line.close()
                    if waiting:
                        worker = _start_one(worker.slot, jobs)
                        workers.append(worker)
                        _open(worker, game)
                if kind == "say":
                    reporter.say(text)
                    continue
                if kind == "refused":
                    raise UserError(text)
                if kind == "failed":
                    failed[name] = text
                if kind != "progressed":
                    worker.cell = None
                    _hand_out(worker, waiting if worker in workers else deque())
                game.refresh()
        return failed
    finally:
        stop(workers)


def _open(worker: Worker, game: Game) -> None:
    worker.line.send(("open", game.rounds.config.model_dump(), str(game.rounds.run.root.absolute())))


def _hand_out(worker: Worker, waiting: deque[int]) -> None:
    if waiting:
        worker.cell = waiting.popleft()
        worker.line.send(("play", worker.cell))


# ---------------------------------------------------------------- the workers' side


def warm_up(jobs: int) -> None:
    """Let the libraries be loaded for the workers to come, in a process of their own, while the parent prepares the run."""
    if jobs > 1:
        _context()
        forkserver.ensure_running()


def start(jobs: int) -> list[Worker]:
    """Processes that wait for cells."""
    return [_start_one(slot, jobs) for slot in range(jobs)]


def _start_one(slot: int, jobs: int) -> Worker:
    context = _context()
    mine, theirs = context.Pipe()
    process = context.Process(target=_work, args=(slot, jobs, theirs), daemon=True, name=f"harness-{slot}")
    try:
        process.start()
    except (ConnectionError, EOFError) as error:  # the server process is gone, or could not begin
        raise UserError(
            f"--jobs {jobs}: the processes that play cells cannot be started ({error}); what is finished is kept: repeat the "
            "same command with --jobs 1"
        ) from error
    theirs.close()
    return Worker(process, mine, slot)


def _context() -> Any:
    """Workers come from a server process that has the libraries but no threads and no GPU yet, so forking it is safe."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(
        ["harness.launch.workers", "harness.language.benchmark.lm", "harness.language.model.lora", "lm_eval.evaluator"]
    )
    return context


def stop(workers: Sequence[Worker]) -> None:
    """Hang up; a worker that waits for a cell leaves by itself, one that is playing is ended."""
    for worker in workers:
        worker.line.close()
        worker.process.join(timeout=0 if worker.cell is not None else 10)
        worker.process.kill()
        worker.process.join()


class _Told(Reporter):
    """A reporter whose lines go to the parent."""

    def __init__(self, line: Connection) -> None:
        super().__init__()
        self.line, self.name = line, ""

    def say(self, line: str) -> None:
        self.line.send(("say", f"[{self.name}] {line.strip()}" if self.name else line))

    @property
    def live(self) -> bool:
        return False


def _work(slot: int, jobs: int, line: Connection) -> None:
    """Wait for cells and play them, until the parent hangs up."""
    for asked_to_end in (signal.SIGINT, signal.SIGTERM):  # they reach every process of a terminal or a job; the parent decides
        signal.signal(asked_to_end, signal.SIG_IGN)
    # A task may open processes of its own to run code with a time limit; a daemon may not. This one still ends with its parent.
    multiprocessing.current_process()._config["daemon"] = False  # type: ignore[attr-defined]
    parent = multiprocessing.parent_process()
    assert parent is not None
    threading.Thread(target=lambda: (wait([parent.sentinel]), END(1)), daemon=True).start()
    game: Game | None = None
    told = _Told(line)
    try:
        while True:
            order, *details = line.recv()
            if order == "open":
                config, run = RunConfig.model_validate(details[0]), RunFolder(Path(details[1]))
                run.join()
                game = assemble(_share(config, slot, jobs), run, told)
                continue
            assert game is not None
            cell = game.cells[details[0]]
            told.name = cell.name
            error = game.attempt(cell, lambda: line.send(("progressed", "")))
            line.send(("done", "") if error is None else ("failed", error))
    except EOFError:
        return
    except UserError as error:
        line.send(("refused", str(error)))


def _share(config: RunConfig, slot: int, jobs: int) -> RunConfig:
    """The configuration with this worker's share of the machine: a GPU in turn, or its part of the cores."""
    import torch

    model = config.model
    if model.device in ("auto", "cuda") and torch.cuda.is_available():
        model = model.model_copy(update={"device": f"cuda:{slot % torch.cuda.device_count()}"})
    else:
        model = model.model_copy(update={"cores": max(1, (model.cores or os.cpu_count() or 1) // jobs)})
    return config.model_copy(update={"model": model})
