"""Command `push`: a trained player as a folder with its card; to the hub only when asked in so many words."""

from __future__ import annotations

import tempfile
from pathlib import Path

from harness.commands.console import say
from harness.commands.inspect import open_run, refuse_damaged
from harness.errors import UserError
from harness.store.output_folders import check_outside
from harness.store.untrusted import reading


def push_command(
    run: str, label: str, seed: int | None, iteration: int | None, to: Path | None, repo: str | None, upload: bool, results: Path
) -> None:
    from harness.analysis.facts import Facts
    from harness.reporting.card import CARD, find_player, write_package

    if upload and repo is None:
        raise UserError("--upload needs --repo OWNER/NAME")
    opened = open_run(run, results)
    root = opened.root
    if to is not None:
        check_outside(to, "--to")
    with tempfile.TemporaryDirectory() as scratch:
        with reading(root):
            facts = Facts(root)
            adapter, seed, iteration = find_player(facts, label, seed, iteration)
            own = ("data/", "initial/", *(f"{label}/seed-{seed}/iteration-{t}/" for t in range(iteration + 1)))
            mine = [phase for phase in opened.phases() if f"{phase}/".startswith(own)]
            refuse_damaged(opened, mine)
            folder = write_package(facts, label, seed, iteration, adapter, to or Path(scratch) / "package")
        for file in sorted(folder.iterdir()):
            say(f"{file.stat().st_size:>12,} bytes  {file.name}")
        if to is None and not upload:
            say((folder / CARD).read_text(encoding="utf-8"))
        if not upload:
            where = f"written to {to}" if to else "nothing written"
            say(f"{where}, nothing uploaded; to write: --to DIR; to upload: --repo OWNER/NAME --upload")
            return
        _upload(folder, str(repo))
        say(f"uploaded to {repo} (private; open it on the hub)")


def _upload(folder: Path, repo: str) -> None:
    import huggingface_hub

    try:
        huggingface_hub.create_repo(repo, private=True, exist_ok=True)
        huggingface_hub.upload_folder(repo_id=repo, folder_path=folder)
    except Exception as error:  # no network, no token, no right to: each means that it was not uploaded
        raise UserError(f"--repo {repo}: not uploaded ({' '.join(str(error).split())[:200]})") from error
