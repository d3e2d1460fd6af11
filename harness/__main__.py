"""`python -m harness` is the `harness` command. Ctrl-C is handled before anything else is imported."""

from typing import Any

from harness.settings.termination import TERMINATION


def main() -> Any:
    TERMINATION.install()
    with TERMINATION.nothing_open():
        from harness.cli import main as run_command_line  # what takes time to load: Ctrl-C is handled by now
    try:
        return run_command_line()
    finally:
        TERMINATION.all_closed()


if __name__ == "__main__":  # not in the processes of a run, which import this file too
    main()
