"""Processor seconds of every test, its fixtures and the processes that it waited for; the 30 that cost most are printed.

Elapsed time depends on what else the machine does; processor time hardly does.
"""

import resource

import pytest

NUM_SHOWN = 30
KEY = "processor_seconds"


def cpu_seconds():
    """User and system seconds of this process and of its children that have ended."""
    used = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(one.ru_utime + one.ru_stime for one in used)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_protocol(item):
    item.began = cpu_seconds()
    yield


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    if call.when == "teardown":
        outcome.get_result().user_properties.append((KEY, cpu_seconds() - item.began))


def pytest_terminal_summary(terminalreporter):
    reports = [report for listed in terminalreporter.stats.values() for report in listed if hasattr(report, "user_properties")]
    costs = {report.nodeid: value for report in reports for key, value in report.user_properties if key == KEY}
    if len(costs) <= NUM_SHOWN:
        return
    terminalreporter.section(f"processor seconds: {sum(costs.values()):.0f} in {len(costs)} tests, the {NUM_SHOWN} largest")
    for name, seconds in sorted(costs.items(), key=lambda pair: -pair[1])[:NUM_SHOWN]:
        terminalreporter.write_line(f"{seconds:7.2f}  {name}")
