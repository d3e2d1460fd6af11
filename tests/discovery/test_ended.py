"""An objective's code that ends the program, or turns its switches, does so for its own cell alone."""

import json
import os
import signal
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from harness.discovery.process_state import preserve_process_state
from harness.discovery.variants import load_objective, parse_variants
from harness.errors import TerminatedBySignal, UserError, is_termination
from harness.loop.phases.train import preserve_process
from harness.loop.training_loop import TrainingLoop
from harness.planning.preflight import check_objectives
from harness.train.thread_pool import OrderedThreadPool
from tests.conftest import SMALL_RECIPE, run_cli
from tests.helpers import broken


class Stop(BaseException):
    """As libraries make them, that nobody is to catch."""


def play(monkeypatch, train):
    """A game of one cell that only trains: why it failed, if it did, what stands in the journal, and what was said."""
    journal, said = [], []
    run = SimpleNamespace(journal=lambda kind, **fields: journal.append((kind, fields)), show_line=said.append)
    reporter = SimpleNamespace(show_line=said.append, send=lambda event: None)
    game = TrainingLoop([], SimpleNamespace(context=SimpleNamespace(run=run), reporter=reporter))

    def play_cell(cell, progressed):
        with preserve_process(run, cell.name):
            train()

    monkeypatch.setattr(game, "run_trial", play_cell)
    return game.run_trial_safely(SimpleNamespace(name="mine/seed-0"), lambda: None), journal, said


def raising(error):
    def train():
        raise error

    return train


@pytest.mark.parametrize("error", [SystemExit(0), SystemExit(None), SystemExit("text"), Stop(), GeneratorExit(), ValueError("x")])
def test_whatever_ends_a_cell_fails_it(monkeypatch, error):
    reason, journal, _ = play(monkeypatch, raising(error))
    assert reason.startswith(type(error).__name__)
    assert [kind for kind, _ in journal] == ["cell failed"]


def test_hard_exits_are_those_of_the_cell_and_stay_real_in_a_process_forked_off(monkeypatch):
    real = os._exit
    lanes = OrderedThreadPool(2)
    for ends in (lambda: lanes.map(lambda _: os._exit(0), [1, 2]), lambda: os._exit(0)):
        assert play(monkeypatch, ends)[0].startswith("SystemExit: 0")
    assert os._exit is real

    def forks():
        child = os.fork()
        if child == 0:
            os._exit(7)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7

    assert play(monkeypatch, forks)[0] is None


def test_the_user_and_a_scheduler_still_end_the_program(monkeypatch):
    with pytest.raises(TerminatedBySignal):
        play(monkeypatch, raising(TerminatedBySignal(signal.SIGTERM)))
    assert is_termination(KeyboardInterrupt()) == (signal.getsignal(signal.SIGINT) is signal.default_int_handler)
    monkeypatch.setattr(signal, "getsignal", lambda _: signal.SIG_IGN)  # as in a worker: nobody but the objective raises it
    assert not is_termination(KeyboardInterrupt())


TURNED = {
    "working folder": lambda: os.chdir("/"),
    "torch's default dtype": lambda: torch.set_default_dtype(torch.float64),
    "torch's gradients": lambda: torch.set_grad_enabled(False),
    "torch's deterministic algorithms": lambda: torch.use_deterministic_algorithms(True),
    "torch's precision of products": lambda: torch.set_float32_matmul_precision("medium"),
    "torch's search for anomalies": lambda: torch.autograd.set_detect_anomaly(True),
    "numpy's handling of errors": lambda: np.seterr(all="raise"),
    "limit of recursion": lambda: sys.setrecursionlimit(5000),
    "handler of SIGALRM": lambda: signal.signal(signal.SIGALRM, signal.SIG_IGN),
    "alarm": lambda: signal.alarm(1000),
    "file descriptor 1 closed": lambda: os.close(1),
}


@pytest.mark.parametrize("name", TURNED)
def test_switches_are_put_back_and_named(monkeypatch, name):
    torch.manual_seed(1)
    expected = torch.rand(1)
    torch.manual_seed(1)

    def train():
        torch.manual_seed(99)
        np.random.seed(0)
        TURNED[name]()

    reason, journal, said = play(monkeypatch, train)
    assert reason is None
    assert journal == [("process changed", {"cell": "mine/seed-0", "said": f"its objective changed {name}; put back"})]
    assert name in said[0]
    assert torch.equal(torch.rand(1), expected)
    with preserve_process_state() as changed:
        pass
    assert changed == []
    assert os.getcwd() != "/" and torch.tensor(1.0).dtype == torch.float32 and torch.is_grad_enabled() and signal.alarm(0) == 0
    os.fstat(1)


def test_closed_streams_are_open_again(capsys):
    with preserve_process_state():
        print("within")
        sys.stdout.close()
        sys.stderr.close()
        sys.stdout = None
    print("after")
    assert capsys.readouterr().out == "within\nafter\n"


@pytest.mark.parametrize("where", ["import", "build", "needs", "loss"])
@pytest.mark.parametrize("ends", ["sys.exit(0)", "os._exit(0)", "raise KeyboardInterrupt"])
def test_a_file_that_ends_the_program_is_refused_before_a_run(tmp_path, monkeypatch, where, ends):
    monkeypatch.setattr(signal, "getsignal", lambda _: signal.SIG_IGN)
    text = broken.changed(broken.objective(), "import torch", "import os, sys, torch")
    places = {
        "import": ("@dataclass", f"if True:\n    {ends}\n@dataclass"),
        "build": ("    @property", f"    def __post_init__(self):\n        {ends}\n    @property"),
        "needs": ("        return Needs", f"        {ends}\n        return Needs"),
        "loss": ("        return LossOutput", f"        {ends}\n        return LossOutput"),
    }
    path = tmp_path / "mine.py"
    path.write_text(broken.changed(text, *places[where]))
    with pytest.raises(UserError, match=r"mine\.py: line \d+: (SystemExit|KeyboardInterrupt)"):
        check_objectives(parse_variants(str(path)), 1)


LATE = broken.objective(before="Mine.calls = getattr(Mine, 'calls', 0) + 1\nif Mine.calls > MOST:\n    ENDS")


@pytest.mark.slow
@pytest.mark.parametrize(("jobs", "ends"), [(1, "os._exit(0)"), (2, "sys.exit(0)"), (2, "os.kill(os.getpid(), 9)")])
def test_in_a_run_the_other_cells_are_played(tmp_path, jobs, ends):
    """Four cells, of which two end in training; the other two are whole at any --jobs, for a kill where cells have processes."""
    path = tmp_path / "late.py"
    text = broken.changed(LATE, "import torch", "import os, sys, torch", "ENDS", ends)
    path.write_text(text.replace("MOST", "1000"))
    (counted,) = parse_variants(str(path))
    check_objectives([counted], 1)
    path.write_text(text.replace("MOST", str(vars(load_objective(path))["calls"])))  # the first call in training ends it
    arguments = ("--name", "small", "--objectives", "./late.py,sft", "--seeds", "0,1", "--iters", "1", "--jobs", jobs)
    done = run_cli("run", "--recipe", SMALL_RECIPE, *arguments, cwd=tmp_path, check=False)
    assert done.returncode == 2, done.stderr
    failed = json.loads((tmp_path / "results/small/failed.json").read_text())
    assert sorted(failed) == ["late/seed-0", "late/seed-1"]
    assert all((tmp_path / f"results/small/sft/seed-{s}/iteration-0/evaluate").is_dir() for s in (0, 1))
