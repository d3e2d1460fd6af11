"""The terminal a command talks to: plain lines, nothing in them acts on it."""

from __future__ import annotations

from harness.security.console import SafeConsole

console = SafeConsole()


def echo(text: str) -> None:
    console.print(text, soft_wrap=True)
