"""The terminal a command talks to: plain lines, nothing in them read as markup."""

from __future__ import annotations

from rich.console import Console

out = Console(highlight=False)


def say(text: str) -> None:
    out.print(text, markup=False, soft_wrap=True)
