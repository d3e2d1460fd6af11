"""The terminal a command talks to: plain lines, nothing in them acts on it."""

from __future__ import annotations

from harness.security.console import Terminal

out = Terminal()


def say(text: str) -> None:
    out.print(text, soft_wrap=True)
