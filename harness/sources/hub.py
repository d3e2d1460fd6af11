"""All calls of huggingface_hub: without its log output, and with a one-line message for every error."""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from harness.errors import UserError, error_line
from harness.sources.mirror import HubItem

if TYPE_CHECKING:
    from huggingface_hub import HfApi

CANNOT_WRITE = (errno.ENOSPC, errno.EACCES, errno.EROFS, errno.EDQUOT)


def silence_hub() -> None:
    """Let the hub's library print errors alone: it prints a line per try, and addresses that may carry signatures."""
    from huggingface_hub.utils import logging as hub_logging

    hub_logging.set_verbosity_error()


def hub_api(progress_bars: bool = False) -> HfApi:
    """huggingface_hub's client. progress_bars: whether a bar is drawn for what is fetched."""
    import huggingface_hub
    from huggingface_hub.utils import disable_progress_bars

    silence_hub()
    if not progress_bars:
        disable_progress_bars()
    return huggingface_hub.HfApi()


@contextlib.contextmanager
def wrap_hub_errors(item: HubItem, mirror: Path) -> Iterator[None]:
    """Turn the library's exceptions into one line that says what to do, without tokens and signed addresses."""
    from huggingface_hub import constants, errors

    try:
        yield
    except UserError:
        raise
    except Exception as error:
        cause = error.__cause__ if isinstance(error, errors.LocalEntryNotFoundError) and error.__cause__ else error
        host = urlsplit(constants.ENDPOINT).hostname
        if isinstance(cause, OSError) and cause.errno in CANNOT_WRITE:
            raise UserError(f"{item}: cannot be written to {mirror} ({cause.strerror}); name another folder with --to") from error
        status = getattr(getattr(cause, "response", None), "status_code", None)
        messages = {
            errors.GatedRepoError: f"gated; accept its terms on its page at {host} and log in (hf auth login)",
            errors.RepositoryNotFoundError: f"{host} has none of this name, or it is private; check the id, or log in "
            "(hf auth login)",
            errors.RevisionNotFoundError: f"{host} has no revision {item.revision or 'main'} of it",
            errors.HFValidationError: "no valid id of the hub; expected ORG/NAME",
            errors.OfflineModeIsEnabled: "the environment forbids the network; unset HF_HUB_OFFLINE and TRANSFORMERS_OFFLINE, "
            "then repeat the command",
            errors.HfHubHTTPError: f"{host} answered {status}; repeat the command to go on from here",
            Exception: f"{host} cannot be reached, or the connection was lost ({error_line(cause)}); where there is a network, "
            "repeat the command to go on from here (HF_ENDPOINT names another hub, HTTPS_PROXY a proxy)",
        }
        raise UserError(f"{item}: {next(text for kind, text in messages.items() if isinstance(cause, kind))}") from error
