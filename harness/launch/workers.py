"""Several trials at once, one process each: the parent assigns trials and writes the views, workers run them.

Trials share no unfinished phase: what they all start from is complete before the first is assigned. Their numbers do not depend
on the number of cores or processes (see harness/train/thread_pool.py). A worker that dies, with whatever exit code, fails its
own trial only and is replaced; when the parent dies, its workers exit.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from multiprocessing import forkserver, resource_tracker
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

from harness.config import RunConfig
from harness.errors import UserError
from harness.loop.training_loop import TrainingLoop
from harness.planning.prepare import build_loop
from harness.planning.request import RunRequest
from harness.progress import Reporter
from harness.progress.reporter import Event, Line, TrialEnded
from harness.settings.freed_memory import keep_freed_memory
from harness.store.run_folder import RunFolder

EXIT = os._exit  # the original: while an objective's code runs, os._exit is replaced (see discovery/process_state.py)


def choose_num_workers(requested: int | None, config: RunConfig, num_trials: int) -> int:
    """Number of trials to run at once: `requested`, else one per GPU or CPU core; at most `num_trials`."""
    return max(1, min(requested or num_slots(config), num_trials))


def num_slots(config: RunConfig) -> int:
    """GPUs, or CPU cores where there is no GPU; 1 where the configuration names one GPU."""
    import torch

    device = config.model.device
    if device == "cpu" or (device == "auto" and not torch.cuda.is_available()):
        return config.model.cores or os.cpu_count() or 1
    return torch.cuda.device_count() if device in ("auto", "cuda") else 1


@dataclass
class Worker:
    """One process, the pipe to it, its slot on the machine, and the index of the trial it runs."""

    process: Any
    pipe: Connection
    slot: int
    trial_index: int | None = None


def run_trials(request: RunRequest, loop: TrainingLoop, num_workers: int) -> dict[str, str]:
    """Run every trial of `loop`, `num_workers` at a time; returns the errors of those that failed, by name."""
    if num_workers < 2:
        return loop.run()
    pending_trials = loop.pending_trials()
    loop.evaluate_base(pending_trials)
    loop.prepare_shared(pending_trials)
    reporter, trials = loop.runner.reporter, loop.trials
    pending_names = {trial.name for trial in pending_trials}
    unassigned = deque(index for index, trial in enumerate(trials) if trial.name in pending_names)
    failed: dict[str, str] = {}
    workers: list[Worker] = []
    setup = request, str(loop.root.absolute())
    try:
        for slot in range(num_workers):
            workers.append(_start_worker(slot, num_workers, setup))
            _assign(workers[-1], unassigned)
        while worker_by_pipe := {worker.pipe: worker for worker in workers if worker.trial_index is not None}:
            for pipe in wait(list(worker_by_pipe)):
                worker = worker_by_pipe[pipe]  # type: ignore[index]
                assert worker.trial_index is not None
                name = trials[worker.trial_index].name
                message: Any
                try:
                    message_kind, message = worker.pipe.recv()
                except (EOFError, OSError):  # the process is gone
                    worker.process.join(timeout=10)  # it may run on with its pipe closed
                    worker.process.kill()
                    worker.process.join()
                    message_kind, message = "failed", f"its process ended with exit code {worker.process.exitcode}"
                    reporter.send(TrialEnded(name, message))
                    workers.remove(worker)
                    worker.pipe.close()
                    if unassigned:
                        worker = _start_worker(worker.slot, num_workers, setup)
                        workers.append(worker)
                if message_kind == "event":
                    reporter.send(message)
                    continue
                if message_kind == "refused":
                    raise UserError(message)
                if message_kind == "failed":
                    failed[name] = message
                if message_kind != "progressed":
                    worker.trial_index = None
                    _assign(worker, unassigned if worker in workers else deque())
                loop.refresh()
        return failed
    except BaseException:
        for worker in workers:  # busy, loading or idle: none is waited for
            worker.process.kill()
        raise
    finally:
        _stop_workers(workers)


def _assign(worker: Worker, unassigned: deque[int]) -> None:
    if unassigned:
        worker.trial_index = unassigned.popleft()
        worker.pipe.send(worker.trial_index)


# ---------------------------------------------------------------- worker processes


def warm_up(num_workers: int) -> None:
    """Preload the libraries in the fork server while the parent prepares the run.

    Ctrl-C, which a terminal sends to every process, is blocked in the server: it would end its imports with a traceback.
    """
    if num_workers > 1:
        _context()
        resource_tracker.ensure_running()  # the server starts it otherwise, and it unblocks the signal
        blocked = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # inherited
        try:
            forkserver.ensure_running()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, blocked)


def stop_server() -> None:
    """End the fork server at once; left alone it would end once it has loaded the libraries."""
    if (pid := getattr(forkserver._forkserver, "_forkserver_pid", None)) is not None:  # type: ignore[attr-defined]
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def _start_worker(slot: int, num_workers: int, setup: tuple[RunRequest, str]) -> Worker:
    """A process that loads the run, given by its request and folder, and waits for trials."""
    context = _context()
    parent_pipe, worker_pipe = context.Pipe()
    process = context.Process(target=_worker_main, args=(slot, num_workers, worker_pipe), daemon=True, name=f"harness-{slot}")
    try:
        process.start()
    except (ConnectionError, EOFError) as error:  # the fork server is gone, or could not start
        raise UserError(
            f"--jobs {num_workers}: worker processes cannot be started ({error}); what is finished is kept: repeat the same "
            "command with --jobs 1"
        ) from error
    worker_pipe.close()
    parent_pipe.send(setup)
    return Worker(process, parent_pipe, slot)


def _context() -> Any:
    """Workers are forked from a server process that has loaded the libraries but has no threads and no GPU, which is safe."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(
        ["harness.launch.workers", "harness.language.benchmark.lm", "harness.language.model.lora", "lm_eval.evaluator"]
    )
    return context


def _stop_workers(workers: Sequence[Worker]) -> None:
    """Close the pipes; an idle worker exits by itself, a busy one is killed."""
    for worker in workers:
        worker.pipe.close()
        worker.process.join(timeout=0 if worker.trial_index is not None else 10)
        worker.process.kill()
        worker.process.join()


class _PipeReporter(Reporter):
    """A reporter that sends its events to the parent; several threads may."""

    def __init__(self, pipe: Connection) -> None:
        super().__init__()
        self.pipe, self.trial_name, self._lock = pipe, "", threading.Lock()

    def send(self, event: Event) -> None:
        if isinstance(event, Line):
            event = replace(event, trial=self.trial_name)
        self.tell_parent("event", event)

    def tell_parent(self, kind: str, message: object) -> None:
        with self._lock:
            self.pipe.send((kind, message))


def _worker_main(slot: int, num_workers: int, pipe: Connection) -> None:
    """Run the trials that arrive on the pipe, until it is closed."""
    keep_freed_memory()
    for signal_number in (signal.SIGINT, signal.SIGTERM):  # sent to every process of a terminal or a job; the parent handles them
        signal.signal(signal_number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})  # ignored here, and not for what a task starts
    # A task may start processes to run code with a time limit; a daemon may not. This one still exits with its parent.
    multiprocessing.current_process()._config["daemon"] = False  # type: ignore[attr-defined]
    parent = multiprocessing.parent_process()
    assert parent is not None
    threading.Thread(target=lambda: (wait([parent.sentinel]), EXIT(1)), daemon=True).start()
    reporter = _PipeReporter(pipe)
    try:
        request, root = pipe.recv()
        run = RunFolder(Path(root))
        run.join_lock()
        config = _worker_config(request.config, slot, num_workers)
        loop = build_loop(replace(request, config=config), run, reporter)
        while True:
            trial = loop.trials[pipe.recv()]
            reporter.trial_name = trial.name
            error = loop.run_trial_safely(trial, lambda: reporter.tell_parent("progressed", ""))
            reporter.tell_parent(*(("done", "") if error is None else ("failed", error)))
    except EOFError:
        return
    except UserError as error:
        reporter.tell_parent("refused", str(error))


def _worker_config(config: RunConfig, slot: int, num_workers: int) -> RunConfig:
    """The configuration with this worker's share of the machine: the GPUs in turn, or a part of the cores."""
    import torch

    model = config.model
    if model.device in ("auto", "cuda") and torch.cuda.is_available():
        model = model.model_copy(update={"device": f"cuda:{slot % torch.cuda.device_count()}"})
    else:
        model = model.model_copy(update={"cores": max(1, (model.cores or os.cpu_count() or 1) // num_workers)})
    return config.model_copy(update={"model": model})
