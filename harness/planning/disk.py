"""Whether the checkpoints of a plan fit on the disk, at least: said before the first one is trained."""

from __future__ import annotations

import shutil
from collections.abc import Sequence

from harness.errors import UserError
from harness.loop.phases.phase import Phase
from harness.store.run_folder import RunFolder
from harness.world import Policy


def check_disk(run: RunFolder, to_do: Sequence[Phase], policy: Policy) -> None:
    """Raises UserError where the adapters alone that are still to be trained are larger than what is free. Samples, scores and
    unfinished work come on top, of which a dry run says more."""
    num_checkpoints = sum(phase.kind == "train" for phase in to_do)
    needed = num_checkpoints * sum(parameter.numel() * parameter.element_size() for _, parameter in policy.adapter_parameters())
    folder = next(folder for folder in (run.root.absolute(), *run.root.absolute().parents) if folder.is_dir())
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise UserError(
            f"{run.root}: the adapters of {num_checkpoints} checkpoints take {needed / 2**30:.2f} GiB at least, its disk has "
            f"{free / 2**30:.2f} GiB free; make room, ask for fewer iterations or seeds, or name another disk with --results"
        )
