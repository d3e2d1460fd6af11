"""Checks of an objective's file in a process of its own, so that even a crash or an endless loop is reported as one line.

The process works in an empty folder, also for its temporary files, with bounded memory; a process without output for too long is
killed. This module imports no torch: the waiting process needs none.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from harness.discovery.variants import Variant
from harness.errors import UserError
from harness.settings.paths import PACKAGE

START_SECONDS = 300.0  # to import torch and the file
PROPERTY_SECONDS = 60.0  # for one property; most take milliseconds
MEMORY_BYTES = 4 << 30  # bytes beyond what torch itself takes; a batch here has a few dozen numbers
PROCESS_PROPERTY = "the file lets the check go on"


def run_isolated_checks(variant: Variant, seconds: float = PROPERTY_SECONDS) -> Iterator[tuple[str, str, str]]:
    """(name, verdict, reason) of every property, as they come; the first has the verdict `said`: the gradient at the start.

    seconds: time limit of one property. Raises UserError where the file cannot be loaded or refuses its hyper-parameters.
    """
    with tempfile.TemporaryDirectory(prefix="harness-check-") as scratch, _start_process(Path(scratch), variant) as process:
        current_step, finished = "the file is loaded", False
        try:
            for message in _messages(process, seconds):
                current_step = message.get("begins", current_step)
                finished = finished or "done" in message
                if "refused" in message:
                    raise UserError(message["refused"])
                if "result" in message:
                    name, verdict, reason = message["result"]
                    yield name, verdict, reason
        except TimeoutError as error:
            yield PROCESS_PROPERTY, "FAIL", f"{error} at: {current_step}; is there an endless loop?"
        else:
            if not finished:
                code = process.wait()
                ended_by = f"exit code {code}" if code >= 0 else f"signal {signal.Signals(-code).name}"
                reason = f"the process ended at: {current_step} ({ended_by})"
                yield PROCESS_PROPERTY, "FAIL", f"{reason}; does the file call os._exit or os.abort?"


@contextlib.contextmanager
def _start_process(scratch: Path, variant: Variant) -> Iterator[subprocess.Popen[bytes]]:
    (scratch / "work").mkdir()
    path = os.pathsep.join([str(PACKAGE.parent), *filter(None, [os.environ.get("PYTHONPATH")])])
    request = {"path": str(variant.path.resolve()), "name": variant.name, "label": variant.label, "params": dict(variant.params)}
    with subprocess.Popen(
        [sys.executable, "-W", "ignore", "-m", "harness.discovery.isolated", json.dumps(request)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        cwd=scratch / "work",
        env={
            **os.environ,
            "PYTHONPATH": path,
            "TMPDIR": str(scratch / "work"),
            "TORCHINDUCTOR_CACHE_DIR": str(scratch / "torch"),  # torch makes it at the first tensor on the meta device
            "PYTHONDONTWRITEBYTECODE": "1",
        },
        start_new_session=True,  # a group of its own, so that its children are killed with it
    ) as process:
        try:
            yield process
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def _messages(process: subprocess.Popen[bytes], seconds: float) -> Iterator[Mapping[str, Any]]:
    """The process's messages, one a line. Raises TimeoutError after too long without one."""
    assert process.stdout is not None
    descriptor, buffer, timeout = process.stdout.fileno(), b"", START_SECONDS
    while True:
        deadline = time.monotonic() + timeout
        while b"\n" not in buffer:
            ready, _, _ = select.select([descriptor], [], [], max(0.0, deadline - time.monotonic()))
            if not ready:
                raise TimeoutError(f"nothing for {timeout:g} seconds")
            received = os.read(descriptor, 65536)
            if not received:
                return
            buffer += received
        line, _, buffer = buffer.partition(b"\n")
        timeout = seconds
        yield json.loads(line)


# ---------------------------------------------------------------- in the process


def main() -> None:
    """Check the objective requested in the first argument; each line of standard output is one message."""
    output = os.fdopen(os.dup(1), "w", encoding="utf-8")
    devnull = os.open(os.devnull, os.O_WRONLY)
    os.dup2(devnull, 1)

    def send_message(**message: Any) -> None:
        output.write(json.dumps(message) + "\n")
        output.flush()

    request = json.loads(sys.argv[1])
    try:
        _check(Variant(request["name"], request["label"], Path(request["path"]), "", request["params"]), send_message)
    except UserError as error:
        send_message(refused=str(error))
    send_message(done=True)


def _check(variant: Variant, send_message: Any) -> None:
    import torch

    from harness.discovery import review  # in the checking process alone: torch
    from harness.discovery.slopes import describe_start  # in the checking process alone: torch
    from harness.discovery.source_file import SideEffectMonitor  # in the checking process alone: torch

    def send_result(result: review.CheckResult) -> None:
        send_message(result=[result.name, result.verdict, result.reason])

    torch.set_num_threads(1)
    _limit_memory()
    schedules = [len(value) for value in variant.params.values() if isinstance(value, list)]
    monitor = SideEffectMonitor(variant.path)
    with monitor.recording():
        bases = {repr(o): o for o in (variant.objective(t) for t in range(max(schedules, default=1)))}
        send_message(begins="the slopes at the start")
        with contextlib.suppress(Exception, SystemExit, KeyboardInterrupt):  # the properties report what is wrong with it
            for base in bases.values():
                send_message(result=["", "said", describe_start(base)])
        send_result(review.check_file(variant.path))
        for result in review.check_objective(list(bases.values()), on_start=lambda name: send_message(begins=name)):
            send_result(result)
    if not monitor.effects and (leftover_files := sorted(str(p.relative_to(Path.cwd())) for p in Path.cwd().rglob("*"))):
        monitor.effects.append(f"writes a file {leftover_files[0]}")
    for result in review.check_side_effects(monitor):
        send_result(result)


def _limit_memory() -> None:
    """Limit memory from here on; no limit where the system does not report current use."""
    import resource

    with contextlib.suppress(OSError, ValueError):
        used_bytes = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        _, hard_limit = resource.getrlimit(resource.RLIMIT_AS)
        resource.setrlimit(resource.RLIMIT_AS, (used_bytes + MEMORY_BYTES, hard_limit))


if __name__ == "__main__":
    main()
