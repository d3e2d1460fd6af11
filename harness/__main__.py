"""`python -m harness` is the `harness` command."""

from harness.cli import main

if __name__ == "__main__":  # not in the processes of a run, which import this file too
    main()
