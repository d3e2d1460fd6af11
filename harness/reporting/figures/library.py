"""matplotlib by itself: its own defaults and its own fonts, whatever the surroundings ask of it.

A notebook's MPLBACKEND, somebody's matplotlibrc and another version of a font on the system have no say in a figure; nothing goes
through pyplot, so no window system is looked for. Characters that matplotlib's fonts lack are drawn in fonts of the system.
"""

from __future__ import annotations

import importlib
import importlib.util
import logging
import os
import sys
import warnings
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, chdir, contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

from harness.settings.process_environment import set_up_caches

HOST_SETTINGS = ("backend", "backend_fallback", "interactive")  # the host's, and without effect on a figure that is only saved


def matplotlib() -> Any:
    """The library, imported so that neither MPLBACKEND nor a matplotlibrc can make that fail or change its defaults."""
    if "matplotlib.font_manager" not in sys.modules:
        set_up_caches()
        _import()
    return sys.modules["matplotlib"]


def _import() -> None:
    spec = importlib.util.find_spec("matplotlib")
    assert spec is not None and spec.origin is not None
    data_folder = Path(spec.origin).parent / "mpl-data"
    log = logging.getLogger("matplotlib")
    saved_level = log.level
    with ExitStack() as stack:
        stack.enter_context(mock.patch.dict(os.environ, {"MATPLOTLIBRC": str(data_folder / "matplotlibrc")}))
        os.environ.pop("MPLBACKEND", None)  # a name that it does not know ends the import
        if os.path.isfile("matplotlibrc"):  # the current folder's is read before any other, and may be no such file at all
            stack.enter_context(chdir(data_folder))
        log.setLevel(logging.ERROR)  # it may say that it cannot keep a cache of the system's fonts
        stack.callback(log.setLevel, saved_level)
        importlib.import_module("matplotlib.font_manager")


def font_folder() -> Path:
    """Where the fonts lie that come with matplotlib."""
    return Path(matplotlib().get_data_path()) / "fonts" / "ttf"


@contextmanager
def isolated_matplotlib(settings: Mapping[str, Any]) -> Iterator[None]:
    """matplotlib's defaults with `settings` over them, and no other fonts than its own; all as it was afterwards."""
    mpl = matplotlib()
    manager = sys.modules["matplotlib.font_manager"].fontManager  # type: ignore[attr-defined]
    saved_fonts = manager.ttflist
    log = logging.getLogger("matplotlib.font_manager")
    saved_level = log.level
    with mpl.rc_context():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # some settings are on their way out
            defaults = {name: value for name, value in mpl.rcParamsDefault.items() if name not in HOST_SETTINGS}
            mpl.rcParams.update(defaults | dict(settings))
        manager.ttflist = []
        log.setLevel(logging.ERROR)  # a script whose font has no bold is drawn in its plain weight
        try:
            for path in sorted(font_folder().glob("*.ttf")):
                manager.addfont(path)
            yield
        finally:
            manager.addfont(font_folder() / "DejaVuSans.ttf")  # which lets it forget what it has found among ours
            manager.ttflist = saved_fonts
            log.setLevel(saved_level)
