"""Secrets in a text or a command are masked before it is written or printed."""

from __future__ import annotations

import re
from collections.abc import Sequence

MASK = "***"
# Name and password of a URL. A password that was not encoded may hold any of / @ ? # (browsers and curl accept some of them):
# after a name and a colon everything up to the last @ of the word is masked, even a port and a path with an @ in it.
# A URL read as a path has one slash of the two. JSON may escape the slashes, a proxy may have no scheme:
# `name:password@host:port`.
URL_CREDENTIALS = re.compile(
    r"(?:(?<=//)|(?<=\w\w:/)|(?<=\\/\\/)|(?<=\\\\/\\\\/))(?:[^\s\"'<>/?#]*:[^\s\"'<>]*@|[^\s\"'<>/?#]*@)"
    r"|(?i:(?<=%3A%2F%2F)[^\s\"'<>&]*%40)"
    r"|(?<![\w.%+@/-])[\w.%+-]+:[^\s\"'<>/]+@(?=[\w.-]+:\d)"
)
QUERY_SECRET = re.compile(
    r"(?i)([?&;#](?:[\w.-]*(?:token|key|secret|passw|signature|credential)[\w.-]*|sig|pwd|pass|auth|jwt)=)[^&;\s\"']+"
)
KNOWN_TOKEN = re.compile(r"\b(?:hf_[A-Za-z0-9]{20,}|sk-[A-Za-z0-9_-]{20,}|gh[pousr]_[A-Za-z0-9]{20,}|AKIA[A-Z0-9]{16})\b")
SECRET_NAME = re.compile(r"(?i)(?:^|[._-])(?:token|(?:api)?key|secret|password|passwd|pwd|passphrase|credentials?)$")


def redact(text: str) -> str:
    """The text without name and password of a URL (`https://name:password@host`), secrets in its query, and known tokens."""
    if "@" in text or ":/" in text or "//" in text or "%3A%2F%2F" in text.upper():
        text = QUERY_SECRET.sub(rf"\g<1>{MASK}", URL_CREDENTIALS.sub(f"{MASK}@", text))
    return KNOWN_TOKEN.sub(MASK, text)


def redact_command(arguments: Sequence[str]) -> list[str]:
    """A command line without secrets: as `redact`, and without the values of options named token, key, secret or password.

    Covers `--api-key X`, `--api-key=X` and `--set a.password=X`, but not `judge_key_env`, which names a variable.
    """
    redacted: list[str] = []
    for argument in arguments:
        name, separator, _ = argument.partition("=")
        if redacted and redacted[-1].startswith("--") and "=" not in redacted[-1] and SECRET_NAME.search(redacted[-1]):
            redacted.append(MASK)
        elif separator and SECRET_NAME.search(name):
            redacted.append(f"{name}={MASK}")
        else:
            redacted.append(redact(argument))
    return redacted
