"""What a page's own policy says of its inline style and script."""

from __future__ import annotations

import base64
import hashlib


def content_hash(text: str) -> str:
    """The digest by which a policy admits an inline script or style: 'sha256-DIGEST'."""
    return base64.b64encode(hashlib.sha256(text.encode("utf-8")).digest()).decode("ascii")
