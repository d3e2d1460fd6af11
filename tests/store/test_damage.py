"""Whatever stands in any JSON file of a run folder: one line from every command, and what that line names mends the run.

Every damage is tried on a third of the files, in turn, so that every file has three kinds of it.
"""

import json
import shutil

import pytest

from harness.commands import run as run_module
from harness.files import read_jsonl
from harness.store.verification import checksum
from tests.bench.kills import read_phases
from tests.conftest import SMALL_RECIPE, run_cli_in_process
from tests.helpers.damage import flipped

pytestmark = pytest.mark.slow
RUN = "results/small"
COMMAND = ("run", "--recipe", SMALL_RECIPE)
PLAYER = "space/seed-0/iteration-1"
FILES = (
    "run.json", "failed.json", "data/manifest.json", "initial/evaluate/two/manifest.json", "initial/probe/measurements.json",
    "initial/seed-0/generate/k-0/manifest.json", "initial/seed-0/generate/k-0/first_ids.json",
    *(f"{PLAYER}/{name}" for name in ("train/manifest.json", "train/adapter/adapter_config.json", "evaluate/two/scores.json",
                                      "evaluate/two/items.json", "evaluate/two/lm_eval.json", "probe/manifest.json")),
)  # fmt: skip


def other_format(raw):
    """Where the file says its format, of another one; the checksum is true of it."""
    fields = json.loads(raw)
    if not isinstance(fields, dict) or "format_version" not in fields:
        return b'{"format_version": 99}'
    fields["format_version"] = 99
    return json.dumps(fields | ({"checksum": checksum(fields)} if "checksum" in fields else {})).encode()


def nothing_said(raw):
    fields = json.loads(raw)
    if not isinstance(fields, dict):
        return b"null"
    fields = dict.fromkeys(fields)
    return json.dumps(fields | ({"format_version": 3, "checksum": checksum(fields)} if "checksum" in fields else {})).encode()


DAMAGES = {
    "[]": lambda raw: b"[]", "null": lambda raw: b"null", "{}": lambda raw: b"{}", "half": lambda raw: raw[: len(raw) // 2],
    "binary": lambda raw: bytes(range(256)), "flipped": lambda raw: flipped(raw, 8 * (len(raw) // 3) + 2),
    "other format": other_format, "nothing said": nothing_said, "gone": lambda raw: None,
}  # fmt: skip


def one_line(done):
    said = [line for line in done.stderr.splitlines() if line.startswith("harness: ")]  # beside what a run tells of its progress
    assert "Traceback" not in done.stderr + done.stdout
    assert (done.returncode, len(said)) in ((0, 0), (1, 1)), done.stderr
    return said[0] if said else ""


@pytest.mark.parametrize("damage", DAMAGES)
def test_one_line_from_every_command_and_what_it_names_mends_the_run(played, tmp_path, monkeypatch, damage):
    monkeypatch.setattr(run_module, "write_and_list_views", lambda run, reports, failed: 2 if failed else 0)
    shift = list(DAMAGES).index(damage)
    whole = read_phases(played / RUN)
    example = read_jsonl(played / RUN / "data/train.jsonl")[0]["id"]
    looks = [line.split() for line in ("status small", f"trace small {example}", "push small space", "report small")]
    looks.append([*COMMAND, "--dry-run"])
    for number, file in enumerate(FILES):
        if (number + shift) % 3:
            continue  # another damage's turn
        folder = tmp_path / str(number)
        shutil.copytree(played, folder)
        path = folder / RUN / file
        content = DAMAGES[damage](path.read_bytes())
        if content is None:
            path.unlink()
        else:
            path.write_bytes(content)
        for look in looks:
            one_line(run_cli_in_process(*look, cwd=folder, check=False))
            assert not path.exists() if content is None else path.read_bytes() == content, (look, file)
        done = run_cli_in_process(*COMMAND, cwd=folder, check=False)
        if refused := one_line(done):
            assert RUN in refused and "--recompute" in refused, (file, refused)
            one_line(done := run_cli_in_process(*COMMAND, "--recompute", cwd=folder, check=False))
        assert done.returncode == 0, (file, done.stderr)
        assert read_phases(folder / RUN) == whole, file
        shutil.rmtree(folder)
