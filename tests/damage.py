"""Damage to the files of a run, and the one line that a command says of it."""

import json

from tests.conftest import run_cli_in_process


def flipped(raw, bit):
    changed = bytearray(raw)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def flip(path):
    """Turn one bit in the middle of a file round."""
    raw = path.read_bytes()
    path.write_bytes(flipped(raw, 8 * (len(raw) // 2)))


def edit_json(path, **changes):
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def refused(folder, *arguments):
    """The line with which a command ends that is refused: all that it complains of, but for what a run tells of its progress."""
    done = run_cli_in_process(*arguments, cwd=folder, check=False)
    lines = [line for line in done.stderr.splitlines() if line.startswith("harness: ") or arguments[0] not in ("run", "study")]
    assert (done.returncode, len(lines)) == (1, 1), done.stderr
    assert "Traceback" not in done.stderr
    return lines[0]


def events(run):
    """(event, phase) of every line of a run's journal."""
    rows = map(json.loads, (run / "journal.jsonl").read_text().splitlines())
    return [(row["event"], row.get("phase")) for row in rows]
