"""matplotlib isolated from the environment: its own defaults and fonts.

A notebook's MPLBACKEND, a user's matplotlibrc and another version of a font on the system do not affect a figure; pyplot is not
used, so no window system is needed. Characters that matplotlib's fonts lack are drawn in fonts of the system.
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

HOST_SETTINGS = ("backend", "backend_fallback", "interactive")  # left as they are: without effect on a figure that is only saved


def matplotlib() -> Any:
    """The library, imported so that neither MPLBACKEND nor a matplotlibrc can break the import or change its defaults."""
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
        os.environ.pop("MPLBACKEND", None)  # an unknown name fails the import
        if os.path.isfile("matplotlibrc"):  # the current folder's is read first, whatever it contains
            stack.enter_context(chdir(data_folder))
        log.setLevel(logging.ERROR)  # no warning that the font cache cannot be written
        stack.callback(log.setLevel, saved_level)
        importlib.import_module("matplotlib.font_manager")


def font_folder() -> Path:
    return Path(matplotlib().get_data_path()) / "fonts" / "ttf"


@contextmanager
def isolated_matplotlib(settings: Mapping[str, Any]) -> Iterator[None]:
    """matplotlib's defaults with `settings` over them and its own fonts only; restored afterwards."""
    mpl = matplotlib()
    manager = sys.modules["matplotlib.font_manager"].fontManager  # type: ignore[attr-defined]
    saved_fonts = manager.ttflist
    log = logging.getLogger("matplotlib.font_manager")
    saved_level = log.level
    with mpl.rc_context():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # some settings are deprecated
            defaults = {name: value for name, value in mpl.rcParamsDefault.items() if name not in HOST_SETTINGS}
            mpl.rcParams.update(defaults | dict(settings))
        manager.ttflist = []
        log.setLevel(logging.ERROR)  # a script whose font has no bold is drawn in its plain weight
        try:
            for path in sorted(font_folder().glob("*.ttf")):
                manager.addfont(path)
            yield
        finally:
            manager.addfont(font_folder() / "DejaVuSans.ttf")  # clears its cache of our fonts
            manager.ttflist = saved_fonts
            log.setLevel(saved_level)
