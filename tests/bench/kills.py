"""Kills: a short run ended by SIGKILL at moments of all its phases, every third time with one bit flipped in a file it had kept.

Then the same command is repeated (with --recompute where it says so) and every phase is compared with an unbroken run's: its
inputs, settings and the bytes of its files. Only what tells the time is left out: the seconds in the log of steps.

A kill is cheap because libraries, model and tasks are loaded once and every command is a fork; tables, figures and report are not
drawn, since they are made anew from the phases whenever they are asked for.
"""

import contextlib
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

from harness.files import read_jsonl
from tests.bench.measure import ROOT, report
from tests.helpers import damage

RUN = Path("results/kills")
LONGEST = 600.0  # seconds of one command
SHORT = (
    "run", "--recipe", str(ROOT / "tests/data/small.toml"), "--name", "kills", "--jobs", "1", "--iters", "2",
    "--max-examples", "8", "--set", "training.save_seconds=0", "--set", "training.epochs=3", "--set", "training.batch_size=3",
    "--set", "training.micro_batch=3", "--set", "generation.shard=3", "--set", "evaluation.shard=3", "--set", "probe.prompts=2",
)  # fmt: skip
# What a run keeps of a phase that is not finished, by how its files are called, as seen from the run folder.
KEPT = {
    "training state": "*/seed-*/iteration-*/train.partial/unfinished/training.safetensors",
    "log of steps": "*/seed-*/iteration-*/train.partial/unfinished/steps.jsonl",
    "what it is made from": "**/unfinished/begun.json",
    "samples": "**/unfinished/drawn-*.json",
    "which attempt": "**/unfinished/attempts.json",
    "answers": "**/evaluate/two.partial/unfinished/*-0*.json",
    "machine": "**/unfinished/hardware.json",
}
JUDGEMENTS = {"judgements": "judgements/judged/*.jsonl"}


@dataclass
class KillResults:
    """What came of all kills: how many, what was flipped, how often a line said so, and what differed afterwards."""

    killed: int = 0
    ended_before: int = 0
    phases_hit: Counter[str] = field(default_factory=Counter)
    flipped: Counter[str] = field(default_factory=Counter)
    said: Counter[str] = field(default_factory=Counter)
    recomputed: int = 0
    wrong: list[str] = field(default_factory=list)


def run(count: int, save: bool, seed: int = 0) -> KillResults:
    """`count` kills, each of a run of its own; raises SystemExit where one did not end as the unbroken run."""
    load_once()
    began, found, rng = time.monotonic(), KillResults(), random.Random(seed)
    with tempfile.TemporaryDirectory() as scratch, judge_server(Path(scratch)) as url:
        runs = [
            ShortRun(Path(scratch), "spin", (), KEPT),
            ShortRun(Path(scratch), "sft", judge_arguments(Path(scratch), url), JUDGEMENTS),
        ]
        for number in range(count):
            command = runs[number % 7 == 6]
            kinds = list(command.partial_files)
            kind = kinds[(number // 3) % len(kinds)] if number % 3 == 2 or command is runs[1] else None
            moment = (number * 0.618 + rng.random() / count) % 1.0  # evenly spread, whatever the count
            kill(command, number, moment, kind, found, rng)
            shutil.rmtree(command.folder / str(number), ignore_errors=True)
    seconds = time.monotonic() - began
    counts = {
        "kills": found.killed,
        "ended before the kill": found.ended_before,
        "bits flipped": found.flipped.total(),
        "of these named in a line": found.said.total(),
        "needed --recompute": found.recomputed,
        "ended otherwise than the unbroken run": len(found.wrong),
    }
    facts = {
        "flipped by kind": found.flipped, "named by kind": found.said, "phases in the making when killed": found.phases_hit,
        "otherwise": found.wrong, "seed": seed, "seconds": round(seconds, 1),
    }  # fmt: skip
    report("kills", "kills, each mended by the same command", ("", "count"), list(counts.items()), counts | facts, save)
    if found.wrong:
        raise SystemExit(1)
    return found


def load_once() -> None:
    """Libraries, model and tasks, which no kill changes, for all forks; no threads are started. Of this process alone."""
    import importlib

    from harness.config import LoraConfig, ModelConfig
    from harness.language.benchmark.lm_eval_benchmark import load_lm_eval_benchmark
    from harness.language.model.loading import load_policy
    from harness.language.world import World
    from harness.loop.suite import load_suite

    for name in ("harness.launch.workers", "harness.language.benchmark.lm", "lm_eval.evaluator", "datasets", "openai"):
        importlib.import_module(name)
    policy = load_policy(ModelConfig(path="builtin:lab/base", cores=1), LoraConfig(rank=4), "auto")
    tasks = load_lm_eval_benchmark(load_suite("builtin:../tests/data/two.toml"), None, None, False)
    World.load_policy = lambda *given, **named: policy
    World.load_benchmark = lambda *given, **named: tasks


@dataclass
class ShortRun:
    """One short run: its objectives and further arguments, what it keeps, and the same run unbroken."""

    folder: Path
    objectives: str
    more: Sequence[str]
    partial_files: dict[str, str]
    unbroken_phases: dict[str, Any] = field(default_factory=dict)
    seconds: float = 0.0

    def __post_init__(self) -> None:
        place = self.folder / f"whole-{self.objectives}"
        began = time.monotonic()
        code, said = self.play(place)
        self.seconds = time.monotonic() - began
        if code != 0:
            raise SystemExit(f"the unbroken run of {self.objectives} ended with {code}:\n{said}")
        self.unbroken_phases = read_phases(place / RUN)

    def play(self, place: Path, *more: str, seconds: float = LONGEST, stop: Iterator[bool] | None = None) -> tuple[int, str]:
        """The command in a fork of this process, in a group of its own: exit code (-9 where it was killed) and what was said.

        It is killed after `seconds`, or as soon as `stop` says so.
        """
        place.mkdir(exist_ok=True)
        child = os.fork()
        if not child:
            self._play_in_child(place, more)
        last = time.monotonic() + seconds
        while not (ended := os.waitpid(child, os.WNOHANG))[0]:
            if time.monotonic() >= last or (stop and next(stop)):
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(child, signal.SIGKILL)
                ended = os.waitpid(child, 0)
                break
            time.sleep(0.002)
        return os.waitstatus_to_exitcode(ended[1]), (place / "said").read_text(errors="replace")

    def _play_in_child(self, place: Path, more: Sequence[str]) -> NoReturn:
        try:
            os.setpgid(0, 0)
            out = os.open(place / "said", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(out, 1)
            os.dup2(out, 2)
            os.chdir(place)
            code = _play([*SHORT, "--objectives", self.objectives, *self.more, *more])
            sys.stdout.flush()
            sys.stderr.flush()
        except BaseException as error:
            os.write(2, repr(error).encode())
            code = 70
        os._exit(code)


def _play(arguments: Sequence[str]) -> int:
    """The program's own entry with these arguments; the views are left out."""
    from harness.cli import main
    from harness.commands import run as command
    from harness.commands import study
    from harness.loop.training_loop import TrainingLoop

    TrainingLoop.refresh = lambda self: None
    command.write_and_list_views = study.write_and_list_views = lambda run, reports, failed: 2 if failed else 0
    sys.argv = ["harness", *arguments]
    try:
        main()
    except SystemExit as end:
        return int(end.code or 0)
    return 0


def kill(command: ShortRun, number: int, moment: float, kind: str | None, found: KillResults, rng: random.Random) -> None:
    """One case: killed at `moment` of the run, or shortly after a file of `kind` was kept; mended, then compared."""
    place = command.folder / str(number)
    if kind:
        after, more = rng.uniform(0.0, 0.05), rng.randrange(4)
        code, said = command.play(place, stop=_kept_for(place / RUN, command.partial_files[kind], after, more))
    else:
        code, said = command.play(place, seconds=moment * command.seconds)
    if code != -signal.SIGKILL:
        found.ended_before += 1
        if code != 0:
            found.wrong.append(f"case {number}: ended by itself with {code}: {said.strip()[-200:]}")
        return
    found.killed += 1
    hit = sorted(path.name.removesuffix(".partial") for path in (place / RUN).rglob("*.partial"))
    found.phases_hit.update(hit or ["none"])
    case, flipped = f"case {number}, killed in {', '.join(hit) or 'no phase'}", None
    if kind and (files := [p for p in sorted((place / RUN).glob(command.partial_files[kind])) if p.stat().st_size]):
        flipped = rng.choice(files)
        bit = rng.randrange(8 * flipped.stat().st_size)
        flipped.write_bytes(damage.flipped(flipped.read_bytes(), bit))
        case += f", bit {bit} of {flipped.relative_to(place / RUN)} flipped"
        found.flipped[kind] += 1
    code, said = command.play(place)
    if code == 1 and "--recompute" in said:
        found.recomputed += 1
        code, said = command.play(place, "--recompute")
    if kind and flipped is not None and flipped.name in said and "damaged" in said:
        found.said[kind] += 1
    if code != 0:
        found.wrong.append(f"{case}: the same command ended with {code}: {said.strip()[-200:]}")
        return
    now = read_phases(place / RUN)
    phases = sorted(command.unbroken_phases.keys() | now.keys())
    found.wrong += [f"{case}: {p} differs" for p in phases if command.unbroken_phases.get(p) != now.get(p)][:1]


def _kept_for(run: Path, pattern: str, seconds: float, more: int) -> Iterator[bool]:
    """True once files of the pattern have been seen in `more` + 1 states and `seconds` have passed since."""
    states: set[tuple[str, int, int]] = set()
    while len(states) <= more:
        with contextlib.suppress(OSError):  # renamed while it is looked at
            states |= {(str(p), p.stat().st_size, p.stat().st_mtime_ns) for p in run.glob(pattern)}
        yield False
    last = time.monotonic() + seconds
    while True:
        yield time.monotonic() >= last


def read_phases(run: Path) -> dict[str, Any]:
    """Folder of every finished phase -> its inputs, settings and files; of the log of steps everything but the seconds."""
    found: dict[str, Any] = {}
    for path in run.rglob("manifest.json"):
        name = path.parent.relative_to(run).as_posix()
        if ".abandoned" in name or ".damaged" in name:
            continue
        manifest = json.loads(path.read_text())
        files = dict(manifest["outputs"])
        if "steps.jsonl" in files:
            steps = read_jsonl(path.parent / "steps.jsonl")
            files["steps.jsonl"] = [{k: v for k, v in row.items() if k != "seconds"} for row in steps]
        found[name] = [manifest["inputs"], manifest["settings"], files]
    return found


@contextlib.contextmanager
def judge_server(folder: Path) -> Iterator[str]:
    """A judge on this machine in a process of its own, a little slow, so that a kill can come between two of its answers."""
    from tests.language.judge.judge_stub import serving, write_suite

    write_suite(folder, at_once=1)
    mine, theirs = os.pipe()
    child = os.fork()
    if not child:
        try:
            os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # it would tell of every client that was killed
            with serving() as stub:
                stub.behave = lambda request, count: time.sleep(0.03)
                os.write(theirs, f"{stub.url}\n".encode())
                time.sleep(24 * 3600)
        finally:
            os._exit(0)
    try:
        yield os.fdopen(mine).readline().strip()
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def judge_arguments(folder: Path, url: str) -> list[str]:
    settings = ("--set", f"evaluation.judge_endpoint={url}", "--set", "evaluation.judge_model=stub")
    return ["--suite", str(folder / "judged.toml"), "--iters", "1", *settings]
