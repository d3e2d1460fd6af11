"""A user without a home, a terminal that knows ASCII alone, a long TMPDIR: mended, or one line; and nothing else is touched."""

import io
import os
import pwd
import subprocess
import sys
import tempfile
from multiprocessing import process
from multiprocessing.connection import Client, Listener
from pathlib import Path

import pytest

from harness.errors import UserError
from harness.security.console import SafeConsole
from harness.settings import process_environment as surroundings
from harness.settings.paths import STAND_IN_HOME_ENV, expand_user

SEEN = {"ascii": "5.0 +- 0.1 \\u{4e2d}", "latin-1": "5.0 ± 0.1 \\u{4e2d}", "utf-8": "5.0 ± 0.1 中"}


@pytest.mark.parametrize(("encoding", "seen"), SEEN.items())
def test_what_a_terminal_does_not_know_is_spelled(encoding, seen, monkeypatch):
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding=encoding, errors="strict"))
    surroundings.set_up_streams()
    SafeConsole().print("5.0 ± 0.1 中", soft_wrap=True)
    print("5.0 ± 0.1 中", flush=True)
    assert raw.getvalue().decode(encoding).splitlines() == [seen, seen]


def test_streams_that_are_closed_or_missing_are_left_alone(monkeypatch):
    monkeypatch.setattr(sys, "stdout", None)
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    surroundings.set_up_streams()


@pytest.fixture
def environment(monkeypatch):
    """An environment without a word on homes and caches, of a user that the system does not know."""
    for name in ("HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", STAND_IN_HOME_ENV):
        monkeypatch.setenv(name, "x")  # put back afterwards, whatever is set meanwhile
        monkeypatch.delenv(name)
    monkeypatch.setattr(surroundings, "notes", [])
    monkeypatch.setattr(pwd, "getpwuid", lambda uid: {}[uid])
    return monkeypatch


def test_libraries_without_a_home_keep_their_caches_for_the_command(environment):
    surroundings.set_up_caches()
    surroundings.set_up_caches()
    folder = Path(os.environ["XDG_CACHE_HOME"])
    assert folder.is_dir() and os.path.expanduser("~/x") == str(folder / "x")
    assert len(surroundings.notes) == 1 and "no home folder" in surroundings.notes[0]
    with pytest.raises(UserError, match="no home"):
        expand_user("~/runs")  # what a user types is not put into it
    folder.rmdir()


def test_an_empty_home_is_the_one_on_record(environment, tmp_path):
    environment.setenv("HOME", "")
    environment.setattr(pwd, "getpwuid", lambda _: pwd.struct_passwd(("n", "", 1, 1, "", str(tmp_path), "")))
    surroundings.set_up_caches()
    assert (os.environ["HOME"], "XDG_CACHE_HOME" in os.environ, surroundings.notes) == (str(tmp_path), False, [])


def test_a_cache_that_is_there_or_can_be_made_is_left_to_the_libraries(environment, tmp_path):
    environment.setenv("HOME", str(tmp_path))
    surroundings.set_up_caches()
    (tmp_path / ".cache").mkdir()
    environment.setattr(os, "access", lambda *_: False)  # models may lie in it that can be read
    surroundings.set_up_caches()
    assert "XDG_CACHE_HOME" not in os.environ and not surroundings.notes
    (tmp_path / ".cache").rmdir()
    surroundings.set_up_caches()
    assert os.environ["HOME"] == str(tmp_path) and "cannot be created" in surroundings.notes[0]
    Path(os.environ["XDG_CACHE_HOME"]).rmdir()


def test_sockets_have_a_short_folder_where_tmpdir_is_long(monkeypatch, tmp_path):
    config = process.current_process()._config
    monkeypatch.setattr(process.current_process(), "_config", {k: v for k, v in config.items() if k != "tempdir"})
    long = tmp_path / ("long" * 30)
    long.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(long))
    monkeypatch.setattr(surroundings, "SHORT_TEMP_DIRS", (str(tmp_path / "nowhere"),))
    with pytest.raises(UserError, match=r"^TMPDIR=.*too long.*--jobs 1$"):
        surroundings.check_sockets()
    monkeypatch.setattr(surroundings, "SHORT_TEMP_DIRS", ("/nowhere", "/tmp"))
    surroundings.check_sockets()
    with Listener(family="AF_UNIX") as listener, Client(listener.address):
        assert str(listener.address).startswith("/tmp/pymp-")
    assert tempfile.gettempdir() == str(long)  # files still go where they were asked to
    os.rmdir(process.current_process()._config["tempdir"])


def test_a_thread_that_is_left_does_not_keep_the_command_from_ending():
    text = (
        "import sys, threading, time\nfrom harness.settings import process_environment as env\nbefore = env.nondaemon_threads()\n"
        "threading.Thread(target=time.sleep, args=(1000,)).start()\nenv.exit_despite_threads(before, 3, 0.1)\nsys.exit(3)"
    )
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 3 and "ending a thread" in done.stderr
