"""Global state of the process, saved before an objective's code runs and restored after it.

The working folder, torch's and numpy's settings, the global random states, the standard streams, signals and timers. Within,
`os._exit` raises SystemExit, as `sys.exit` does, so that it ends its caller and not the program. The environment, imported
modules and whatever else a program may change are not restored.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, cast

Setting = tuple[str, Callable[[], Any], Callable[[Any], object]]
SIGNALS = (signal.SIGINT, signal.SIGTERM, *((signal.SIGALRM,) if hasattr(signal, "SIGALRM") else ()))


@contextlib.contextmanager
def preserve_process_state() -> Iterator[list[str]]:
    """Within, foreign code runs; afterwards the state is restored. Yields a list that then names what had changed."""
    import numpy as np
    import torch

    changed: list[str] = []
    settings = [(*setting, setting[1]()) for setting in _process_settings()]
    random_states: Any = random.getstate(), np.random.get_state(), torch.get_rng_state()
    streams = sys.stdout, sys.stderr
    descriptor_copies = {number: os.dup(number) for number in (1, 2) if _is_open(number)}
    sys.stdout, sys.stderr = (None if stream is None else cast(Any, _UnclosableStream(stream)) for stream in streams)
    real_exit, os._exit = os._exit, _raise_system_exit(os._exit)
    try:
        yield changed
    finally:
        os._exit = real_exit
        sys.stdout, sys.stderr = streams
        for number, copy in descriptor_copies.items():
            if not _is_open(number):
                os.dup2(copy, number)
                changed.append(f"file descriptor {number} closed")
            os.close(copy)
        for set_state, state in zip((random.setstate, np.random.set_state, torch.set_rng_state), random_states, strict=True):
            set_state(state)
        for name, get_value, set_value, old in settings:
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


class _UnclosableStream:
    """A standard stream whose `close` only flushes it."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def close(self) -> None:
        with contextlib.suppress(ValueError, OSError):
            self._stream.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def _is_open(number: int) -> bool:
    try:
        os.fstat(number)
    except OSError:
        return False
    return True


def _process_settings() -> Iterator[Setting]:
    """(name, getter, setter) of every setting that can be read."""
    import numpy as np
    import torch

    yield "working folder", os.getcwd, os.chdir
    yield "torch's default dtype", torch.get_default_dtype, torch.set_default_dtype
    yield (
        "torch's default device",
        torch.get_default_device,
        lambda device: torch.set_default_device(None if device == torch.device("cpu") else device),
    )
    yield "torch's gradients", torch.is_grad_enabled, torch.set_grad_enabled
    yield (
        "torch's deterministic algorithms",
        lambda: (torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()),
        lambda values: torch.use_deterministic_algorithms(values[0], warn_only=values[1]),
    )
    yield "torch's threads", torch.get_num_threads, torch.set_num_threads
    yield "torch's precision of products", torch.get_float32_matmul_precision, torch.set_float32_matmul_precision
    yield "torch's search for anomalies", torch.is_anomaly_enabled, torch.set_anomaly_enabled
    yield "numpy's handling of errors", np.geterr, lambda kinds: np.seterr(**kinds)
    yield "limit of recursion", sys.getrecursionlimit, sys.setrecursionlimit
    if threading.current_thread() is threading.main_thread():
        for number in SIGNALS:
            if signal.getsignal(number) is not None:
                yield f"handler of {number.name}", partial(signal.getsignal, number), partial(signal.signal, number)
        if hasattr(signal, "getitimer"):
            alarm = signal.ITIMER_REAL
            yield "alarm", lambda: signal.getitimer(alarm)[0] > 0, lambda _: signal.setitimer(alarm, 0)
