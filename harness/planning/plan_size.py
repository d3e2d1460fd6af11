"""How large a plan may be: what no machine finishes and no table shows is refused before anything is loaded."""

from __future__ import annotations

from harness.config import RunConfig
from harness.errors import UserError

MAX_CHECKPOINTS = 20_000  # about twenty files each, a line per task in scores.csv, a point per task in the figures
MAX_VARIANT_CHARS = 1_000  # characters of one variant as it is typed


def check_plan_size(config: RunConfig) -> None:
    """Raises UserError for more players (objective x seed x iteration) than a run can have, or a variant spelled without end."""
    variants = [item for item in config.objectives.split(",") if item.strip()]
    if (longest := max(map(len, variants), default=0)) > MAX_VARIANT_CHARS:
        raise UserError(
            f"--objectives: one variant is spelled with {longest:,} characters, more than {MAX_VARIANT_CHARS:,}; its label names "
            "folders: put settings into the recipe's [objective.NAME]"
        )
    num_checkpoints = len(variants) * len(config.seeds) * config.iterations
    if num_checkpoints > MAX_CHECKPOINTS:
        product = f"{len(variants):,} objectives x {len(config.seeds):,} seeds x {config.iterations:,} iterations"
        raise UserError(
            f"{product} are {num_checkpoints:,} players, more than {MAX_CHECKPOINTS:,}: each has folders "
            "and files of its own, and a line "
            "per task in every table; ask for fewer (--objectives, --seeds, --iters), or play parts under other names (--name)"
        )
