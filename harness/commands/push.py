"""Command `push`: a trained checkpoint as a folder with its model card; uploaded only with --upload."""

from __future__ import annotations

import tempfile
from pathlib import Path

from harness.commands.console import echo
from harness.commands.inspect import check_undamaged, open_run
from harness.errors import UserError, error_line
from harness.store.output_folders import check_outside_runs
from harness.store.trained_adapter import find_adapter, variant_folder
from harness.store.untrusted import explain_malformed


def push_command(
    run: str, label: str, seed: int | None, iteration: int | None, to: Path | None, repo: str | None, upload: bool, results: Path
) -> None:
    if upload and repo is None:
        raise UserError("--upload needs --repo OWNER/NAME")
    run_folder = open_run(run, results)
    root = run_folder.root
    if to is not None:
        check_outside_runs(to, "--to")
    with tempfile.TemporaryDirectory() as scratch:
        with explain_malformed(root):
            adapter, seed, iteration = find_adapter(run_folder, label, seed, iteration)
            record = run_folder.record() or {}
            folder = variant_folder(root, record, label)
            label = record["variants"][folder].get("shown_as") or folder
            from harness.analysis.facts import RunResults  # pandas takes a second to load; a wrong name is found by now
            from harness.reporting.card import CARD_FILE, write_adapter_package

            folder_prefixes = ("data/", "initial/", *(f"{folder}/seed-{seed}/iteration-{t}/" for t in range(iteration + 1)))
            needed_phases = [phase for phase in run_folder.phases() if f"{phase}/".startswith(folder_prefixes)]
            check_undamaged(run_folder, needed_phases)
            package = write_adapter_package(RunResults(root), label, seed, iteration, adapter, to or Path(scratch) / "package")
        for file in sorted(package.iterdir()):
            echo(f"{file.stat().st_size:>12,} bytes  {file.name}")
        if to is None and not upload:
            echo((package / CARD_FILE).read_text(encoding="utf-8"))
        if not upload:
            outcome = f"written to {to}" if to else "nothing written"
            echo(f"{outcome}, nothing uploaded; to write: --to DIR; to upload: --repo OWNER/NAME --upload")
            return
        import huggingface_hub

        try:
            huggingface_hub.create_repo(str(repo), private=True, exist_ok=True)
            huggingface_hub.upload_folder(repo_id=str(repo), folder_path=package)
        except Exception as error:  # no network, no token or no permission: in each case it was not uploaded
            raise UserError(f"--repo {repo}: not uploaded ({error_line(error)})") from error
        echo(f"uploaded to {repo} (private; open it on the hub)")
