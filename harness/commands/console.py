"""The terminal that commands print to: plain lines, control characters in them escaped."""

from __future__ import annotations

from harness.security.console import SafeConsole

console = SafeConsole()


def echo(text: str) -> None:
    console.print(text, soft_wrap=True)
