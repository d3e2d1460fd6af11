"""What an objective's file does beside mathematics is told: imports, files, processes, printing, and ways to end the process."""

import os
from pathlib import Path

import pytest

from harness.discovery.batches import make_batch
from harness.discovery.isolated import run_isolated_checks
from harness.discovery.review import check_file, check_side_effects
from harness.discovery.source_file import SideEffectMonitor, foreign_imports
from harness.discovery.variants import find_objective, load_objective, parse_variants
from harness.errors import UserError
from tests.conftest import ROOT, run_cli, run_cli_in_process

SOURCE = (ROOT / "objectives" / "space.py").read_text()
LOSS = "        shift = math.log(self.mu)\n"
assert LOSS in SOURCE


@pytest.fixture
def written(tmp_path, monkeypatch):
    """A file of SPACE with lines put before its first and into its loss."""
    monkeypatch.chdir(tmp_path)

    def write(top="", inside="", name="mine"):
        head, _, rest = SOURCE.partition("\n\n")
        text = f"{head}\n\n{top}\n{rest}".replace(LOSS, LOSS + (f"        {inside}\n" if inside else ""))
        (tmp_path / f"{name}.py").write_text(text)
        return tmp_path / f"{name}.py"

    return write


# ---------------------------------------------------------------- imports


@pytest.mark.parametrize(
    ("line", "module"),
    [
        ("import numpy as np", "numpy"),
        ("import torch, scipy.stats", "scipy.stats"),
        ("from transformers import AutoModel", "transformers"),
        ("from harness.analysis.stats import mean", "harness.analysis.stats"),
        ("from . import space", "."),
        ("def f():\n    import pandas", "pandas"),
        ("try:\n    import numpy\nexcept ImportError:\n    pass", "numpy"),
        ("import importlib\nimportlib.import_module('numpy.linalg')", "numpy.linalg"),
        ("x = __import__('numpy')", "numpy"),
        ("import importlib\nname = 'num' + 'py'\nimportlib.import_module(name)", "name"),
        ("from typing import TYPE_CHECKING\nif not TYPE_CHECKING:\n    import numpy", "numpy"),
        ("import math, statistics, functools", None),
        ("import torch.nn.functional as F\nfrom torch.distributions import Normal", None),
        ("from objectives import Batch", None),
        ("from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import numpy", None),
    ],
)
def test_an_import_beside_torch_and_the_standard_library_is_found(line, module, written):
    path = written(line)
    assert [name for name, _ in foreign_imports(path)] == ([module] if module else [])
    result = check_file(path)
    assert (result.verdict, f"imports {module} (line " in result.reason) == (("FAIL", True) if module else ("pass", False))


# ---------------------------------------------------------------- files, processes, printing


def watched(path):
    """What the two lines on the file's doings say after it was loaded and its loss computed."""
    watch = SideEffectMonitor(path)
    with watch.recording():
        objective = load_objective(path)()
        objective.loss(make_batch(objective))
    return [(r.verdict, r.reason) for r in check_side_effects(watch)]


@pytest.mark.parametrize(
    ("inside", "said"),
    [
        ("open('kept.txt', 'a').close()", "writes a file kept.txt (line "),
        ("__import__('pathlib').Path('kept.txt').write_text('x')", "writes a file kept.txt (line "),
        ("__import__('tempfile').NamedTemporaryFile().close()", "writes a file /"),
        ("__import__('logging').FileHandler('kept.log').close()", "writes a file /"),
        ("__import__('torch').save(batch.real.length, 'kept.pt')", "writes a file kept.pt (line "),
        ("__import__('torch').from_file(__file__, size=1, dtype=__import__('torch').uint8)", "reads a file /"),
        ("__import__('os').makedirs('kept', exist_ok=True)", "makes a folder kept (line "),
        ("open(__file__).close()", "reads a file /"),
        ("__import__('os').listdir('.')", "reads a folder . (line "),
        ("__import__('subprocess').run(['true'])", "starts a program"),
        ("__import__('os').system('true')", "starts a program"),
        ("__import__('socket').socket().close()", "uses the network"),
        ("__import__('os').environ['HARNESS_TRIED'] = 'x'", "changes the environment"),
        ("__import__('sqlite3').connect(':memory:').close()", "opens a data base"),
    ],
)
def test_what_a_loss_reads_or_writes_is_named_with_its_line(inside, said, written, monkeypatch):
    monkeypatch.setenv("HARNESS_TRIED", "before")
    (verdict, reason), printed = watched(written(inside=inside))
    assert (verdict, printed[0]) == ("FAIL", "pass") and said in reason


def test_what_is_written_while_the_file_is_loaded_counts_too(written):
    verdict, reason = watched(written("open('kept.txt', 'w').close()"))[0]
    assert (verdict, "writes a file kept.txt (line 3)" in reason) == ("FAIL", True)


def test_what_python_reads_for_itself_does_not_count(written):
    """A module imported late, which is read from its file, and a file opened by somebody else meanwhile."""
    path = written(inside="import colorsys")
    assert watched(path) == [("pass", ""), ("pass", "")]
    watch = SideEffectMonitor(path)
    with watch.recording():
        Path("other.txt").write_text("x")
    assert watch.effects == []


def test_printing_is_a_warning_that_shows_it(written):
    outside, (verdict, reason) = watched(written(inside="print('margin is', 3)"))
    assert (outside[0], verdict) == ("pass", "warning") and 'prints "margin is 3"' in reason


# ---------------------------------------------------------------- the command


def test_a_name_beside_a_file_of_that_name_says_what_to_type(written):
    written(name="nca")
    with pytest.raises(UserError, match=r'unknown objective "nca"; for the file nca.py of this folder type \./nca\.py'):
        find_objective("nca")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("./mine.py:training.lr=1", "takes hyper-parameters alone"),
        ("./mine.py,space", "expected one objective, found 2; check one at a time"),
        ("./mine.py:data.examples=3", "takes hyper-parameters alone"),
    ],
)
def test_what_cannot_be_checked_is_one_line(text, said, written, tmp_path):
    written()
    done = run_cli_in_process("objectives", "check", text, cwd=tmp_path, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert said in done.stderr


def test_the_command_checks_a_variant_in_a_process_of_its_own(written, tmp_path):
    """SPACE at mu 3 draws three samples: their slopes; a file written from an empty folder, and nothing left in this one."""
    written(inside="open('kept.txt', 'a').close()")
    done = run_cli_in_process("objectives", "check", "./mine.py:mu=3", cwd=tmp_path, check=False)
    assert done.returncode == 1, done.stderr
    assert "mine-mu3: mine.py" in done.stdout
    # softplus(log 3 - r) at 0: 3 / (1 + 3) = 0.75; 3 softplus(s - log 3): 3 / (1 + 3) together
    assert "that of the 3 synthetic responses together is pushed down with slope 0.75" in done.stdout
    assert "real response's log-probability is pushed up with slope 0.75" in done.stdout
    (line,) = [line for line in done.stdout.splitlines() if line.startswith(("FAIL", "warning"))]
    assert line.startswith("FAIL  nothing outside is read or written: writes a file kept.txt (line ")
    assert os.listdir(tmp_path) == ["mine.py"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("top", "inside", "said"),
    [
        ("", "raise SystemExit(0)", "FAIL  the loss can be computed: the loss ends the process with sys.exit(0)"),
        ("", "__import__('os')._exit(0)", "the process ended at: the slopes at the start (exit code 0)"),
        ("", "__import__('os').abort()", "signal SIGABRT"),
        ("", "torch.zeros(10**12)", "the loss needs more memory than a batch of a few prompts can"),
        ("", "bytearray(10**12)", "the loss needs more memory than a batch of a few prompts can"),
        ("", "torch.save(1, 'kept.pt')", "writes a file kept.pt"),
        ("", "1 / 0", "FAIL  the loss can be computed: ZeroDivisionError: division by zero"),
        ("import sys; sys.exit(0)", "", "mine.py: line 3: SystemExit: 0"),
        ("import os; os._exit(0)", "", "mine.py: line 3: SystemExit: 0"),
    ],
)
def test_what_ends_or_harms_the_process_is_one_line(top, inside, said, written, tmp_path):
    written(top or "import torch", inside)
    done = run_cli("objectives", "check", "./mine.py", cwd=tmp_path, check=False)
    assert done.returncode == 1 and "Traceback" not in done.stdout + done.stderr, done.stderr
    (line,) = [line for line in (done.stdout + done.stderr).splitlines() if line.startswith(("FAIL", "harness: "))]
    assert said in line


@pytest.mark.slow
def test_an_endless_loop_ends_by_time(written):
    written(inside="exec('while True: pass')")
    (variant,) = parse_variants("./mine.py")
    reasons = [reason for _, verdict, reason in run_isolated_checks(variant, seconds=2) if verdict == "FAIL"]
    assert reasons == ["nothing for 2 seconds at: the slopes at the start; is there an endless loop?"]
