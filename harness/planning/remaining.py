"""What of a plan is still to be played. A cell of which only the small files are here counts as played, as far as they go."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from harness.errors import UserError
from harness.loop.plan import Phase
from harness.store.finished_phases import Played
from harness.store.small_files import SHARED, path_of, unit_of


def remaining(root: Path, phases: Sequence[Phase], forgiving: bool = False) -> list[Phase]:
    """The phases of a run that are to do, in the plan's order.

    What the cells to play need of the initial policy is made again where its folder is gone; it must come out as recorded.
    forgiving: damaged small files count as none.

    Raises UserError for a cell of which only the small files are here and which is asked for more than they hold: what comes next
    begins from its adapter.
    """
    played = Played(root, forgiving)
    missing = [phase for phase in phases if not played.finished(phase.folder)]
    first: dict[str, Phase] = {}  # missing of a cell
    for phase in missing:
        if phase.variant is not None:
            first.setdefault(unit_of(phase.folder), phase)
    for cell, phase in first.items():
        if played.small_only(cell):
            raise UserError(_ended(root, cell, phase, played))
    seeds = {cell.rpartition("/")[2] for cell in first}
    wanted = {phase.folder for phase in missing}
    if seeds:
        wanted |= {phase.folder for phase in phases if _again(phase, seeds) and not played.by_folder(phase.folder)}
    return [phase for phase in phases if phase.folder in wanted]


def _again(phase: Phase, seeds: set[str]) -> bool:
    """Whether a shared phase goes into the cells of these seeds; scores do not."""
    parts = phase.folder.split("/")
    return parts[0] == SHARED and phase.kind != "evaluate" and (phase.kind != "generate" or parts[1] in seeds)


def _ended(root: Path, cell: str, phase: Phase, played: Played) -> str:
    reached = len({name.split("/")[2] for name in played.kept(cell)})
    return (
        f"{root}: of {cell} only the small files are here, with {reached} iteration(s); {phase.folder.removeprefix(cell + '/')} "
        f"needs its adapter: bring the folder {cell} from the machine that played it, or delete {path_of(root, cell)} to play it "
        "from its beginning"
    )
