"""The hub's own library, asked in one place: quietly, and with one line for whatever goes wrong."""

from __future__ import annotations

import contextlib
import errno
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from harness.errors import UserError
from harness.security.redact import MASK, masked
from harness.sources.mirror import Wanted

if TYPE_CHECKING:
    from huggingface_hub import HfApi


def hub(bars: bool = False) -> HfApi:
    """bars: whether a bar is drawn for each file that is fetched."""
    import huggingface_hub
    from huggingface_hub.utils import disable_progress_bars
    from huggingface_hub.utils import logging as hub_logging

    hub_logging.set_verbosity_error()  # its warnings name addresses that may carry signatures
    if not bars:
        disable_progress_bars()
    return huggingface_hub.HfApi()


def repo_type(wanted: Wanted) -> str:
    return "dataset" if wanted.kind == "data" else "model"


@contextlib.contextmanager
def explained(wanted: Wanted, mirror: Path) -> Iterator[None]:
    """Turn what the library raises into one line that says what to do. No token and no signed address is in it."""
    from huggingface_hub import constants, errors

    try:
        yield
    except UserError:
        raise
    except Exception as error:
        cause = error.__cause__ if isinstance(error, errors.LocalEntryNotFoundError) and error.__cause__ else error
        host = urlsplit(constants.ENDPOINT).hostname
        if isinstance(cause, errors.GatedRepoError):
            said = f"gated; accept its terms on its page at {host} and log in (hf auth login)"
        elif isinstance(cause, errors.RepositoryNotFoundError):
            said = f"{host} has none of this name, or it is private; check the id, or log in (hf auth login)"
        elif isinstance(cause, errors.RevisionNotFoundError):
            said = f"{host} has no revision {wanted.revision or 'main'} of it"
        elif isinstance(cause, errors.HFValidationError):
            said = "no valid id of the hub; expected ORG/NAME"
        elif isinstance(cause, errors.OfflineModeIsEnabled):
            said = "the environment forbids the network; unset HF_HUB_OFFLINE and TRANSFORMERS_OFFLINE, then repeat the command"
        elif isinstance(cause, errors.HfHubHTTPError):
            said = f"{host} answered {cause.response.status_code}; repeat the command to go on from here"
        elif isinstance(cause, OSError) and cause.errno in (errno.ENOSPC, errno.EACCES, errno.EROFS, errno.EDQUOT):
            said = f"cannot be written to {mirror} ({cause.strerror}); name another folder with --to"
        else:
            said = (
                f"{host} cannot be reached or broke off ({reason(cause)}); where there is a network, repeat the command to go "
                "on from here (HF_ENDPOINT names another hub, HTTPS_PROXY a proxy)"
            )
        raise UserError(f"{wanted}: {said}") from error


def reason(error: BaseException) -> str:
    """The error's first line, without what may be secret in an address: who asks, and the query, which may hold a signature."""
    line = (str(error).strip().splitlines() or [type(error).__name__])[0]
    return re.sub(r"\?\S*", "", masked(line).replace(f"{MASK}@", ""))[:160]
