"""Whether the hub answers, found out once and fast: its library would try every file five times, and say so each time.

Where it does not, the hub's libraries are told to use what they have on this machine, and whatever is missing is one line that
names `harness fetch`.
"""

from __future__ import annotations

import os
import socket
import threading
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path
from urllib.parse import urlsplit

from harness.errors import UserError, error_line
from harness.sources.mirror import HubItem, cached_snapshot
from harness.sources.offline import OFFLINE_VARIABLES, use_caches_only

PROBE_SECONDS = 5.0
HUB = "https://huggingface.co"


def check_hub_items(items: Sequence[HubItem], fetch_command: str) -> None:
    """Raises UserError for the first item that is neither on this machine nor to be had. fetch_command: fetches all into DIR."""
    for _, problem in missing_without_hub(items):
        raise UserError(f"{problem}; on a machine with the hub: {fetch_command}; then add --mirror DIR")


def missing_without_hub(items: Sequence[HubItem]) -> Iterator[tuple[HubItem, str]]:
    """(item, a line) for each item that this machine lacks, where the hub cannot be reached."""
    if not items or (problem := hub_problem()) is None:
        return
    use_caches_only()
    for item in items:
        if item.kind != "nltk" and not _is_cached(item):
            yield item, f"{item}: not on this machine, and {problem}"


def hub_problem() -> str | None:
    """Why the hub cannot be asked; None where something answers at its address, or at its proxy's."""
    if variable := next((name for name in OFFLINE_VARIABLES[:1] if _is_true(os.environ.get(name))), None):
        return f"{variable} forbids the network"
    address = urlsplit(os.environ.get("HF_ENDPOINT") or HUB)
    proxies = urllib.request.getproxies()
    proxy = proxies.get(address.scheme) or proxies.get("all")
    target = address
    if proxy and not urllib.request.proxy_bypass(address.hostname or ""):
        target = urlsplit(proxy if "://" in proxy else f"http://{proxy}")
    reason = _connection_problem(target.hostname or "", target.port or (443 if target.scheme == "https" else 80))
    return None if reason is None else f"{address.hostname} cannot be reached ({reason})"


def _is_true(value: str | None) -> bool:
    return (value or "").upper() in ("1", "ON", "YES", "TRUE")


def _connection_problem(host: str, port: int) -> str | None:
    """Why a connection cannot be made, within PROBE_SECONDS: a look-up of a name has no time limit of its own."""
    outcome: list[str | None] = []

    def connect() -> None:
        try:
            socket.create_connection((host, port), timeout=PROBE_SECONDS).close()
            outcome.append(None)
        except Exception as error:  # refused, no such name, no route, or forbidden in this process
            outcome.append(error_line(error, 100))

    thread = threading.Thread(target=connect, daemon=True)
    thread.start()
    thread.join(PROBE_SECONDS)
    return outcome[0] if outcome else f"no answer in {PROBE_SECONDS:g} s"


def _is_cached(item: HubItem) -> bool:
    """Whether the hub's libraries have it: a snapshot, or a data set that was prepared before."""
    from huggingface_hub import constants

    if cached_snapshot(Path(constants.HF_HUB_CACHE), item) is not None:
        return True
    prepared = os.environ.get("HF_DATASETS_CACHE") or os.path.join(constants.HF_HOME, "datasets")
    return item.kind == "data" and Path(prepared, item.id.replace("/", "___")).is_dir()
