"""What a loaded model and its data must fit, and what a user should see, before anything is spent."""

from __future__ import annotations

from collections.abc import Sequence

from harness.discovery.batches import Broken
from harness.discovery.checks import BEFORE_A_RUN
from harness.discovery.process_state import kept_state
from harness.discovery.variants import Variant, line_in
from harness.errors import UserError, asks_to_end
from objectives import Needs, Objective, UndeclaredRead

MOST_RESPONSES = 1000  # per prompt and role


def checked_needs(variant: Variant, objective: Objective) -> Needs:
    """What an objective asks for. Raises UserError when it cannot say, asks for nonsense, or for more than is ever sampled."""
    try:
        needs = objective.needs
    except (ValueError, TypeError) as error:  # its own refusal of parameters that do not go together
        raise UserError(f"{variant.label}: {error}") from error
    except BaseException as error:
        if asks_to_end(error):
            raise
        said = f"{type(error).__name__}: {error}"
        raise UserError(f"{variant.label}: needs fails: {variant.path}{line_in(variant.path, error)}: {said}") from error
    if not isinstance(needs, Needs):
        raise UserError(f"{variant.label}: needs is {type(needs).__name__}, expected Needs(...); see objectives/README.md")
    for name in ("synthetic", "proto"):
        if (asked := getattr(needs, name)) > MOST_RESPONSES:
            raise UserError(f"{variant.label}: needs.{name}={asked}: at most {MOST_RESPONSES} responses per prompt are drawn")
    return needs


def check_objectives(variants: Sequence[Variant], iterations: int) -> None:
    """Compute every loss of the run once on made-up log-probabilities; milliseconds.

    Raises UserError for what would end in a crash or in wrong numbers hours later: another shape or type, a number that is none,
    no gradient, an input that is changed, rows that see each other. Whether the loss is a good idea, `harness objectives check`
    asks: a run may well be there to find out.
    """
    for variant in variants:
        objectives = {repr(objective): objective for objective in variant.objectives(iterations)}
        for objective in objectives.values():
            for check in BEFORE_A_RUN:
                try:
                    with kept_state():
                        check(objective)
                except (Broken, UndeclaredRead) as error:
                    raise UserError(f"{variant.label}: {error}; see: harness objectives check {variant.path}") from error
                except BaseException as error:  # whatever the file raises, it would raise in training
                    if asks_to_end(error):
                        raise
                    said = f"{variant.path}{line_in(variant.path, error)}: {type(error).__name__}: {error}"
                    raise UserError(f"{variant.label}: its loss fails: {said}; see: harness objectives check") from error
