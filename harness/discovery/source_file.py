"""What an objective's file uses beside log-probabilities: imports, from its source; files, processes and the network, from
Python's audit events while it is loaded and its losses are computed."""

from __future__ import annotations

import ast
import contextlib
import functools
import io
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any
from unittest import mock

from harness.discovery.batches import PropertyViolation, PropertyWarning

ALLOWED_MODULES = frozenset(sys.stdlib_module_names) | {"torch", "objectives", "__future__"}
# Effect in words -> prefixes of the audit events that have it (docs.python.org, "Audit events table").
EFFECTS = {
    "removes a file": "os.remove", "renames a file": "os.rename", "makes a folder": "os.mkdir", "removes a folder": "os.rmdir",
    "makes a link": "os.link os.symlink", "writes a file": "os.truncate", "changes a file's mode": "os.chmod",
    "changes the working folder": "os.chdir", "reads a folder": "os.listdir os.scandir", "sends a signal": "os.kill",
    "changes the environment": "os.putenv os.unsetenv", "starts a process": "os.fork",
    "starts a program": "os.system os.exec os.spawn os.posix_spawn subprocess.Popen",
    "uses the network": "socket. urllib.Request", "opens a data base": "sqlite3.connect", "loads a library": "ctypes.dlopen",
    "": "open",
}  # fmt: skip
AUDIT_EVENTS = {event: effect for effect, events in EFFECTS.items() for event in events.split()}
WRITE_FLAGS = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_TRUNC
# Python itself reads files there: modules, lines of a warning.
INTERPRETER_MODULES = ("importlib", "linecache", "tokenize", "zipimport")


def _is_or_below(event: str, name: str) -> bool:
    """Whether an audit event is the one of that name, or of its module where that ends in a dot."""
    return f"{event}.".startswith(f"{name.rstrip('.')}.")


def foreign_imports(path: Path) -> list[tuple[str, int]]:
    """(module, line) of everything the file imports, at any depth, beside torch and the standard library.

    An import for type checkers alone does not count; a computed module name is given as its source.
    """
    tree = ast.parse(path.read_bytes())
    imports = []
    for node in _runtime_nodes(tree):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = ["." * node.level + (node.module or "")]
        elif isinstance(node, ast.Call) and node.args and _name_of(node.func) in ("__import__", "import_module"):
            first = node.args[0]
            names = [first.value if isinstance(first, ast.Constant) and isinstance(first.value, str) else ast.unparse(first)]
        imports += [(name, node.lineno) for name in names if name.partition(".")[0] not in ALLOWED_MODULES]
    return imports


def _runtime_nodes(node: ast.AST) -> Iterator[Any]:
    """Every node below that exists at run time."""
    children = ast.iter_child_nodes(node)
    if isinstance(node, ast.If) and _name_of(node.test) == "TYPE_CHECKING":
        children = node.orelse
    for child in children:
        yield child
        yield from _runtime_nodes(child)


def _name_of(node: ast.AST) -> str:
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def imports_torch_and_the_standard_library_alone(path: Path) -> None:
    imports = foreign_imports(path)
    if imports:
        listing = ", ".join(f"{name} (line {line})" for name, line in imports)
        raise PropertyViolation(f"imports {listing}: a run keeps one file, so it may use torch and the standard library alone")


class SideEffectMonitor:
    """Side effects of one file's code while monitored: `effects` in words, in order, and the text it `printed`."""

    def __init__(self, path: Path) -> None:
        self.file = str(path.resolve())
        self.effects: list[str] = []
        self.printed = io.StringIO()

    @contextlib.contextmanager
    def recording(self) -> Iterator[None]:
        """Monitored within. Python cannot remove an audit hook, so one is installed once and does nothing outside."""
        global _active_monitor
        if not _hook_installed:
            sys.addaudithook(_audit_hook)
            _hook_installed.append(True)
        previous, _active_monitor = _active_monitor, self
        try:
            with contextlib.redirect_stdout(self.printed), self._patched_torch():
                yield
        finally:
            _active_monitor = previous

    @contextlib.contextmanager
    def _patched_torch(self) -> Iterator[None]:
        """torch opens files without audit events: its functions are patched to send that of Python's own `open`."""
        import torch

        with contextlib.ExitStack() as stack:
            for name, position, mode in (("save", 1, "w"), ("from_file", 0, "r")):
                stack.enter_context(mock.patch.object(torch, name, _with_open_event(getattr(torch, name), position, mode)))
            yield

    def record_event(self, event: str, arguments: tuple[Any, ...]) -> None:
        effect = next((words for name, words in AUDIT_EVENTS.items() if _is_or_below(event, name)), None)
        if effect is None or (line := self._line(sys._getframe(2))) is None:
            return
        if event == "open":
            mode, flags = arguments[1:3]
            is_write = set(mode or "") & set("wax+") or (isinstance(flags, int) and flags & WRITE_FLAGS)
            effect = "writes a file" if is_write else "reads a file"
        target = f" {arguments[0]}" if arguments and isinstance(arguments[0], str | bytes | os.PathLike) else ""
        sentence = f"{effect}{target} (line {line})"
        if sentence not in self.effects:
            self.effects.append(sentence)

    def _line(self, frame: FrameType | None) -> int | None:
        """The line of the file that caused the event; None where the file did not, or Python reads modules."""
        while frame is not None:
            if frame.f_code.co_filename == self.file or os.path.realpath(frame.f_code.co_filename) == self.file:
                return frame.f_lineno
            if any(part in frame.f_code.co_filename for part in INTERPRETER_MODULES):
                return None
            frame = frame.f_back
        return None


_hook_installed: list[bool] = []
_active_monitor: SideEffectMonitor | None = None


def _audit_hook(event: str, arguments: tuple[Any, ...]) -> None:
    global _active_monitor
    if _active_monitor is not None:
        monitor, _active_monitor = _active_monitor, None  # events caused by the hook itself are ignored
        try:
            monitor.record_event(event, arguments)
        finally:
            _active_monitor = monitor


def _with_open_event(function: Callable[..., Any], position: int, mode: str) -> Callable[..., Any]:
    """A function of torch's whose argument at `position` is a file's name, with an `open` event before each call."""

    @functools.wraps(function)
    def called(*arguments: Any, **named: Any) -> Any:
        file = arguments[position] if len(arguments) > position else named.get("f", named.get("filename"))
        if isinstance(file, str | os.PathLike):
            _audit_hook("open", (file, mode, None))
        return function(*arguments, **named)

    return called


def nothing_outside_is_read_or_written(monitor: SideEffectMonitor) -> None:
    if monitor.effects:
        more = f", and {len(monitor.effects) - 1} more" if len(monitor.effects) > 1 else ""
        raise PropertyViolation(f"{monitor.effects[0]}{more}: an objective sees log-probabilities and nothing else")


def nothing_is_printed(monitor: SideEffectMonitor) -> None:
    if text := monitor.printed.getvalue():
        first = text.strip().splitlines()[0][:60] if text.strip() else ""
        raise PropertyWarning(f'prints "{first}" and so on, {len(text):,} characters in this check alone; return metrics instead')
