"""A Jinja template is an arbitrary program: each rendering is limited in time and in the memory that it may add.

jinja2's sandbox, in which transformers renders chat templates, refuses what reaches out of a template and ranges above 100,000;
it limits neither loops nor `'a' * 10**10`. Here a timer ends a rendering between two of its steps, and the system refuses memory
above the limit. A single step without end that takes no memory (lists within lists that are compared) ends with the process,
after a line on where it was.
"""

from __future__ import annotations

import contextlib
import faulthandler
import functools
import hashlib
import pickle
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from jinja2 import TemplateError

MAX_SECONDS = 10.0  # of one rendering
MAX_STEP_SECONDS = 30.0  # after which the process ends, where a step of a rendering is one call of C and does not
MAX_MEMORY = 1 << 30  # bytes that one rendering may add
PAGE_BYTES = 4096
STDERR = 2
MAX_COMPILED = 1000  # templates of task files
MAX_KEPT_CHARACTERS = 1 << 25  # of rendered texts; beyond that they are rendered again
RANDOM_NAMES = ("random", "lipsum")  # jinja2's filter and function that draw at random


class TemplateLimitExceeded(TemplateError):
    """A rendering that would not end, or would fill the memory."""


@contextlib.contextmanager
def rendering_limits() -> Iterator[None]:
    """Within, a rendering that takes longer or more memory raises TemplateLimitExceeded. Only the main thread receives signals:
    in others nothing is limited.
    """
    if threading.current_thread() is not threading.main_thread() or not hasattr(signal, "setitimer"):
        yield
        return
    expired = threading.Event()

    def stop(*_: Any) -> None:
        expired.set()
        raise TemplateLimitExceeded(f"it does not end within {MAX_SECONDS:g} s")

    previous_handler = signal.signal(signal.SIGALRM, stop)
    previous_timer = signal.setitimer(signal.ITIMER_REAL, MAX_SECONDS, 0.05)
    faulthandler.dump_traceback_later(MAX_STEP_SECONDS, exit=True, file=STDERR)
    try:
        with _limited_memory(MAX_MEMORY):
            try:
                yield
            finally:  # the timer may ring once more in here
                signal.setitimer(signal.ITIMER_REAL, 0)
    except MemoryError as error:
        raise TemplateLimitExceeded(f"it takes more than {MAX_MEMORY >> 20} MiB of memory") from error
    except Exception as error:
        # jinja2 loses the error where a line of its own code has no number
        if expired.is_set() and not isinstance(error, TemplateLimitExceeded):
            raise TemplateLimitExceeded(f"it does not end within {MAX_SECONDS:g} s") from error
        raise
    finally:
        faulthandler.cancel_dump_traceback_later()
        signal.signal(signal.SIGALRM, previous_handler)
        signal.setitimer(signal.ITIMER_REAL, *previous_timer)


@contextlib.contextmanager
def _limited_memory(max_bytes: int) -> Iterator[None]:
    """Within, this process may add at most so much memory; without a limit where the system does not report its size."""
    try:
        import resource

        process_bytes = int(Path("/proc/self/statm").read_text().split()[0]) * PAGE_BYTES
        soft, hard = resource.getrlimit(resource.RLIMIT_AS)
        limits = [limit for limit in (soft, process_bytes + max_bytes) if limit != resource.RLIM_INFINITY]
        resource.setrlimit(resource.RLIMIT_AS, (min(limits), hard))
    except (ImportError, OSError, ValueError):
        yield
        return
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


@functools.cache
def limit_task_templates() -> None:
    """Let lm-eval render the prompts of task files within the limits, and each document's once.

    lm-eval compiles a template again for every document, and renders a document's choices and answer again for every checkpoint.
    """
    import lm_eval.utils

    compiled = functools.lru_cache(MAX_COMPILED)(lm_eval.utils.env.from_string)
    texts: dict[bytes, str] = {}
    free_characters = MAX_KEPT_CHARACTERS

    @functools.wraps(lm_eval.utils.apply_template)
    def apply_template(template: str, doc: dict[str, Any]) -> str:
        nonlocal free_characters
        key = _rendering_key(template, doc)
        if key in texts:
            return texts[key]
        with rendering_limits():
            text = compiled(template).render(**doc)
        if key is not None and free_characters >= len(text):
            texts[key] = text
            free_characters -= len(text) + len(key)
        return text

    lm_eval.utils.apply_template = apply_template


def _rendering_key(template: str, doc: dict[str, Any]) -> bytes | None:
    """Digest of what a rendering depends on; None for a template that draws at random, and a document that is not plain data."""
    if any(name in template for name in RANDOM_NAMES):
        return None
    try:
        content = pickle.dumps((template, doc), protocol=5)
    except Exception:  # whatever an object in a document raises
        return None
    return hashlib.blake2b(content, digest_size=16).digest()
