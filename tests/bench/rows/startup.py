"""Start-up: processor seconds of a command from its start to its end, beside python alone."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence

from tests.bench.measure import ROOT
from tests.bench.row import Outcome, Situation, Work


def prepare(situation: Situation, words: Sequence[str], code: int) -> Work:
    """words: of the command line; code: the exit code that the command must end with."""
    folder = tempfile.mkdtemp()
    return Work(
        {
            "harness": lambda: processor_time(["-m", "harness", *words], folder, code),
            "python alone": lambda: processor_time(["-c", "pass"], folder, 0),
        },
        {"command": " ".join(words)},
        {"contestant": "python alone"},
    )


def processor_time(arguments: Sequence[str], folder: str, code: int) -> Outcome:
    """User and system time of one Python process."""
    with open(os.devnull, "wb") as null:
        process = subprocess.Popen(
            [sys.executable, *arguments], cwd=folder, stdout=null, stderr=null, env={**os.environ, "PYTHONPATH": str(ROOT)}
        )
        _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == code, f"{arguments} ended with {process.returncode}, expected {code}"
    return Outcome(usage.ru_utime + usage.ru_stime)
