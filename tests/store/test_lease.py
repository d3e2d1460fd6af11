"""One process at a time in a folder, on every file system: owners that live, die, sleep, and are somewhere else."""

import errno
import fcntl
import json
import os
import platform
import signal
import subprocess
import sys
import threading
import time
from dataclasses import asdict, replace

import pytest

from harness.errors import UserError
from harness.sources.fetch import _lock_mirror
from harness.store import lease as leases
from harness.store import process_identity as owners
from harness.store.lease import LEASE, Lease, LeaseLost, LeaseTaken, folder_lock
from harness.store.process_identity import ProcessIdentity, current_process, parse_identity
from harness.store.run_folder import RunFolder

HOLD = (
    "import sys, time; from pathlib import Path; from harness.store.lease import folder_lock\n"
    "with folder_lock(Path(sys.argv[1])): print('held', flush=True); time.sleep(60)"
)
# Eight at once on one dead owner's file: each tries, holds for a while where it has it, and says so.
CONTEND = """
import sys, time
from pathlib import Path
from harness.store.lease import Lease, LeaseTaken
folder = Path(sys.argv[1])
lease = Lease(folder / ".lease")
print("ready", flush=True)
sys.stdin.readline()
try:
    lease.acquire()
except LeaseTaken as error:
    print("taken", flush=True)
else:
    print("has it", flush=True)
    sys.stdin.readline()
    lease.check()
    print("still", flush=True)
"""


def process(code, folder):
    command = [sys.executable, "-c", code, str(folder)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def dead_process():
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    return ended.pid


def leave(path, **changed):
    """A lease that its owner did not give back."""
    owner = replace(current_process(), **changed)
    path.write_text(json.dumps({**asdict(owner), "beats": 3}).ljust(leases.FILE_BYTES))
    return owner


ELSEWHERE = {"another host": {"host": "far", "boot": "other"}, "another container of this host": {"namespace": "pid:[1]"}}


@pytest.fixture
def quick(monkeypatch):
    """Heartbeats and patience of a fraction of a second."""
    monkeypatch.setattr(Lease.__init__, "__defaults__", (0.05, 0.4))


def test_the_holder_is_named_and_nothing_is_left_when_it_gives_the_folder_back(tmp_path):
    with folder_lock(tmp_path / "run"):
        found = parse_identity((tmp_path / "run" / LEASE).read_bytes())
        assert (found.pid, found.host) == (os.getpid(), platform.node())
        said = rf"process {os.getpid()} on .* is working on this run; wait for it, or use --name OTHER"
        with pytest.raises(UserError, match=said), folder_lock(tmp_path / "run"):
            pass
        assert (tmp_path / "run" / LEASE).exists(), "the refused one removes nothing"
    assert list((tmp_path / "run").iterdir()) == []


def test_a_killed_holder_is_taken_over_at_once_even_before_its_parent_has_waited_for_it(tmp_path):
    holder = process(HOLD, tmp_path / "run")
    assert holder.stdout.readline() == "held\n"
    with pytest.raises(UserError, match=rf"process {holder.pid} on .* is working on this run"), folder_lock(tmp_path / "run"):
        pass
    os.kill(holder.pid, signal.SIGKILL)
    while owners.start_time(holder.pid) != "ended":
        time.sleep(0.01)
    with folder_lock(tmp_path / "run", lambda line: pytest.fail(f"it waited: {line}")):
        assert parse_identity((tmp_path / "run" / LEASE).read_bytes()).pid == os.getpid()
    holder.communicate()
    assert list((tmp_path / "run").iterdir()) == []


@pytest.mark.parametrize("links", [True, False])
@pytest.mark.parametrize("number", [errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.EINVAL])
def test_where_a_file_system_has_no_locks_it_is_held_all_the_same(tmp_path, monkeypatch, number, links):
    """Nor links. Also in a folder in which an earlier program left the file of its lock."""

    def refusing(number):
        def refuse(*_, **__):
            raise OSError(number, os.strerror(number))

        return refuse

    monkeypatch.setattr(fcntl, "flock", refusing(number))
    monkeypatch.setattr(fcntl, "lockf", refusing(number))
    if not links:
        monkeypatch.setattr(os, "link", refusing(errno.EPERM))
    (tmp_path / ".lock").touch()
    with folder_lock(tmp_path) as lease:
        lease.check()
        with pytest.raises(UserError, match="is working on this run"), folder_lock(tmp_path):
            pass
        lease.check()
    assert leave(tmp_path / LEASE, pid=dead_process()).is_alive() is False
    with folder_lock(tmp_path) as lease:
        lease.check()
    assert [path.name for path in tmp_path.iterdir()] == [".lock"]


def test_a_process_with_the_number_of_a_dead_one_is_not_taken_for_it(tmp_path):
    assert leave(tmp_path / LEASE, started="1").pid == os.getpid()
    with folder_lock(tmp_path) as lease:
        lease.check()


@pytest.mark.parametrize("where", ELSEWHERE.values(), ids=ELSEWHERE)
def test_an_owner_elsewhere_is_known_to_live_by_its_heartbeat_and_not_by_its_clock(tmp_path, quick, where):
    """The date in its file is of no account: the contents have to change."""
    path = tmp_path / LEASE
    owner = leave(path, **where, since="2001-01-01 00:00:00+0000", pid=dead_process())
    assert owner.is_alive() is None
    said = []
    until, handle = threading.Event(), os.open(path, os.O_RDWR)

    def beating():
        beats = 3
        while not until.wait(0.05):
            beats += 1
            leases._write(handle, owner, beats)

    thread = threading.Thread(target=beating)
    thread.start()
    try:
        with pytest.raises(LeaseTaken, match=rf"process {owner.pid} on {owner.host} \(since 2001"):
            Lease(path).acquire(said.append)
    finally:
        until.set()
        thread.join()
        os.close(handle)
    assert f"process {owner.pid} on {owner.host}" in said[0] and "waiting up to 0.4 s" in said[0]


@pytest.mark.parametrize("where", ELSEWHERE.values(), ids=ELSEWHERE)
def test_an_owner_elsewhere_is_taken_over_when_its_heartbeat_has_stopped_and_not_before(tmp_path, quick, where):
    leave(tmp_path / LEASE, **where, since="2999-01-01 00:00:00+0000")
    began = time.monotonic()
    with folder_lock(tmp_path) as lease:
        assert time.monotonic() - began >= 0.4
        lease.check()
        assert parse_identity((tmp_path / LEASE).read_bytes()) == lease.owner


@pytest.mark.parametrize("contents", [b"", b"[]", b'{"pid": -1}', b"\xff\xfe", b"[" * 100_000])
def test_a_file_that_names_nobody_is_taken_over_when_it_stays_so(tmp_path, quick, contents):
    (tmp_path / LEASE).write_bytes(contents)
    with folder_lock(tmp_path) as lease:
        lease.check()


def test_the_heartbeat_changes_the_file_and_nothing_but_its_count(tmp_path, quick):
    with folder_lock(tmp_path) as lease:
        seen = set()
        until = time.monotonic() + 20
        while len(seen) < 3 and time.monotonic() < until:
            seen.add((tmp_path / LEASE).read_bytes())
            time.sleep(0.02)
        beats = [json.loads(raw)["beats"] for raw in seen]
        assert len(set(beats)) == len(seen) >= 3
        assert {parse_identity(raw) for raw in seen} == {lease.owner}


def test_of_eight_contenders_for_a_dead_owners_lease_one_has_it(tmp_path):
    for trial in range(3):
        folder = tmp_path / str(trial)
        folder.mkdir()
        leave(folder / LEASE, pid=dead_process())
        contenders = [process(CONTEND, folder) for _ in range(8)]
        assert [c.stdout.readline() for c in contenders] == ["ready\n"] * 8
        for contender in contenders:
            contender.stdin.write("go\n")
            contender.stdin.flush()
        said = [c.stdout.readline() for c in contenders]
        assert sorted(said) == ["has it\n"] + ["taken\n"] * 7
        winner = contenders[said.index("has it\n")]
        assert winner.communicate("end\n")[0] == "still\n"
        for contender in contenders:
            contender.communicate()


def test_a_contender_that_took_a_fresh_lease_for_the_dead_one_puts_it_back(tmp_path):
    """Between its look and its renaming another has taken over: what it then has in hand is the other's."""
    path = tmp_path / LEASE
    dead = leave(path, pid=dead_process())
    stale = path.read_bytes()
    winner, late = Lease(path), Lease(path)
    winner.acquire()
    fresh = path.read_bytes()
    reads = iter([stale])
    late._read = lambda: next(reads, fresh)  # it saw the dead one's
    assert late._remove_if_same(dead.token) is False
    winner.check()
    assert path.read_bytes()[:100] == fresh[:100]
    winner.release()
    assert list(tmp_path.iterdir()) == []


def test_a_holder_whose_lease_was_taken_or_whose_folder_is_another_stops_in_one_line(tmp_path):
    run = RunFolder(tmp_path / "run")
    with run.lock():
        with run.write_phase("data", {}, {}) as writer:
            (writer.path / "train.jsonl").write_text("")
        thief = leave(tmp_path / "run" / LEASE, host="thief")
        said = rf"run: process {thief.pid} on thief .* has taken it while this command worked in it"
        with pytest.raises(LeaseLost, match=said):
            run.journal("more")
        with pytest.raises(LeaseLost), run.write_phase("initial/probe", {}, {}):
            raise AssertionError("nothing is begun")
        assert not (tmp_path / "run" / "initial").exists()
    assert parse_identity((tmp_path / "run" / LEASE).read_bytes()) == thief, "it does not remove another's"


@pytest.mark.parametrize("replaced", [False, True])
def test_a_folder_that_is_renamed_or_replaced_while_it_is_worked_in_is_one_line_and_nothing_is_written(tmp_path, replaced):
    run = RunFolder(tmp_path / "run")

    def train_while_it_moves():
        with run.write_phase("a/train", {}, {}) as writer:
            (tmp_path / "run").rename(tmp_path / "elsewhere")
            if replaced:
                (tmp_path / "run" / "a" / "train.partial").mkdir(parents=True)
            (writer.path / "steps.jsonl").write_text("1")

    said = "run: it was renamed, removed or replaced while this command worked in it"
    with run.lock():
        with pytest.raises(LeaseLost, match=said):
            train_while_it_moves()
        with pytest.raises(LeaseLost, match=said):
            run.journal("more")
        with pytest.raises(LeaseLost, match=said), run.write_phase("a/probe", {}, {}):
            pass
    left = [p.relative_to(tmp_path / "run").as_posix() for p in (tmp_path / "run").rglob("*") if p.is_file()]
    assert left == (["a/train.partial/steps.jsonl"] if replaced else [])


def test_a_process_that_works_for_the_holder_stops_with_it(tmp_path):
    run, worker = RunFolder(tmp_path / "run"), RunFolder(tmp_path / "run")
    with pytest.raises(LeaseLost, match="no process holds it"):
        worker.join_lock()
    with run.lock():
        worker.join_lock()
        worker.journal("done")
    with pytest.raises(LeaseLost):
        worker.journal("done")


def test_what_killed_contenders_left_is_swept_away_and_what_living_ones_need_is_not(tmp_path):
    leave(tmp_path / f"{LEASE}.killed", pid=dead_process())
    leave(tmp_path / f"{LEASE}.living")
    leave(tmp_path / f"{LEASE}.elsewhere", boot="other")
    with folder_lock(tmp_path):
        pass
    assert {path.name for path in tmp_path.iterdir()} == {f"{LEASE}.living", f"{LEASE}.elsewhere"}


def test_a_system_that_says_nothing_of_boots_and_containers_is_known_by_its_name(monkeypatch):
    """As without /proc."""
    monkeypatch.setattr(owners, "boot_id", lambda: None)
    monkeypatch.setattr(owners, "pid_namespace", lambda: None)
    mine = current_process()
    assert mine.is_alive() is True and replace(mine, pid=dead_process()).is_alive() is False
    assert replace(mine, host="far").is_alive() is None and replace(mine, started=None).is_alive() is None
    assert ProcessIdentity("t", "far", "b", "n", 1, None, "now").is_alive() is None


def test_a_mirror_is_fetched_into_by_one_process_at_a_time(tmp_path):
    said = rf"--to .*: process {os.getpid()} on .* is fetching into this folder; wait for it"
    with _lock_mirror(tmp_path / "mirror", print), pytest.raises(UserError, match=said), _lock_mirror(tmp_path / "mirror", print):
        pass
    assert list((tmp_path / "mirror").iterdir()) == []
