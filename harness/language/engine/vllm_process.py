"""The parent's side of the pipe: starts vLLM's process, exchanges JSON lines with it, and ends it whatever happens.

A process that dies, sends nothing for too long or sends anything but the protocol's messages is a RuntimeError with the last
lines of its error output.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any

WORKER_COMMAND = (sys.executable, "-m", "harness.language.engine.worker")
NUM_ERROR_LINES = 12  # of its error output, shown when it fails
EXIT_TIMEOUT = 10.0  # seconds the process has to end by itself, or its last error output to arrive
# One process instead of two, which also makes vLLM's scheduling the same every time; and no usage statistics are sent.
VLLM_ENVIRONMENT = {"VLLM_ENABLE_V1_MULTIPROCESSING": "0", "VLLM_NO_USAGE_STATS": "1"}


class VllmProcess:
    """A running worker. Use it as a context: at its end the process is gone and the device's memory is free again.

    timeout: seconds without a message after which it is given up.
    """

    def __init__(
        self, timeout: float, environment: Mapping[str, str] | None = None, command: Sequence[str] = WORKER_COMMAND
    ) -> None:
        self.timeout = timeout
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            errors="replace",
            env={**os.environ, **VLLM_ENVIRONMENT, **(environment or {})},
            start_new_session=True,  # a group of its own, so that whatever it starts is ended with it
        )
        assert self.process.stdin and self.process.stdout and self.process.stderr
        self._stdin, self._stdout, self._stderr = self.process.stdin, self.process.stdout, self.process.stderr
        self._messages: queue.Queue[str | None] = queue.Queue()
        self._error_lines: deque[str] = deque(maxlen=NUM_ERROR_LINES)
        self._readers = [threading.Thread(target=read, daemon=True) for read in (self._read_messages, self._read_errors)]
        for reader in self._readers:
            reader.start()

    def __enter__(self) -> VllmProcess:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        with contextlib.suppress(OSError):
            self._stdin.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(EXIT_TIMEOUT if kind is None else 0)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        for reader in self._readers:
            reader.join(EXIT_TIMEOUT)
        self._stdout.close()
        self._stderr.close()

    def send(self, kind: str, **fields: Any) -> None:
        """Send one order. Raises RuntimeError when the process no longer reads."""
        try:
            self._stdin.write(json.dumps({"kind": kind, **fields}) + "\n")
            self._stdin.flush()
        except OSError:
            raise self._closed_error() from None

    def receive(self, *kinds: str) -> dict[str, Any]:
        """The next message, of one of these kinds. Raises RuntimeError for a timeout, an end or anything else."""
        try:
            text = self._messages.get(timeout=self.timeout)
        except queue.Empty:
            raise self.failure(f"sent nothing for {self.timeout:g} seconds (generation.vllm_timeout)") from None
        if text is None:
            raise self._closed_error()
        try:
            message = json.loads(text)
        except ValueError:
            message = None
        if not isinstance(message, dict) or message.get("kind") not in kinds:
            raise self.failure(f"sent {text.strip()[:200]!r}, expected {' or '.join(kinds)}")
        return message

    def failure(self, message: str) -> RuntimeError:
        """An error with the end of the process's error output. message: the predicate of "vLLM's process"."""
        error_output = "\n".join(self._error_lines)
        return RuntimeError(f"vLLM's process {message}" + (f"; the last lines it wrote:\n{error_output}" if error_output else ""))

    def _closed_error(self) -> RuntimeError:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(EXIT_TIMEOUT)
        self._readers[1].join(EXIT_TIMEOUT)
        code = self.process.poll()
        return self.failure("closed its output" if code is None else f"ended with exit code {code}")

    def _read_messages(self) -> None:
        for text in self._stdout:
            self._messages.put(text)
        self._messages.put(None)

    def _read_errors(self) -> None:
        self._error_lines.extend(text.rstrip() for text in self._stderr)
