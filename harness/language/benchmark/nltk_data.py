"""NLTK's data for tasks that need it: from the mirror or the machine, never downloaded in the middle of a run."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock


def missing_nltk_data(resource: str, mirror: Path | None) -> str | None:
    """How to install NLTK data that is missing; None when it is there, in the mirror or on the machine."""
    import nltk

    with use_nltk_data(mirror):
        try:
            nltk.data.find(f"tokenizers/{resource}")
        except LookupError:
            return f"needs NLTK data {resource!r}; install it with: python -m nltk.downloader {resource}"
    return None


@contextlib.contextmanager
def use_nltk_data(mirror: Path | None) -> Iterator[None]:
    """Within it NLTK searches the mirror's `nltk_data` first, and never downloads: a missing resource is an error at once."""
    try:
        import nltk
    except ImportError:
        yield
        return
    folder = mirror / "nltk_data" if mirror is not None else None
    if folder is not None and folder.is_dir() and str(folder) not in nltk.data.path:
        nltk.data.path.insert(0, str(folder))

    def refuse_download(name: str, *_: Any, **__: Any) -> None:
        raise LookupError(f"NLTK data {name!r}; install it with: python -m nltk.downloader {name}")

    with mock.patch.object(nltk, "download", refuse_download):
        yield
