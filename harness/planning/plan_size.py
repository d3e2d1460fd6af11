"""Upper bounds on a plan, checked before anything is loaded: no machine would finish it and no table could show it."""

from __future__ import annotations

from harness.config import RunConfig
from harness.discovery.variants import split_variants
from harness.errors import UserError

MAX_CHECKPOINTS = 20_000  # about twenty files each, a line per task in scores.csv, a point per task in the figures
MAX_VARIANT_CHARS = 1_000  # of one variant as it is typed


def check_plan_size(config: RunConfig) -> None:
    """Raises UserError for more checkpoints (objective x seed x iteration) than a run can have, or an overlong variant."""
    variants = split_variants(config.objectives, config.source_of("objectives"))
    if (longest := max(map(len, variants), default=0)) > MAX_VARIANT_CHARS:
        raise UserError(
            f"--objectives: a variant has {longest:,} characters, more than {MAX_VARIANT_CHARS:,}, and its label names a folder; "
            "put its settings into the recipe's [objective.NAME]"
        )
    num_checkpoints = len(variants) * len(config.seeds) * config.iterations
    if num_checkpoints > MAX_CHECKPOINTS:
        product = f"{len(variants):,} objectives x {len(config.seeds):,} seeds x {config.iterations:,} iterations"
        raise UserError(
            f"{product} are {num_checkpoints:,} checkpoints, more than {MAX_CHECKPOINTS:,}, each with folders of its own and a "
            "line per task in every table; ask for fewer (--objectives, --seeds, --iters), or run parts of it (--name)"
        )
