"""Global state of the process, saved before an objective's code runs and restored after it.

The working folder, torch's and numpy's settings, the global random states, the standard streams, signals and timers. Within,
`os._exit` raises SystemExit, as `sys.exit` does, so that it ends its caller and not the program. The environment, imported
modules and whatever else a program may change are not restored.
"""

from __future__ import annotations

import contextlib
import io
import os
import random
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

Setter = Callable[[Any], None]
SIGNALS = (signal.SIGINT, signal.SIGTERM, *((signal.SIGALRM,) if hasattr(signal, "SIGALRM") else ()))
STREAMS = ("stdout", "stderr")


@contextlib.contextmanager
def preserve_process_state() -> Iterator[list[str]]:
    """Within, foreign code runs; afterwards the state is restored. Yields a list that then names what had changed."""
    changed: list[str] = []
    settings = [(name, get_value(), get_value, set_value) for name, get_value, set_value in _process_settings()]
    streams = {name: getattr(sys, name) for name in STREAMS}
    descriptor_copies = {number: os.dup(number) for number in (1, 2) if _is_open(number)}
    random_states = _random_states()
    for name, stream in streams.items():
        setattr(sys, name, _UnclosableStream(stream) if stream is not None else None)
    real_exit, os._exit = os._exit, _raise_system_exit(os._exit)
    try:
        yield changed
    finally:
        os._exit = real_exit
        for name, stream in streams.items():
            setattr(sys, name, stream)
        for number, copy in descriptor_copies.items():
            if not _is_open(number):
                os.dup2(copy, number)
                changed.append(f"file descriptor {number} closed")
            os.close(copy)
        for set_state, state in random_states:
            set_state(state)
        for name, old, get_value, set_value in settings:
            try:
                new: Any = get_value()
            except OSError:  # the working folder was removed
                new = None
            if new != old:
                set_value(old)
                changed.append(name)


def _raise_system_exit(real_exit: Callable[[int], Any]) -> Any:
    """A substitute for `os._exit`: the same in forked processes, SystemExit in this one, in every thread."""
    process = os.getpid()

    def exit_process(status: int) -> None:
        if os.getpid() != process:
            real_exit(status)
        raise SystemExit(status)

    return exit_process


class _UnclosableStream(io.TextIOBase):
    """A standard stream whose `close` only flushes it."""

    def __init__(self, stream: Any) -> None:
        super().__init__()
        self._stream = stream

    def close(self) -> None:
        with contextlib.suppress(ValueError, OSError):
            self._stream.flush()

    def write(self, text: str) -> int:
        return self._stream.write(text)

    def flush(self) -> None:
        with contextlib.suppress(ValueError):
            self._stream.flush()

    def __getattribute__(self, name: str) -> Any:
        if name in ("_stream", "close", "write", "flush", "__class__", "__dict__"):
            return super().__getattribute__(name)
        return getattr(self._stream, name)


def _is_open(number: int) -> bool:
    try:
        os.fstat(number)
    except OSError:
        return False
    return True


def _random_states() -> list[tuple[Setter, Any]]:
    import numpy as np
    import torch

    return [
        (random.setstate, random.getstate()),
        (np.random.set_state, np.random.get_state()),
        (torch.set_rng_state, torch.get_rng_state()),
    ]


def _process_settings() -> list[tuple[str, Callable[[], Any], Setter]]:
    """(name, getter, setter) of every setting that can be read."""
    import numpy as np
    import torch

    def set_deterministic(values: tuple[bool, bool]) -> None:
        torch.use_deterministic_algorithms(values[0], warn_only=values[1])

    settings: list[tuple[str, Callable[[], Any], Setter]] = [
        ("working folder", os.getcwd, os.chdir),
        ("torch's default dtype", torch.get_default_dtype, torch.set_default_dtype),
        ("torch's default device", torch.get_default_device, _set_device),
        ("torch's gradients", torch.is_grad_enabled, _set_grad_enabled),
        (
            "torch's deterministic algorithms",
            lambda: (torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()),
            set_deterministic,
        ),
        ("torch's threads", torch.get_num_threads, torch.set_num_threads),
        ("torch's precision of products", torch.get_float32_matmul_precision, torch.set_float32_matmul_precision),
        ("torch's search for anomalies", torch.is_anomaly_enabled, torch.set_anomaly_enabled),
        ("numpy's handling of errors", np.geterr, _set_numpy_errors),
        ("limit of recursion", sys.getrecursionlimit, sys.setrecursionlimit),
    ]
    if threading.current_thread() is threading.main_thread():
        for number in SIGNALS:
            if signal.getsignal(number) is not None:
                settings.append((f"handler of {number.name}", *_signal_handler(number)))
        if hasattr(signal, "getitimer"):
            settings.append(("alarm", lambda: signal.getitimer(signal.ITIMER_REAL)[0] > 0, _clear_alarm))
    return settings


def _set_device(device: Any) -> None:
    import torch

    torch.set_default_device(None if device == torch.device("cpu") else device)


def _set_numpy_errors(kinds: Any) -> None:
    import numpy as np

    np.seterr(**kinds)


def _set_grad_enabled(enabled: bool) -> None:
    import torch

    torch.set_grad_enabled(enabled)


def _signal_handler(number: signal.Signals) -> tuple[Callable[[], Any], Setter]:
    def set_handler(handler: Any) -> None:
        signal.signal(number, handler)

    return (lambda: signal.getsignal(number)), set_handler


def _clear_alarm(_: Any) -> None:
    signal.setitimer(signal.ITIMER_REAL, 0)
