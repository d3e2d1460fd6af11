"""What is shown of a run: on a terminal of 80 columns, in a pipe, with --quiet and --verbose, and in the log."""

import io
import math
import re
import time

import pytest

from harness.progress.drawing import overall_line, trial_lines
from harness.progress.log_file import LOG_NAME, LogFile
from harness.progress.planned import PlannedPhase, RunProgress
from harness.progress.reporter import Line, PhaseBegan, PhaseEnded, PhaseMoved, Reporter, TrialEnded, Verbosity
from harness.progress.screen import Screen
from harness.progress.wording import CheckpointScore
from harness.security.console import SafeConsole

START_SCORE = CheckpointScore(0.543, 0.0071, None, math.nan, 4000, 534, 10)
SCORE = CheckpointScore(0.612, 0.007, 0.069, 0.0049, 4000, 534, 10)
TRIAL = "spin/seed-0"
LONG = "spin-" + "beta=0.125-history=latest-" * 3 + "x"


class Terminal(io.StringIO):
    def isatty(self):
        return True


def planned(label="spin"):
    folders = [f"{label}/seed-0/iteration-0/{kind}" for kind in ("train", "evaluate/two")]
    return [PlannedPhase("initial/evaluate/two", "evaluate", "", "")] + [
        PlannedPhase(folder, folder.split("/")[3], f"{label}/seed-0", label) for folder in folders
    ]


def events(label="spin"):
    """A small run of one trial."""
    yield PhaseBegan("initial/evaluate/two", "evaluate", None, "requests")
    yield PhaseMoved("initial/evaluate/two", 10, 10)
    yield PhaseEnded("initial/evaluate/two", 3.0)
    train = f"{label}/seed-0/iteration-0/train"
    yield PhaseBegan(train, "train", 200, "prompts")
    yield PhaseMoved(train, 50, 200)
    yield PhaseMoved(train, 200, 200)
    yield PhaseEnded(train, 40.9)
    yield Line("a note", is_detail=True, trial=f"{label}/seed-0")
    yield PhaseBegan(f"{label}/seed-0/iteration-0/evaluate/two", "evaluate", 10, "requests")
    yield PhaseEnded(f"{label}/seed-0/iteration-0/evaluate/two", 3.0)
    yield TrialEnded(f"{label}/seed-0", None)


def shown(stream, verbosity=Verbosity.NORMAL, log=None, label="spin", more=()):
    console = SafeConsole(file=stream, force_terminal=stream.isatty(), width=80, height=24, _environ={"TERM": "xterm"})
    screen = Screen(verbosity, console)
    screen.log, screen.score_of = log, lambda folder: START_SCORE if folder.startswith("initial") else SCORE
    with screen.show(RunProgress(planned(label))):
        for event in (*events(label), *more):
            screen.send(event)
    return stream.getvalue()


def test_in_a_pipe_every_line_has_its_time_how_far_it_is_and_the_time_left():
    text = shown(io.StringIO())
    assert "\x1b" not in text
    lines = [re.sub(r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d  ", "", line) for line in text.splitlines()]
    assert lines == [
        "1/3, > 0:00:03 left  start: evaluate, 10 requests in 3.0 s",
        "1/3, > 0:00:03 left  start: 54.3 ± 0.7 % (mean over 10 tasks; n = 4,000 items in 534 clusters; ±: standard error over "
        "items, paired for a difference)",
        "2/3, 0:00:03 left  spin, seed 0, iteration 0: train, 200 prompts in 40.9 s",
        "3/3, 0:00:00 left  spin, seed 0, iteration 0: evaluate, 0 requests in 3.0 s",
        "3/3, 0:00:00 left  spin, seed 0, iteration 0: 61.2 %, +6.9 ± 0.5 from the start (n = 4,000)",
    ]


def test_on_a_terminal_scores_stay_and_no_line_is_longer_than_the_terminal():
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown(Terminal())).replace("\r", "\n")
    lines = [line.rstrip() for line in text.splitlines()]
    assert "spin, seed 0, iteration 0: 61.2 %, +6.9 ± 0.5 from the start (n = 4,000)" in lines
    assert "phase 1 of 3" in text and max(map(len, lines)) <= 80
    assert "a note" not in text, "with --verbose alone"


def test_quiet_shows_warnings_and_failures_alone_and_verbose_everything():
    more = (Line("WARNING look here"), TrialEnded("tspin/seed-0", "it broke"))
    quiet = [line.split("  ", 2)[-1] for line in shown(io.StringIO(), Verbosity.QUIET, more=more).splitlines()]
    assert quiet == ["WARNING look here", "tspin/seed-0 failed: it broke"]
    verbose = shown(io.StringIO(), Verbosity.VERBOSE)
    assert "spin, seed 0: a note" in verbose and "spin, seed 0, iteration 0: train began" in verbose


def test_the_log_has_what_verbose_shows_whatever_is_shown_and_is_appended(tmp_path):
    for verbosity in (Verbosity.QUIET, Verbosity.NORMAL):
        log = LogFile(tmp_path)
        shown(Terminal(), verbosity, log)
        log.close()
    lines = (tmp_path / LOG_NAME).read_text().splitlines()
    assert len(lines) % 2 == 0 and all(re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d  \S", line) for line in lines)
    first, second = ([line[21:] for line in part] for part in (lines[: len(lines) // 2], lines[len(lines) // 2 :]))
    assert first == second and "spin, seed 0: a note" in first and "start: evaluate began" in first


def test_strangers_text_moves_nothing_on_the_terminal_and_secrets_are_left_out(tmp_path):
    hostile = "\x1b[2J\x1b[31mred\x07 https://user:hunter2@host/"
    log = LogFile(tmp_path)
    text = shown(io.StringIO(), log=log, more=(Line(hostile), PhaseBegan("a/seed-0/iteration-0/x", hostile, None, hostile)))
    assert r"\u{1b}[31mred" in text and "\x1b" not in text and "hunter2" not in text
    assert "\x1b" not in (tmp_path / LOG_NAME).read_text() and "hunter2" not in (tmp_path / LOG_NAME).read_text()
    live = shown(Terminal(), more=(PhaseBegan("a/seed-0/iteration-0/x", hostile, None, hostile),))
    assert "\x1b[31mred" not in live and "hunter2" not in live


@pytest.mark.parametrize("label", ["sft", LONG])
@pytest.mark.parametrize("at_work", [1, 3, 40])
def test_the_display_fits_80_columns_and_24_lines_and_cuts_no_word(label, at_work):
    progress = RunProgress(planned())
    for seed in range(at_work):
        folder = f"{label}/seed-{seed}/iteration-12/evaluate/two"
        progress.begin(folder, "diagnostics", 123456, "responses", 0.0)
        progress.move(folder, 50000, 123456, 10.0)
    scores = {f"{label}/seed-0": "61.2 %"}
    lines = trial_lines(list(progress.active.values()), scores, 10.0, 80, 21)
    assert len(lines) <= 21 and max(map(len, lines)) <= 80
    text = " ".join(" ".join(lines).split())
    assert "5,000 responses/s" in text and "61.2 %" in text and "41 %" in text and "0:00:15" in text
    assert f"{label}, seed 0" in text.replace("- ", "-")
    assert at_work < 40 or lines[-1].endswith("more at work")
    assert len(overall_line(progress, 10.0, 80)) == 80


def test_a_phase_tells_seldom_how_far_it_is_and_its_end_exactly(monkeypatch):
    """A million units in a second of a clock that moves by a microsecond: some four moves, and the last has all of them."""
    clock = iter(range(10_000_000))
    monkeypatch.setattr(time, "perf_counter", lambda: next(clock) * 1e-6)
    sent = []
    reporter = Reporter(SafeConsole(file=io.StringIO()))
    reporter.send = sent.append
    total = [None]
    with reporter.phase("f", ("evaluate", lambda: total[0], "requests")) as advance:
        for _ in range(1_000_000):
            advance(1)
            total[0] = 1_000_000
    moves = [event for event in sent if isinstance(event, PhaseMoved)]
    assert 3 <= len(moves) <= 6 and moves[0].total == 1_000_000, "known once the work has begun"
    assert moves[-1].done == 1_000_000 and isinstance(sent[-1], PhaseEnded)


def test_a_phase_that_fails_is_not_reported_as_finished():
    sent = []
    reporter = Reporter(SafeConsole(file=io.StringIO()))
    reporter.send = sent.append
    with pytest.raises(ValueError, match="broken"), reporter.phase("f", ("train", 1, "prompts")):
        raise ValueError("broken")
    assert not any(isinstance(event, PhaseEnded) for event in sent)


def test_forced_colours_draw_no_display_into_a_file(monkeypatch):
    console = SafeConsole(file=io.StringIO(), force_terminal=True, _environ={"TERM": "xterm", "FORCE_COLOR": "1"})
    assert not Screen(console=console).is_live
