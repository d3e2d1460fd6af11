"""Damage to the files of a run, and the one line that a command says of it."""

import json

from tests.conftest import rewrite_manifest, run_cli_in_process


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


def edit_manifest(path, key, **changes):
    """Other entries under a key of a phase's manifest, whose checksum is true of them; None takes an entry away."""
    manifest = json.loads(path.read_text())
    entries = {name: value for name, value in {**manifest[key], **changes}.items() if value is not None}
    rewrite_manifest(path, {**manifest, key: entries})


def refused(folder, *arguments, after_progress=False):
    """The one line with which a command is refused. after_progress: after a run has told of its progress in others."""
    done = run_cli_in_process(*arguments, cwd=folder, check=False)
    lines = done.stderr.splitlines()
    assert done.returncode == 1 and "Traceback" not in done.stderr, done.stderr
    if after_progress:
        lines = [line for line in lines if line.startswith("harness: ")]
    assert len(lines) == 1, done.stderr
    return lines[0]


def events(run):
    """(event, phase) of every line of a run's journal."""
    rows = map(json.loads, (run / "journal.jsonl").read_text().splitlines())
    return [(row["event"], row.get("phase")) for row in rows]
