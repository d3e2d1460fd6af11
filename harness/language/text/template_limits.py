"""Jinja templates are arbitrary programs: each rendering is limited in time, in memory and in the length of what it makes.

A timer checks the clock and the process's memory twenty times a second, and ends a loop between two of its steps. What one
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
    TemplateLimitExceeded,
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

MAX_SECONDS = 10.0  # of one rendering
MAX_MEMORY = 1 << 30  # bytes that one rendering may add
MAX_COPIED = 1_000_000_000  # elements that a sum of lists copies
CHECK_INTERVAL = 0.05  # seconds
COMPARING = ("eq", "equalto", "==", "ne", "!=", "lt", "lessthan", "<", "le", "<=", "gt", "greaterthan", ">", "ge", ">=", "in")


@contextlib.contextmanager
def rendering_limits(seconds: float | None = None, memory: int | None = None) -> Iterator[None]:
    """Within, a rendering that takes longer or more memory raises TemplateLimitExceeded. Only the main thread receives signals:
    in others neither time nor memory is limited, what one step makes is.
    """
    if threading.current_thread() is not threading.main_thread() or not hasattr(signal, "setitimer"):
        yield
        return
    max_seconds, max_memory = MAX_SECONDS if seconds is None else seconds, MAX_MEMORY if memory is None else memory
    start_time, start_memory = time.monotonic(), _resident_memory()

    reasons: list[str] = []

    def check_limits(*_: Any) -> None:
        if time.monotonic() - start_time > max_seconds:
            reasons.append(f"it does not end within {max_seconds:g} s")
        elif _resident_memory() - start_memory > max_memory:
            reasons.append(f"it takes more than {max_memory >> 20} MiB of memory")
        else:
            return
        raise TemplateLimitExceeded(reasons[0])

    previous_handler = signal.signal(signal.SIGALRM, check_limits)
    previous_timer = signal.setitimer(signal.ITIMER_REAL, CHECK_INTERVAL, CHECK_INTERVAL)
    try:
        try:
            yield
        finally:  # the last check may come in here
            signal.setitimer(signal.ITIMER_REAL, 0)
    except Exception as error:
        # jinja loses the error where a line of its own code has no number
        if reasons and not isinstance(error, TemplateLimitExceeded):
            raise TemplateLimitExceeded(reasons[0]) from error
        raise
    finally:
        signal.signal(signal.SIGALRM, previous_handler)
        signal.setitimer(signal.ITIMER_REAL, *previous_timer)


def _resident_memory() -> int:
    """Bytes of memory that the process has; 0 where the system does not report it."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * 4096
    except (OSError, ValueError, IndexError):
        return 0


class _LimitedCodeGenerator(CodeGenerator):
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


class _CheckedFilters(dict[str, Any]):
    """Filters by name, with their arguments checked; those that a library adds later too."""

    def __setitem__(self, name: str, function: Any) -> None:
        super().__setitem__(name, _with_check(function, FILTER_CHECKS[name]) if name in FILTER_CHECKS else function)


class _LimitsMixin:
    """What an environment of jinja's sandbox computes itself."""

    intercepted_binops = frozenset({"*", "**", "%"})
    concat = staticmethod(joined)
    comparable = staticmethod(comparable)
    code_generator_class = _LimitedCodeGenerator

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.optimized = False
        self.tests = {name: _of_two(test) if name in COMPARING else test for name, test in self.tests.items()}  # type: ignore[has-type]
        filters = _CheckedFilters()
        for name, function in self.filters.items():  # type: ignore[has-type]
            filters[name] = function
        self.filters = filters

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
            for operand, factor in ((left, right), (right, left)):
                if isinstance(factor, int) and isinstance(operand, (str, bytes, list, tuple)):
                    check_size(len(operand) * factor)
                elif isinstance(factor, int) and isinstance(operand, int):
                    check_whole(operand.bit_length() + factor.bit_length())
        elif operator == "**" and isinstance(left, int) and isinstance(right, int):
            check_whole(left.bit_length() * max(right, 0))
        elif operator == "%" and isinstance(left, (str, bytes)):
            check_lengths((right if isinstance(right, tuple) else (right,)) if "*" in str(left) else ())
            check_format(left, right)
        return super().call_binop(context, operator, left, right)  # type: ignore[misc]

    def call(self, context: Any, obj: Any, *arguments: Any, **keywords: Any) -> Any:
        method = getattr(obj, "__wrapped__", obj)  # the sandbox has its own `format`
        owner = getattr(method, "__self__", None)
        if not isinstance(obj, Macro):  # it may hash or compare its arguments
            comparable(
                [owner if isinstance(owner, (list, tuple, dict, set, frozenset)) else None, *arguments, *keywords.values()]
            )
        if isinstance(owner, (str, bytes, int)):
            arguments = check_method(owner, getattr(method, "__name__", ""), arguments, keywords)
        return super().call(context, obj, *arguments, **keywords)  # type: ignore[misc]


def _check_join_filter(value: Any, d: Any = "", attribute: Any = None) -> Any:
    value = listed(value)
    check_size(len(value) * size_of(d))
    return value


def _check_sum_filter(iterable: Any, attribute: Any = None, start: Any = 0) -> Any:
    iterable = listed(iterable)
    if not isinstance(start, (int, float)) and len(iterable) * size_of(iterable) > MAX_COPIED:
        raise TemplateLimitExceeded(f"it copies more than {MAX_COPIED:,} elements")
    return iterable


def _check_format_filter(value: Any, *arguments: Any, **named: Any) -> Any:
    check_format(str(value), [*arguments, *named.values()])
    return value


def _check_replace_filter(s: Any, old: Any, new: Any, count: Any = None) -> Any:
    check_replace(str(s), str(old), str(new))
    return s


def _check_layout_filter(value: Any, *arguments: Any, **named: Any) -> Any:
    """For filters that insert text at the start of each line, or fill up to a length."""
    check_lengths([*arguments, *named.values()])
    if isinstance(value, str):  # each of its lines may get that far
        check_size((value.count("\n") + 1) * widest([*arguments, *named.values()]))
    if max_inserted := max((len(text) for text in (*arguments, *named.values()) if isinstance(text, str)), default=0):
        check_size(size_of(value) * max_inserted)
    return value


def _check_text_filter(value: Any, *arguments: Any, **named: Any) -> Any:
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


FILTER_CHECKS: dict[str, Callable[..., Any]] = {
    "join": _check_join_filter,
    "sum": _check_sum_filter,
    **dict.fromkeys(("sort", "unique", "min", "max", "groupby", "dictsort"), _check_compared),
    "format": _check_format_filter,
    "replace": _check_replace_filter,
    **dict.fromkeys(("center", "indent", "batch", "slice", "wordwrap"), _check_layout_filter),
    **dict.fromkeys(("string", "tojson", "pprint", "urlencode", "xmlattr", "e", "escape", "forceescape"), _check_text_filter),
}


def _with_check(function: Callable[..., Any], check: Callable[..., Any]) -> Callable[..., Any]:
    """A filter of jinja's, with its arguments checked: (context of some filters, value, settings)."""
    num_context = int(hasattr(function, "jinja_pass_arg"))

    @functools.wraps(function)
    def checked_filter(*arguments: Any, **named: Any) -> Any:
        before, (value, *rest) = arguments[:num_context], arguments[num_context:]
        return function(*before, check(value, *rest, **named), *rest, **named)

    return checked_filter


def _of_two(test: Callable[..., Any]) -> Callable[..., Any]:
    """A test of jinja's that compares (`x is eq y`, also by name in `select`), with both sides checked."""

    @functools.wraps(test)
    def called(*values: Any) -> Any:
        return test(*map(comparable, values))

    return called


class LimitedSandbox(_LimitsMixin, ImmutableSandboxedEnvironment):
    """transformers' environment of chat templates, with limits."""


class LimitedEnvironment(_LimitsMixin, SandboxedEnvironment):
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

    original_env = lm_eval.utils.env
    limited_env = LimitedEnvironment(loader=original_env.loader, undefined=original_env.undefined, keep_trailing_newline=True)
    limited_env.filters.update({name: value for name, value in original_env.filters.items() if name not in limited_env.filters})
    limited_env.globals.update({name: value for name, value in original_env.globals.items() if name not in limited_env.globals})
    original_apply = lm_eval.utils.apply_template

    @functools.wraps(original_apply)
    def apply_template(template: str, doc: dict[str, Any]) -> str:
        with rendering_limits():
            return original_apply(template, doc)

    lm_eval.utils.env = limited_env
    lm_eval.utils.apply_template = apply_template
