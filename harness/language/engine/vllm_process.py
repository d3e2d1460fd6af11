"""The parent's side of the pipe: starts vLLM's process, exchanges JSON messages with it, and ends it whatever happens.

A process that dies, sends nothing for too long or sends anything but the protocol's messages is a RuntimeError with the last
lines of what it wrote to its output.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from multiprocessing import Pipe
from typing import Any

WORKER_COMMAND = (sys.executable, "-m", "harness.language.engine.worker")
NUM_OUTPUT_LINES = 12  # of its output, shown when it fails
MAX_OUTPUT_BYTES = 1 << 16  # of the end of its output, in which these lines are looked for
EXIT_TIMEOUT = 10.0  # seconds the process has to end by itself
# One process instead of two, which also makes vLLM's scheduling the same every time; and no usage statistics are sent.
VLLM_ENVIRONMENT = {"VLLM_ENABLE_V1_MULTIPROCESSING": "0", "VLLM_NO_USAGE_STATS": "1"}


class VllmProcess:
    """A running worker. Use it as a context: at its end the process is gone and the device's memory is free again.

    timeout: seconds without a message after which it is given up. command: called with the number of the pipe's descriptor.
    """

    def __init__(
        self, timeout: float, environment: Mapping[str, str] | None = None, command: Sequence[str] = WORKER_COMMAND
    ) -> None:
        self.timeout = timeout
        self._pipe, worker_end = Pipe()
        self._output = tempfile.TemporaryFile()  # noqa: SIM115  # closed with the process
        with worker_end:
            self.process = subprocess.Popen(
                [*command, str(worker_end.fileno())],
                pass_fds=[worker_end.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=self._output,
                stderr=self._output,
                env={**os.environ, **VLLM_ENVIRONMENT, **(environment or {})},
                start_new_session=True,  # a group of its own, so that whatever it starts is ended with it
            )

    def __enter__(self) -> VllmProcess:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: Any) -> None:
        self._pipe.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(EXIT_TIMEOUT if kind is None else 0)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self._output.close()

    def send(self, kind: str, **fields: Any) -> None:
        """Send one order. Raises RuntimeError when the process no longer reads."""
        try:
            self._pipe.send_bytes(json.dumps({"kind": kind, **fields}).encode())
        except OSError:
            raise self._closed_error() from None

    def receive(self, *kinds: str) -> dict[str, Any]:
        """The next message, of one of these kinds. Raises RuntimeError for a timeout, an end or anything else."""
        try:
            if not self._pipe.poll(self.timeout):
                raise self.failure(f"sent nothing for {self.timeout:g} seconds (generation.vllm_timeout)")
            raw = self._pipe.recv_bytes()
        except (EOFError, OSError):
            raise self._closed_error() from None
        with contextlib.suppress(ValueError):
            message = json.loads(raw)
            if isinstance(message, dict) and message.get("kind") in kinds:
                return message
        raise self.failure(f"sent {raw[:200].decode(errors='replace')!r}, expected {' or '.join(kinds)}")

    def failure(self, message: str) -> RuntimeError:
        """An error with the end of the process's output. message: the predicate of "vLLM's process"."""
        output = self._output.fileno()  # its position is the process's, too, which may still write: it stays where it is
        end = os.pread(output, MAX_OUTPUT_BYTES, max(0, os.fstat(output).st_size - MAX_OUTPUT_BYTES))
        lines = end.decode(errors="replace").splitlines()[-NUM_OUTPUT_LINES:]
        return RuntimeError("\n".join([f"vLLM's process {message}" + ("; the last lines it wrote:" if lines else ""), *lines]))

    def _closed_error(self) -> RuntimeError:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(EXIT_TIMEOUT)
        code = self.process.poll()
        return self.failure("closed its pipe" if code is None else f"ended with exit code {code}")
