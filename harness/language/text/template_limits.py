"""Jinja templates are programs of somebody's: each rendering ends by time, by memory and by the length of what it makes.

A timer looks at the clock and at the process's memory twenty times a second, and ends a loop between two of its steps. What one
step could make too large by itself (`'a' * 10**10`, a width, a power, one long text joined or formatted many times over) is
refused before it is computed. Chat templates are rendered by transformers, the prompts of task files by lm-eval: both get the
limited environment.
"""

from __future__ import annotations

import contextlib
import functools
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from jinja2 import nodes
from jinja2.compiler import CodeGenerator, operators
from jinja2.runtime import Macro
from jinja2.sandbox import ImmutableSandboxedEnvironment, SandboxedEnvironment

from harness.language.text.template_sizes import (
    TooMuch,
    check_format,
    check_lengths,
    check_method,
    check_replace,
    check_size,
    check_whole,
    comparable,
    joined,
    listed,
    size_of,
    widest,
)

SECONDS = 10.0  # of one rendering
MEMORY = 1 << 30  # bytes that one rendering may add
COPIED = 1_000_000_000  # elements that a sum of lists copies
TICK = 0.05  # seconds
COMPARING = ("eq", "equalto", "==", "ne", "!=", "lt", "lessthan", "<", "le", "<=", "gt", "greaterthan", ">", "ge", ">=", "in")


@contextlib.contextmanager
def limited(seconds: float | None = None, memory: int | None = None) -> Iterator[None]:
    """Within, a rendering that takes longer or more memory raises TooMuch. Only the main thread hears signals: in others neither
    time nor memory is limited, what one step makes is.
    """
    if threading.current_thread() is not threading.main_thread() or not hasattr(signal, "setitimer"):
        yield
        return
    longest, most = SECONDS if seconds is None else seconds, MEMORY if memory is None else memory
    began, before = time.monotonic(), _resident()

    said: list[str] = []

    def look(*_: Any) -> None:
        if time.monotonic() - began > longest:
            said.append(f"it does not end within {longest:g} s")
        elif _resident() - before > most:
            said.append(f"it takes more than {most >> 20} MiB of memory")
        else:
            return
        raise TooMuch(said[0])

    handler = signal.signal(signal.SIGALRM, look)
    timer = signal.setitimer(signal.ITIMER_REAL, TICK, TICK)
    try:
        try:
            yield
        finally:  # the last look may come in here
            signal.setitimer(signal.ITIMER_REAL, 0)
    except Exception as error:
        if said and not isinstance(error, TooMuch):  # jinja loses the error where a line of its own code has no number
            raise TooMuch(said[0]) from error
        raise
    finally:
        signal.signal(signal.SIGALRM, handler)
        signal.setitimer(signal.ITIMER_REAL, *timer)


def _resident() -> int:
    """Bytes of memory that the process has; 0 where the system does not say."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * 4096
    except (OSError, ValueError, IndexError):
        return 0


class _Generator(CodeGenerator):
    """Nothing is computed before the rendering, and texts are joined and written by the environment."""

    def visit_Concat(self, node: nodes.Concat, frame: Any) -> None:  # noqa: N802 (a name of jinja)
        self.write("environment.join_texts(")
        self.write("(")
        for part in node.nodes:
            self.visit(part, frame)
            self.write(", ")
        self.write("))")

    def visit_Compare(self, node: nodes.Compare, frame: Any) -> None:  # noqa: N802
        self.write("(")
        self._compared(node.expr, frame)
        for operand in node.ops:
            self.write(f" {operators[operand.op]} ")
            self._compared(operand.expr, frame)
        self.write(")")

    def visit_Dict(self, node: nodes.Dict, frame: Any) -> None:  # noqa: N802
        self.write("{")
        for pair in node.items:
            self._compared(pair.key, frame)
            self.write(": ")
            self.visit(pair.value, frame)
            self.write(", ")
        self.write("}")

    def _compared(self, node: nodes.Expr, frame: Any) -> None:
        self.write("environment.comparable(")
        self.visit(node, frame)
        self.write(")")

    def _output_child_to_const(self, node: nodes.Expr, frame: Any, finalize: Any) -> str:
        if not isinstance(node, (nodes.TemplateData, nodes.Const)):
            raise nodes.Impossible
        return super()._output_child_to_const(node, frame, finalize)

    def _output_child_pre(self, node: nodes.Expr, frame: Any, finalize: Any) -> None:
        super()._output_child_pre(node, frame, finalize)
        self.write("environment.writable(")

    def _output_child_post(self, node: nodes.Expr, frame: Any, finalize: Any) -> None:
        self.write(")")
        super()._output_child_post(node, frame, finalize)


class _Filters(dict[str, Any]):
    """Filters by name, with a look at what they are given; those that a library puts in later too."""

    def __setitem__(self, name: str, made_by: Any) -> None:
        super().__setitem__(name, _checked(made_by, CHECKS[name]) if name in CHECKS else made_by)


class _Limits:
    """What an environment of jinja's sandbox computes itself."""

    intercepted_binops = frozenset({"*", "**", "%"})
    concat = staticmethod(joined)
    comparable = staticmethod(comparable)
    code_generator_class = _Generator

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.optimized = False
        self.tests = {name: _of_two(test) if name in COMPARING else test for name, test in self.tests.items()}  # type: ignore[has-type]
        found = _Filters()
        for name, made_by in self.filters.items():  # type: ignore[has-type]
            found[name] = made_by
        self.filters = found

    def join_texts(self, parts: tuple[Any, ...]) -> str:
        """`a ~ b ~ c`"""
        check_size(sum(map(size_of, parts)))
        return "".join(map(str, parts))

    def writable(self, value: Any) -> Any:
        """`{{ value }}`"""
        check_size(size_of(value))
        return value

    def getitem(self, obj: Any, argument: Any) -> Any:
        return super().getitem(obj, comparable(argument))  # type: ignore[misc]

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        if operator == "*":
            for one, times in ((left, right), (right, left)):
                if isinstance(times, int) and isinstance(one, (str, bytes, list, tuple)):
                    check_size(len(one) * times)
                elif isinstance(times, int) and isinstance(one, int):
                    check_whole(one.bit_length() + times.bit_length())
        elif operator == "**" and isinstance(left, int) and isinstance(right, int):
            check_whole(left.bit_length() * max(right, 0))
        elif operator == "%" and isinstance(left, (str, bytes)):
            check_lengths((right if isinstance(right, tuple) else (right,)) if "*" in str(left) else ())
            check_format(left, right)
        return super().call_binop(context, operator, left, right)  # type: ignore[misc]

    def call(self, context: Any, obj: Any, *arguments: Any, **named: Any) -> Any:
        method = getattr(obj, "__wrapped__", obj)  # the sandbox has its own `format`
        owner = getattr(method, "__self__", None)
        if not isinstance(obj, Macro):  # what it is may hash or compare what it is given
            comparable([owner if isinstance(owner, (list, tuple, dict, set, frozenset)) else None, *arguments, *named.values()])
        if isinstance(owner, (str, bytes, int)):
            arguments = check_method(owner, getattr(method, "__name__", ""), arguments, named)
        return super().call(context, obj, *arguments, **named)  # type: ignore[misc]


def _check_join(value: Any, d: Any = "", attribute: Any = None) -> Any:
    value = listed(value)
    check_size(len(value) * size_of(d))
    return value


def _check_sum(iterable: Any, attribute: Any = None, start: Any = 0) -> Any:
    iterable = listed(iterable)
    if not isinstance(start, (int, float)) and len(iterable) * size_of(iterable) > COPIED:
        raise TooMuch(f"it copies more than {COPIED:,} elements")
    return iterable


def _check_filled(value: Any, *arguments: Any, **named: Any) -> Any:
    check_format(str(value), [*arguments, *named.values()])
    return value


def _check_replaced(s: Any, old: Any, new: Any, count: Any = None) -> Any:
    check_replace(str(s), str(old), str(new))
    return s


def _check_spread(value: Any, *arguments: Any, **named: Any) -> Any:
    """For what puts something at the beginning of each line, or fills up to a length."""
    check_lengths([*arguments, *named.values()])
    if isinstance(value, str):  # each of its lines may get that far
        check_size((value.count("\n") + 1) * widest([*arguments, *named.values()]))
    if put := max((len(one) for one in (*arguments, *named.values()) if isinstance(one, str)), default=0):
        check_size(size_of(value) * put)
    return value


def _check_written(value: Any, *arguments: Any, **named: Any) -> Any:
    """For what makes a text of a value and all that it holds."""
    value = (
        value
        if isinstance(value, (str, bytes, dict, list, tuple, int, float)) or not hasattr(value, "__next__")
        else listed(value)
    )
    check_size(size_of(value) * max(1, size_of([*arguments, *named.values()]) if arguments or named else 1))
    check_lengths([*arguments, *named.values()])
    return value


def _check_compared(value: Any, *_: Any, **__: Any) -> Any:
    return comparable(value if isinstance(value, (str, bytes, dict, list, tuple)) else listed(value))


CHECKS: dict[str, Callable[..., Any]] = {
    "join": _check_join,
    "sum": _check_sum,
    **dict.fromkeys(("sort", "unique", "min", "max", "groupby", "dictsort"), _check_compared),
    "format": _check_filled,
    "replace": _check_replaced,
    **dict.fromkeys(("center", "indent", "batch", "slice", "wordwrap"), _check_spread),
    **dict.fromkeys(("string", "tojson", "pprint", "urlencode", "xmlattr", "e", "escape", "forceescape"), _check_written),
}


def _checked(made_by: Callable[..., Any], check: Callable[..., Any]) -> Callable[..., Any]:
    """A filter of jinja's, with a look at what it is given: (context of some filters, value, settings)."""
    passed = int(hasattr(made_by, "jinja_pass_arg"))

    @functools.wraps(made_by)
    def called(*arguments: Any, **named: Any) -> Any:
        before, (value, *rest) = arguments[:passed], arguments[passed:]
        return made_by(*before, check(value, *rest, **named), *rest, **named)

    return called


def _of_two(test: Callable[..., Any]) -> Callable[..., Any]:
    """A test of jinja's that compares (`x is eq y`, also by name in `select`), with a look at both."""

    @functools.wraps(test)
    def called(*values: Any) -> Any:
        return test(*map(comparable, values))

    return called


class LimitedSandbox(_Limits, ImmutableSandboxedEnvironment):
    """transformers' environment of chat templates, with limits."""


class LimitedEnvironment(_Limits, SandboxedEnvironment):
    """lm-eval's environment of task files, which are the user's own and may reach everything, with limits."""

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        return True

    def is_safe_callable(self, obj: Any) -> bool:
        return True


@functools.cache
def limit_chat_templates() -> None:
    """Let transformers render chat templates in the limited environment."""
    from transformers.utils import chat_template_utils

    chat_template_utils.ImmutableSandboxedEnvironment = LimitedSandbox  # type: ignore[attr-defined]
    for name in ("_compile_jinja_template", "_cached_compile_jinja_template"):
        if hasattr(compiled := getattr(chat_template_utils, name, None), "cache_clear"):
            compiled.cache_clear()  # type: ignore[union-attr]


@functools.cache
def limit_task_templates() -> None:
    """Let lm-eval render the prompts of task files in the limited environment, one after the other within the time."""
    import lm_eval.utils

    theirs = lm_eval.utils.env
    mine = LimitedEnvironment(loader=theirs.loader, undefined=theirs.undefined, keep_trailing_newline=True)
    mine.filters.update({name: one for name, one in theirs.filters.items() if name not in mine.filters})
    mine.globals.update({name: one for name, one in theirs.globals.items() if name not in mine.globals})
    rendered = lm_eval.utils.apply_template

    @functools.wraps(rendered)
    def within(template: str, doc: dict[str, Any]) -> str:
        with limited():
            return rendered(template, doc)

    lm_eval.utils.env = mine
    lm_eval.utils.apply_template = within
