"""All that a run's report says, as text: the words of its PDF, whose bytes are compressed."""

from harness.analysis.facts import RunResults
from harness.reporting.report.content import content


def report_text(run):
    """run: a run folder whose tables have been written."""
    return "\n".join(_texts(content(RunResults(run))))


def _texts(part):
    if isinstance(part, str):
        yield part
    elif isinstance(part, dict):
        for value in part.values():
            yield from _texts(value)
    elif isinstance(part, (list, tuple)):
        for value in part:
            yield from _texts(value)
