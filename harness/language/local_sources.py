"""Whether the model, adapter, data and distribution that a run names are on this machine: known before transformers is loaded.

The loaders find the same, in the same words, once they come to it.
"""

from __future__ import annotations

import shlex
from pathlib import Path

from harness.config import RunConfig
from harness.errors import UserError
from harness.language.model.local_folder import local_folder, read_object
from harness.settings.paths import resolve_path
from harness.settings.plugins import named_plugin
from harness.settings.typed_options import CLI_OPTIONS
from harness.sources.mirror import HubItem, adapter_item, data_item, is_hub_id, model_item
from harness.sources.reachable import check_hub_items
from harness.sources.rows import check_source
from harness.store.adapter_files import CONFIG_FILE

LOCAL_PREFIXES = ("builtin:", ".", "/", "~")  # of paths that no mirror and no hub is asked for


def check_local_sources(config: RunConfig, mirror: Path | None) -> None:
    """Raises UserError for a folder, a file or an installed part of this machine that a setting names and that is not there; and
    for what only the hub has, where it cannot be reached.
    """
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
    if mirror is None:
        items = [item for item in items_of_config(config) if not resolve_path(item.id).exists()]
        check_hub_items(items, fetch_command(config))


def items_of_config(config: RunConfig) -> list[HubItem]:
    """Model, adapter and pairs, as far as they are called like something on the hub."""
    model, data = config.model, config.data
    items = [
        model_item(model.path, model.revision),
        *([adapter_item(model.adapter)] if model.adapter else []),
        data_item(data.source, heldout=False),
        *([data_item(data.heldout, heldout=True)] if data.heldout else []),
    ]
    return [item for item in items if is_hub_id(item.id)]


def fetch_command(config: RunConfig) -> str:
    """What to type to fetch all that the run needs, into DIR."""
    words = ["harness", "fetch", "--recipe", config.recipe]
    typed = {"model.path": config.model.path, "data.source": config.data.source, "evaluation.suite": config.evaluation.suite}
    for key, value in typed.items():
        words += [CLI_OPTIONS[key], value] if config.is_typed(key) else []
    others = {"model.adapter": config.model.adapter, "data.heldout": config.data.heldout, "model.revision": config.model.revision}
    for key, value in others.items():
        words += ["--set", f"{key}={value}"] if config.is_typed(key) and value is not None else []
    return shlex.join([*words, "--to", "DIR"])
