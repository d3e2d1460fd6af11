"""Whether the model, adapter, data and distribution that a run names are on this machine: known before transformers is loaded.

The loaders find the same, in the same words, once they come to it.
"""

from __future__ import annotations

from pathlib import Path

from harness.config import RunConfig
from harness.errors import UserError
from harness.language.model.local_folder import local_folder, read_object
from harness.settings.paths import resolve_path
from harness.settings.plugins import named_plugin
from harness.sources.rows import check_source
from harness.store.adapter_files import CONFIG_FILE

LOCAL_PREFIXES = ("builtin:", ".", "/", "~")  # of paths that no mirror and no hub is asked for


def check_local_sources(config: RunConfig, mirror: Path | None) -> None:
    """Raises UserError for a folder, a file or an installed part of this machine that a setting names and that is not there."""
    model = config.model
    for key, path, file in (("model.path", model.path, "config.json"), ("model.adapter", model.adapter, CONFIG_FILE)):
        if path is None or not path.startswith(LOCAL_PREFIXES):
            continue
        try:
            folder = local_folder(str(resolve_path(path)) if path.startswith("builtin:") else path)
            assert folder is not None
            read_object(folder / file)
        except UserError as error:
            raise UserError(f"{key}={path}: {error}") from error
    if config.data.distribution is not None:
        named_plugin("distribution", config.data.distribution, "data.distribution")
    for source in filter(None, (config.data.source, config.data.heldout)):
        check_source(source, mirror)
