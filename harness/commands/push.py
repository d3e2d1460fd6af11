"""Command `push`: a trained checkpoint as a folder with its model card; uploaded only with --upload."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

from harness.commands.console import echo
from harness.commands.inspect import check_undamaged
from harness.commands.plan import format_bytes
from harness.errors import UserError, error_line
from harness.store.opening import open_run
from harness.store.output_folders import check_outside_runs
from harness.store.run_folder import RunFolder
from harness.store.trained_adapter import find_adapter, variant_folder
from harness.store.untrusted import explain_malformed


@dataclass(frozen=True)
class PushRequest:
    """The command's options. seed, iteration: None for the run's first and the last; mirror, trust_remote_code: for the base."""

    run: str
    label: str
    seed: int | None
    iteration: int | None
    to: Path | None
    repo: str | None
    upload: bool
    merged: bool
    mirror: str | None
    trust_remote_code: bool


def push_command(request: PushRequest, results: Path) -> None:
    label, to, repo = request.label, request.to, request.repo
    if request.upload and repo is None:
        raise UserError("--upload needs --repo OWNER/NAME")
    if request.merged and to is None and not request.upload:
        raise UserError("--merged writes a whole model; name a folder for it with --to DIR")
    run_folder = open_run(request.run, results)
    root = run_folder.root
    if to is not None:
        check_outside_runs(to, "--to")
    with tempfile.TemporaryDirectory() as scratch:
        with explain_malformed(root):
            adapter, seed, iteration = find_adapter(run_folder, label, request.seed, request.iteration)
            record = run_folder.record() or {}
            folder = variant_folder(root, record, label)
            label = record["variants"][folder].get("shown_as") or folder
            from harness.analysis.facts import RunResults  # pandas takes a second to load; a wrong name is found by now
            from harness.reporting.card import CARD_FILE, write_adapter_package

            folder_prefixes = ("data/", "initial/", *(f"{folder}/seed-{seed}/iteration-{t}/" for t in range(iteration + 1)))
            needed_phases = [phase for phase in run_folder.phases() if f"{phase}/".startswith(folder_prefixes)]
            check_undamaged(run_folder, needed_phases)
            package = write_adapter_package(RunResults(root), label, seed, iteration, adapter, to or Path(scratch) / "package")
            if request.merged:
                _write_whole_model(run_folder, request, adapter, package)
        for file in sorted(path for path in package.rglob("*") if path.is_file()):
            echo(f"{file.stat().st_size:>12,} bytes  {file.relative_to(package)}")
        if to is None and not request.upload:
            echo((package / CARD_FILE).read_text(encoding="utf-8"))
        if not request.upload:
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


def _write_whole_model(run: RunFolder, request: PushRequest, adapter: Path, package: Path) -> None:
    from harness.commands.sample import base_of_run
    from harness.language.model.merged import MERGED_FOLDER, write_merged

    policy = base_of_run(run, request.mirror, request.trust_remote_code, {}).load()
    policy.load_adapter(adapter)
    size = write_merged(policy, package / MERGED_FOLDER)
    rounded = "" if policy.precision in ("float32", "float64") else f", rounded to the base's {policy.precision}"
    echo(f"whole model, base and adapter merged{rounded}: {format_bytes(size)} in {package / MERGED_FOLDER}")
