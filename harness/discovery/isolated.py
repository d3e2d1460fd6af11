"""An objective's file is checked in a process of its own, so that whatever it does there ends as one line.

The process works in an empty folder, which is also where its temporary files go, with bounded memory; one that says nothing for
too long is ended. This module imports no torch: the process that waits needs none.
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
LINE_SECONDS = 60.0  # for one property, which takes milliseconds
MEMORY = 4 << 30  # bytes beyond what torch itself takes; a batch here has a few dozen numbers
PROPERTY = "the file lets the check go on"


def checked(variant: Variant, seconds: float = LINE_SECONDS) -> Iterator[tuple[str, str, str]]:
    """(name, verdict, reason) of every property, as they come; first one of the verdict `said`, the slopes at the start in words.

    seconds: most that one property may take. Raises UserError where the file cannot be loaded or refuses its hyper-parameters.
    """
    with tempfile.TemporaryDirectory(prefix="harness-check-") as scratch, _started(Path(scratch), variant) as process:
        doing, finished = "the file is loaded", False
        try:
            for message in _messages(process, seconds):
                doing = message.get("begins", doing)
                finished = finished or "done" in message
                if "refused" in message:
                    raise UserError(message["refused"])
                if "result" in message:
                    name, verdict, reason = message["result"]
                    yield name, verdict, reason
        except TimeoutError as error:
            yield PROPERTY, "FAIL", f"{error} at: {doing}; is there an endless loop?"
            return
        if not finished:
            yield (
                PROPERTY,
                "FAIL",
                f"the process ended at: {doing} ({_ending(process)}); does the file call os._exit or os.abort?",
            )


@contextlib.contextmanager
def _started(scratch: Path, variant: Variant) -> Iterator[subprocess.Popen[bytes]]:
    (scratch / "work").mkdir()
    path = os.pathsep.join([str(PACKAGE.parent), *filter(None, [os.environ.get("PYTHONPATH")])])
    process = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-m", "harness.discovery.isolated"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        cwd=scratch / "work",
        env={
            **os.environ,
            "PYTHONPATH": path,
            "TMPDIR": str(scratch / "work"),
            "TORCHINDUCTOR_CACHE_DIR": str(scratch / "torch"),  # made by torch itself as soon as a tensor has no data
            "PYTHONDONTWRITEBYTECODE": "1",
        },
        start_new_session=True,  # a group of its own, so that whatever it starts is ended with it
    )
    asked = {"path": str(variant.path.resolve()), "name": variant.name, "label": variant.label, "params": dict(variant.params)}
    try:
        assert process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            process.stdin.write(json.dumps(asked).encode())
            process.stdin.close()
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


def _messages(process: subprocess.Popen[bytes], seconds: float) -> Iterator[Mapping[str, Any]]:
    """What the process says, line by line. Raises TimeoutError when it says nothing for too long."""
    assert process.stdout is not None
    number, rest, most = process.stdout.fileno(), b"", START_SECONDS
    while True:
        deadline = time.monotonic() + most
        while b"\n" not in rest:
            ready, _, _ = select.select([number], [], [], max(0.0, deadline - time.monotonic()))
            if not ready:
                raise TimeoutError(f"nothing for {most:g} seconds")
            got = os.read(number, 65536)
            if not got:
                return
            rest += got
        line, _, rest = rest.partition(b"\n")
        most = seconds
        yield json.loads(line)


def _ending(process: subprocess.Popen[bytes]) -> str:
    code = process.wait()
    return f"exit code {code}" if code >= 0 else f"signal {signal.Signals(-code).name}"


# ---------------------------------------------------------------- in the process


def main() -> None:
    """Check the objective that standard input names; each line of standard output is one message."""
    told = os.fdopen(os.dup(1), "w", encoding="utf-8")
    silent = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silent, 1)

    def tell(**message: Any) -> None:
        told.write(json.dumps(message) + "\n")
        told.flush()

    asked = json.loads(sys.stdin.read())
    try:
        _check(Variant(asked["name"], asked["label"], Path(asked["path"]), "", asked["params"]), tell)
    except UserError as error:
        tell(refused=str(error))
    tell(done=True)


def _check(variant: Variant, tell: Any) -> None:
    import torch

    from harness.discovery.review import (  # in the checking process alone: torch
        CheckResult,
        check_file,
        check_objective,
        check_watched,
    )
    from harness.discovery.slopes import said_of_the_start  # in the checking process alone: torch
    from harness.discovery.source_file import Watch  # in the checking process alone: torch

    def send(result: CheckResult) -> None:
        tell(result=[result.name, result.verdict, result.reason])

    torch.set_num_threads(1)
    _bound_memory()
    schedules = [len(value) for value in variant.params.values() if isinstance(value, list)]
    watch = Watch(variant.path)
    with watch.on():
        bases = {repr(o): o for o in (variant.objective(t) for t in range(max(schedules, default=1)))}
        tell(begins="the slopes at the start")
        with contextlib.suppress(Exception, SystemExit, KeyboardInterrupt):  # what is wrong with it, the properties say
            for base in bases.values():
                tell(result=["", "said", said_of_the_start(base)])
        send(check_file(variant.path))
        for result in check_objective(list(bases.values()), begins=lambda name: tell(begins=name)):
            send(result)
    if not watch.effects and (left := sorted(str(p.relative_to(Path.cwd())) for p in Path.cwd().rglob("*"))):
        watch.effects.append(f"writes a file {left[0]}")
    for result in check_watched(watch):
        send(result)


def _bound_memory() -> None:
    """Most memory from here on; nothing where the system does not tell how much there is already."""
    import resource

    with contextlib.suppress(OSError, ValueError):
        taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        _, hard = resource.getrlimit(resource.RLIMIT_AS)
        resource.setrlimit(resource.RLIMIT_AS, (taken + MEMORY, hard))


if __name__ == "__main__":
    main()
