"""Option `--report-to` of run, study and report: log what is finished to trackers, and say where to look."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from harness.errors import UserError, did_you_mean
from harness.store.opening import as_argument
from harness.store.run_folder import RunFolder


def parse_trackers(text: str) -> list[str]:
    """The trackers of a text such as tensorboard,wandb, each installed. Raises UserError."""
    from harness.reporting.trackers.libraries import LIBRARIES, check_trackers

    names = list(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
    for name in names:
        if name not in LIBRARIES:
            raise UserError(f'--report-to: unknown tracker "{name}"{did_you_mean(name, LIBRARIES)}')
    if not names:
        raise UserError(f"--report-to is empty; name one or more of {', '.join(LIBRARIES)}")
    check_trackers(names)
    return names


def log_to_trackers(run: RunFolder, names: Sequence[str], show_line: Callable[[str], None], live: bool = False) -> str | None:
    """Log what the trackers lack. While the run goes on, `live`, nothing is said of success; returns a failure in one line."""
    if not names:
        return None
    from harness.reporting.trackers.publish import TrackerProblem, publish

    try:
        places = publish(run.root, names, live)
    except TrackerProblem as error:
        advice = f"what is finished is kept: harness report {as_argument(run.root)} --report-to {','.join(names)}"
        return f"not logged to {error}; {advice}"
    for name, place in () if live else places.items():
        show_line(f"{name:<12}{place}")
    return None
